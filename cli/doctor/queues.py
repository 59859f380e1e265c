"""Checks of the messages on the queues: their age, and whether requests failed or crashed."""

from collections.abc import Iterator
from functools import partial

from cli.doctor.deployment_state import DEAD_LETTER_QUEUE, DeploymentState
from cli.doctor.finding import Finding, ok, unknown, wrong
from cli.timefmt import humanize

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_OLDEST = "oldest message of the {}"
_FAILED_NOTIFICATIONS = "dead-letter queue of notifications"
_FAILED = {
    DEAD_LETTER_QUEUE: ("request", "failed", "list the reasons: sluice dlq ls; then redrive or purge them"),
    "crashed queue": (
        "request",
        "crashed their function and have no reason yet",
        "the crashed function adds the reason; if they stay, see its log",
    ),
    _FAILED_NOTIFICATIONS: (
        "notification",
        "could not be published",
        "see the log of the notify function; when its cause is fixed, a DLQ redrive in SQS sends them again",
    ),
}
"""The queues that are empty unless something failed: what their messages are, what happened, and what to do."""

_TOO_OLD = 0.5  # fraction of the retention period, after which SQS deletes a message


def check_ages(state: DeploymentState) -> Iterator[Finding]:
    """No message is close to the end of its queue's retention period."""
    return state.reporter.each(state.mapped_queues, _OLDEST, partial(_check_age, state))


def _check_age(state: DeploymentState, queue: str) -> Iterator[Finding]:
    name = _OLDEST.format(queue)
    if not _depth(state, queue):
        yield ok(name, "the queue is empty")
        return
    age = state.oldest_seconds(queue)
    retention = state.queue(queue).number("MessageRetentionPeriod")
    if age is None:
        yield unknown(name, "CloudWatch has no recent ApproximateAgeOfOldestMessage")
    elif age > _TOO_OLD * retention:
        yield wrong(
            name,
            f"it is {humanize(age)} old; SQS deletes it after {humanize(retention)}",
            "find the reason in the log; raise concurrent_requests if the endpoint can take more",
        )
    else:
        yield ok(name, f"{humanize(age)}; messages are kept for {humanize(retention)}")


def check_dead_letters(state: DeploymentState) -> Iterator[Finding]:
    """The dead-letter queues and the crashed queue are empty."""
    queues = [
        queue for queue in _FAILED if queue != _FAILED_NOTIFICATIONS or "notification queue" in state.mapped_queues
    ]
    return state.reporter.each(queues, "{}", partial(_check_empty, state))


def _check_empty(state: DeploymentState, queue: str) -> Iterator[Finding]:
    noun, what, remedy = _FAILED[queue]
    depth = _depth(state, queue)
    if depth:
        yield wrong(queue, f"{depth} {noun if depth == 1 else f'{noun}s'} {what}", remedy)
    else:
        yield ok(queue, "empty")


def _depth(state: DeploymentState, queue: str) -> int:
    return sum(state.queue(queue).number(name) for name in _COUNTS)
