"""What waits: how long already, and what failed or crashed."""

from collections.abc import Iterator
from datetime import timedelta

from cli.doctor.facts import DEAD_LETTERS, QUEUES, Facts
from cli.doctor.finding import Finding, ok, unknown, wrong

_MESSAGES = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_TOO_OLD = 0.5  # of the time that the queue keeps messages: then they are lost


def check_ages(facts: Facts) -> Iterator[Finding]:
    """No message is about to outlive its queue's retention."""
    for queue in QUEUES:
        name = f"oldest message of the {queue}"
        if not _depth(facts, queue):
            yield ok(name, "the queue is empty")
            continue
        seconds = facts.oldest_seconds(queue)
        kept = facts.queue(queue).number("MessageRetentionPeriod")
        if seconds is None:
            yield unknown(name, "CloudWatch has no recent ApproximateAgeOfOldestMessage")
        elif seconds > _TOO_OLD * kept:
            yield wrong(
                name,
                f"it is {_span(seconds)} old; after {_span(kept)} SQS deletes it",
                "see in the log why it isn't answered; raise concurrent_requests where the endpoint can take more",
            )
        else:
            yield ok(name, f"{_span(seconds)}; messages are kept for {_span(kept)}")


def check_dead_letters(facts: Facts) -> Iterator[Finding]:
    """Nothing has failed for good that nobody has looked at, and nothing has crashed."""
    for queue, what, do in (
        (DEAD_LETTERS, "failed for good", "see why: sluice dlq ls; then redrive or purge them"),
        (
            "crashed queue",
            "crashed their function and have no reason yet",
            "the crashed function gives them one; if they stay, see its log",
        ),
    ):
        depth = _depth(facts, queue)
        if depth:
            yield wrong(queue, f"{depth} {'request' if depth == 1 else 'requests'} {what}", do)
        else:
            yield ok(queue, "empty")


def _depth(facts: Facts, queue: str) -> int:
    return sum(facts.queue(queue).number(name) for name in _MESSAGES)


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
