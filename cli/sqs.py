"""SQS: batches within its limits, the rate at which they are sent, and the number of messages in a queue."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from cli.deployment import Deployment
from sluice.processing.result import MAX_MESSAGE_BYTES
from sluice.processing.router import Kind

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_T = TypeVar("_T")

BATCH_SIZE = 10
"""The most entries in one batch request (SendMessageBatch, DeleteMessageBatch, ReceiveMessage)."""

_QUEUE_OUTPUTS: dict[Kind, str] = {
    "call": "RequestQueueUrl",
    "part": "PartQueueUrl",
    "file": "SplitQueueUrl",
    "assembly": "AssemblyQueueUrl",
}
WORK_QUEUE_OUTPUTS = (*dict.fromkeys(_QUEUE_OUTPUTS.values()), "CrashedQueueUrl")
"""The stack outputs with the URLs of the queues whose messages are requests without an outcome."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send: the URL of its queue, its body, and its string attributes.

    If it `is_shared`, several dead letters are sent again by one such message with the same body.
    """

    queue_url: str
    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    is_shared: bool = False

    @property
    def size(self) -> int:
        """Size in bytes as SQS counts it: the body, and the name, type and value of each attribute."""
        return len(self.body.encode()) + sum(attribute_bytes(*pair) for pair in self.attributes.items())


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The approximate numbers of messages in a queue (GetQueueAttributes)."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages in the queue."""
        return self.visible + self.in_flight + self.delayed


class RateLimit:
    """Limits sending to `per_second` messages per second. None means no limit."""

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    @property
    def batch_size(self) -> int:
        """How many messages to send at once: ten, or as many as the limit allows in one second."""
        return BATCH_SIZE if self._per_second is None else max(1, min(BATCH_SIZE, int(self._per_second)))

    def wait(self, messages: int) -> None:
        """Sleep until `messages` more messages may be sent."""
        if self._per_second is None:
            return
        now = self._clock()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(self._next, now) + messages / self._per_second


def attribute_bytes(name: str, value: str) -> int:
    """Size in bytes of a string attribute as SQS counts it."""
    return len(name.encode()) + len("String") + len(value.encode())


def send_messages(sqs: "SQSClient", messages: Sequence[OutgoingMessage]) -> dict[int, str]:
    """Send `messages`, each to its queue, and return the reason for each rejected message by its index.

    Raises botocore's `ClientError` and `BotoCoreError` when a whole request fails.
    """
    rejected: dict[int, str] = {}
    by_queue: dict[str, list[int]] = {}
    for index, message in enumerate(messages):
        by_queue.setdefault(message.queue_url, []).append(index)
    for queue_url, indices in by_queue.items():
        for batch in _batches_by_size(indices, messages):
            response = sqs.send_message_batch(
                QueueUrl=queue_url, Entries=[_entry(index, messages[index]) for index in batch]
            )
            for failed in response.get("Failed", []):
                rejected[int(failed["Id"])] = f"{failed['Code']}: {failed.get('Message', 'not sent')}"
    return rejected


def in_batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """`items` in slices that fit into one batch request."""
    for start in range(0, len(items), BATCH_SIZE):
        yield items[start : start + BATCH_SIZE]


def queue_url_of(kind: Kind, deployment: Deployment) -> str:
    """URL of the queue for requests of `kind`. Raises `CliError` when the stack has no such output."""
    return deployment.output(_QUEUE_OUTPUTS[kind])


def queue_depth(sqs: "SQSClient", queue_url: str) -> QueueDepth:
    """The numbers of messages in a queue. Raises botocore's errors."""
    attributes = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    ).get("Attributes", {})
    return QueueDepth(
        visible=int(attributes.get("ApproximateNumberOfMessages", 0)),
        in_flight=int(attributes.get("ApproximateNumberOfMessagesNotVisible", 0)),
        delayed=int(attributes.get("ApproximateNumberOfMessagesDelayed", 0)),
    )


def message_retention(sqs: "SQSClient", queue_url: str) -> timedelta:
    """MessageRetentionPeriod of a queue: after this time it deletes a message. Raises botocore's errors."""
    response = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["MessageRetentionPeriod"])
    return timedelta(seconds=int(response["Attributes"]["MessageRetentionPeriod"]))


def max_message_bytes(sqs: "SQSClient", queue_url: str) -> int:
    """MaximumMessageSize of a queue in bytes. Raises botocore's errors."""
    response = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["MaximumMessageSize"])
    return int(response["Attributes"]["MaximumMessageSize"])


def _batches_by_size(indices: Iterable[int], messages: Sequence[OutgoingMessage]) -> Iterator[list[int]]:
    """`indices` in batches of at most ten messages and 1 MiB."""
    batch: list[int] = []
    total = 0
    for index in indices:
        size = messages[index].size
        if batch and (len(batch) == BATCH_SIZE or total + size > MAX_MESSAGE_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += size
    if batch:
        yield batch


def _entry(index: int, message: OutgoingMessage) -> Any:
    entry: dict[str, Any] = {"Id": str(index), "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        }
    return entry
