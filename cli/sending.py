"""SendMessageBatch, within its limits: ten messages, and 1 MiB of bodies and attributes together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sluice.processing.result import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_T = TypeVar("_T")

BATCH = 10
"""Entries that one of SQS's batch requests takes."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: the queue's URL, the body, and its attributes, all of them strings."""

    queue_url: str
    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes, as SQS counts them: the body, and each attribute's name, type and value."""
        return len(self.body.encode()) + sum(attribute_size(*pair) for pair in self.attributes.items())


def attribute_size(name: str, value: str) -> int:
    """Bytes of a string attribute, as SQS counts them."""
    return len(name.encode()) + len("String") + len(value.encode())


def send(sqs: "SQSClient", messages: Sequence[Outgoing]) -> dict[int, str]:
    """Send `messages`, each to its queue, and return why by the index of each that SQS did not take.

    Raises botocore's `ClientError` and `BotoCoreError` where a whole request fails.
    """
    refused: dict[int, str] = {}
    by_queue: dict[str, list[int]] = {}
    for index, message in enumerate(messages):
        by_queue.setdefault(message.queue_url, []).append(index)
    for queue_url, indices in by_queue.items():
        for batch in _batches(indices, messages):
            response = sqs.send_message_batch(
                QueueUrl=queue_url, Entries=[_entry(index, messages[index]) for index in batch]
            )
            for failed in response.get("Failed", []):
                refused[int(failed["Id"])] = f"{failed['Code']}: {failed.get('Message', 'not sent')}"
    return refused


def tens(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """`items` in pieces that one of SQS's batch requests takes."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _batches(indices: Iterable[int], messages: Sequence[Outgoing]) -> Iterator[list[int]]:
    batch: list[int] = []
    total = 0
    for index in indices:
        size = messages[index].size
        if batch and (len(batch) == BATCH or total + size > MAX_MESSAGE_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += size
    if batch:
        yield batch


def _entry(index: int, message: Outgoing) -> Any:
    entry: dict[str, Any] = {"Id": str(index), "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        }
    return entry
