"""All checks, one after another; what AWS refuses to say is no reason to stop."""

from collections.abc import Callable, Iterable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from cli.doctor import arrival, endpoints, permissions, queues, stack, times
from cli.doctor.facts import Facts
from cli.doctor.finding import Finding, unknown, wrong
from cli.errors import CliError

Check = Callable[[Facts], Iterable[Finding]]

_GONE = {"ResourceNotFoundException", "NonExistentQueue", "QueueDoesNotExist", "NoSuchBucket", "NoSuchEntity"}

CHECKS: dict[str, Check] = {
    "stack": stack.check_stack,
    "settings": stack.check_settings,
    "functions": stack.check_functions,
    "event source mappings": stack.check_mappings,
    "timeouts": times.check_timeouts,
    "retention": times.check_retention,
    "redrive policies": times.check_receives,
    "endpoints": endpoints.check_endpoints,
    "permissions": permissions.check_permissions,
    "notifications": arrival.check_notifications,
    "queue policies": arrival.check_queue_policies,
    "ages": queues.check_ages,
    "dead letters": queues.check_dead_letters,
}


def examine(facts: Facts) -> Iterator[Finding]:
    """The findings of all checks, in the order in which a fault is best mended."""
    for name, check in CHECKS.items():
        try:
            yield from check(facts)
        except ClientError as error:
            said = error.response["Error"]
            code, message = said.get("Code", ""), said.get("Message", "")
            says = f"{error.operation_name}: {code}: {message}"
            if code.rpartition(".")[2] in _GONE:
                yield wrong(name, says, "it was deleted by hand; put it back, or deploy again: cdk deploy")
            else:
                yield unknown(name, says)
        except BotoCoreError as error:
            yield unknown(name, str(error))
        except CliError as error:
            yield unknown(name, error.message)
