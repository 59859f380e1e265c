"""All checks, in their order."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from cli.doctor import endpoints, notifications, permissions, queues, quotas, resources, stack, timeouts
from cli.doctor.deployment_state import DeploymentState
from cli.doctor.finding import Finding

Check = Callable[[DeploymentState], Iterable[Finding]]

CHECKS: dict[str, Check] = {
    "stack": stack.check_stack,
    "resources": resources.check_resources,
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
    "quotas": quotas.check_quotas,
    "ages": queues.check_ages,
    "dead letters": queues.check_dead_letters,
}
"""The checks, in the order in which faults should be corrected."""


def run_checks(state: DeploymentState) -> Iterator[Finding]:
    """The findings of all checks. An error in one check does not stop the others."""
    for name, check in CHECKS.items():
        yield from state.reporter.guarded(name, partial(check, state))
