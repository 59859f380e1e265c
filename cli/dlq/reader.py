"""Reads a queue. SQS shows messages only by receiving them, so they are made visible again afterwards."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from cli.dlq.dead_letter import DeadLetter
from cli.sqs import BATCH_SIZE, in_batches

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

MAX_IN_FLIGHT = 120_000
"""The most messages of a standard queue that can be in flight (SQS, "Quotas related to queues")."""

_LONG_POLL_SECONDS = 1  # a long poll queries all servers of the queue, so an empty response means an empty queue
_MESSAGES_PER_SECOND = 20  # a low estimate of how fast messages are read and processed
_SECOND = timedelta(seconds=1)
_MAX_VISIBILITY_SECONDS = 43_200  # SQS limit
_MAX_STALE_BATCHES = 20  # successive batches without a new message, after which reading ends
_RELEASE_THREADS = 8


class Reader:
    """A context manager that reads the messages that are on a queue when it is entered, each once.

    Received messages are hidden from other consumers. On exit they are made visible again; if the process is killed,
    they become visible after `visibility_timeout` seconds. Messages that arrive later, such as a redriven request that
    failed again, are not returned. Raises botocore's errors.
    """

    def __init__(self, sqs: "SQSClient", queue_url: str, *, visibility_timeout: int | None = None) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._visibility_timeout = visibility_timeout
        self._receipt_handles: dict[str, str] = {}
        self._deleted: set[str] = set()
        self.started_at = datetime.now(UTC)
        """When reading started, to the second, by the clock of SQS."""
        self.depth = 0
        """The approximate number of visible messages at the start."""
        self.in_flight_elsewhere = 0
        """The number of messages that other consumers had in flight when reading ended."""
        self.unread = 0
        """The number of messages that were still visible when reading ended."""

    def __enter__(self) -> Self:
        (self.depth, _), response = self._counts()
        date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        self.started_at = now.replace(microsecond=0)
        if self._visibility_timeout is None:
            self._visibility_timeout = min(60 + self.depth // _MESSAGES_PER_SECOND, _MAX_VISIBILITY_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    def batches(self, max_messages: int = BATCH_SIZE) -> Iterator[list[DeadLetter]]:
        """The messages in batches. They stay hidden until they are deleted or the reader exits."""
        stale_batches = 0
        while stale_batches < _MAX_STALE_BATCHES:
            messages = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=max_messages,
                VisibilityTimeout=self._visibility_timeout or 0,
                WaitTimeSeconds=_LONG_POLL_SECONDS,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            ).get("Messages", [])
            if not messages:
                break
            new = self._take([DeadLetter.from_message(message) for message in messages])
            stale_batches = 0 if new else stale_batches + 1
            if new:
                yield new
        (visible, in_flight), _ = self._counts()
        held = len(self._receipt_handles)
        self.in_flight_elsewhere = max(0, in_flight - held)
        ended_early = stale_batches or held + self.in_flight_elsewhere >= MAX_IN_FLIGHT
        self.unread = visible if ended_early else 0

    def delete(self, dead_letters: Sequence[DeadLetter]) -> dict[str, str]:
        """Delete messages, and return the reason for each that SQS did not delete by its message ID."""
        refused: dict[str, str] = {}
        for batch in in_batches(dead_letters):
            entries: Any = [
                {"Id": str(number), "ReceiptHandle": dead_letter.receipt_handle}
                for number, dead_letter in enumerate(batch)
            ]
            response = self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
            for failed in response.get("Failed", []):
                refused[batch[int(failed["Id"])].message_id] = f"{failed['Code']}: {failed.get('Message', '')}"
        for dead_letter in dead_letters:
            if dead_letter.message_id not in refused:
                self._deleted.add(dead_letter.message_id)
                self._receipt_handles.pop(dead_letter.message_id, None)
        return refused

    def _take(self, received: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Keep the receipt handles of `received`, and return the messages that are read for the first time."""
        new = [
            message
            for message in received
            if message.message_id not in self._receipt_handles
            and message.message_id not in self._deleted
            and message.sent_at < self.started_at + _SECOND
        ]
        self._receipt_handles.update({message.message_id: message.receipt_handle for message in received})
        redelivered = [message for message in received if message.message_id in self._deleted]
        if redelivered:  # SQS may deliver a deleted message again
            self.delete(redelivered)
        return new

    def _counts(self) -> tuple[tuple[int, int], Any]:
        """The numbers of visible and in-flight messages, and the response."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        response = self._sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=names)
        visible, in_flight = (int(response["Attributes"][name]) for name in names)
        return (visible, in_flight), response

    def _release(self) -> None:
        handles, self._receipt_handles = list(self._receipt_handles.values()), {}
        with ThreadPoolExecutor(_RELEASE_THREADS) as executor:
            for _ in executor.map(self._make_visible, in_batches(handles)):
                pass

    def _make_visible(self, handles: Sequence[str]) -> None:
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
            for number, handle in enumerate(handles)
        ]
        # If the call fails, the messages become visible when their visibility timeout is over.
        with contextlib.suppress(ClientError, BotoCoreError):
            self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
