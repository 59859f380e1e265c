"""Lambda's SQS batch: the event's records, and the partial batch response."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sluice.delivery import Delivery
from sluice.outcome import Outcome


class Recorder(Protocol):
    """Who is told of each outcome."""

    def record(self, outcome: Outcome) -> None:
        """Note one outcome."""

    def flush(self) -> None:
        """Write out what was noted."""


def deliveries_of(event: Mapping[str, Any]) -> list[Delivery]:
    """The deliveries of an SQS event."""
    return [Delivery.from_record(record) for record in event["Records"]]


def partial_response(
    deliveries: Sequence[Delivery], ended: Iterable[list[Outcome]], recorder: Recorder
) -> dict[str, list[dict[str, str]]]:
    """Record the outcomes as they come, and return what the event source mapping must not delete.

    With ReportBatchItemFailures, SQS deletes the messages of the batch that the response doesn't name (AWS Lambda,
    "Implementing partial batch responses").
    """
    acknowledged: set[str] = set()
    for outcomes in ended:
        for outcome in outcomes:
            recorder.record(outcome)
        if all(outcome.acknowledged for outcome in outcomes):
            acknowledged.update(outcome.message_id for outcome in outcomes)
    recorder.flush()
    return {
        "batchItemFailures": [
            {"itemIdentifier": delivery.message_id}
            for delivery in deliveries
            if delivery.message_id not in acknowledged
        ]
    }
