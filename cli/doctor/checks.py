"""All checks, and how errors of AWS become findings."""

from collections.abc import Callable, Iterable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from cli.doctor import endpoints, notifications, permissions, queues, stack, timeouts
from cli.doctor.deployment_state import DeploymentState
from cli.doctor.finding import Finding, unknown, wrong
from cli.errors import CliError

Check = Callable[[DeploymentState], Iterable[Finding]]

_NOT_FOUND_CODES = {
    "ResourceNotFoundException",
    "NonExistentQueue",
    "QueueDoesNotExist",
    "NoSuchBucket",
    "NoSuchEntity",
}

CHECKS: dict[str, Check] = {
    "stack": stack.check_stack,
    "settings": stack.check_settings,
    "functions": stack.check_functions,
    "event source mappings": stack.check_mappings,
    "timeouts": timeouts.check_timeouts,
    "retention": timeouts.check_retention,
    "redrive policies": timeouts.check_redrive_policies,
    "endpoints": endpoints.check_endpoints,
    "permissions": permissions.check_permissions,
    "notifications": notifications.check_notifications,
    "queue policies": notifications.check_queue_policies,
    "ages": queues.check_ages,
    "dead letters": queues.check_dead_letters,
}
"""The checks, in the order in which faults should be corrected."""


def run_checks(state: DeploymentState) -> Iterator[Finding]:
    """The findings of all checks. An error in one check does not stop the others."""
    for name, check in CHECKS.items():
        try:
            yield from check(state)
        except ClientError as error:
            details = error.response["Error"]
            code, message = details.get("Code", ""), details.get("Message", "")
            explanation = f"{error.operation_name}: {code}: {message}"
            if code.rpartition(".")[2] in _NOT_FOUND_CODES:
                yield wrong(name, explanation, "it was deleted by hand; restore it, or deploy again: cdk deploy")
            else:
                yield unknown(name, explanation)
        except BotoCoreError as error:
            yield unknown(name, str(error))
        except CliError as error:
            yield unknown(name, error.message)
