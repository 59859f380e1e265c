"""Checks of the messages on the queues: their age, and whether requests failed or crashed."""

from collections.abc import Iterator

from cli.doctor.deployment_state import DEAD_LETTER_QUEUE, QUEUES, DeploymentState
from cli.doctor.finding import Finding, ok, unknown, wrong
from cli.timefmt import humanize

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_TOO_OLD = 0.5  # fraction of the retention period, after which SQS deletes a message


def check_ages(state: DeploymentState) -> Iterator[Finding]:
    """No message is close to the end of its queue's retention period."""
    for queue in QUEUES:
        name = f"oldest message of the {queue}"
        if not _depth(state, queue):
            yield ok(name, "the queue is empty")
            continue
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
    """The dead-letter queue and the crashed queue are empty."""
    for queue, what, remedy in (
        (DEAD_LETTER_QUEUE, "failed", "list the reasons: sluice dlq ls; then redrive or purge them"),
        (
            "crashed queue",
            "crashed their function and have no reason yet",
            "the crashed function adds the reason; if they stay, see its log",
        ),
    ):
        depth = _depth(state, queue)
        if depth:
            yield wrong(queue, f"{depth} {'request' if depth == 1 else 'requests'} {what}", remedy)
        else:
            yield ok(queue, "empty")


def _depth(state: DeploymentState, queue: str) -> int:
    return sum(state.queue(queue).number(name) for name in _COUNTS)
