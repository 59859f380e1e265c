"""Reading a queue that can't be peeked at: messages are received, and what isn't taken is given back."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from cli.dlq.letter import Letter
from cli.sending import BATCH, tens

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

MAX_IN_FLIGHT = 120_000
"""Messages of a standard queue that can be received and not yet deleted (SQS, "Quotas related to queues")."""

_LONG_POLL_SECONDS = 1  # any long poll asks all of the queue's servers, so an empty answer is the queue's end
_MESSAGES_PER_SECOND = 20  # a slow estimate of how fast they are read and handled
_SECOND = timedelta(seconds=1)
_MAX_VISIBILITY_SECONDS = 43_200  # SQS's
_STALE = 20  # batches without anything new, after which reading would go round in circles
_RETURNING = 8  # requests at once, to give back


class Reader:
    """The messages of a queue as it is when the reader is entered, each of them once.

    They are hidden from others while they are read, and visible again when the reader is left, however that happens;
    when the process is killed, as soon as `visibility_timeout` (seconds) is over. What comes onto the queue later, such
    as a redriven message that has failed again, is left alone. Raises botocore's errors.
    """

    def __init__(self, sqs: "SQSClient", queue_url: str, *, visibility_timeout: int | None = None) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._visibility_timeout = visibility_timeout
        self._held: dict[str, str] = {}
        self._taken: set[str] = set()
        self.entered = datetime.now(UTC)
        """The second in which the reader was entered, by SQS's clock."""
        self.depth = 0
        """How many messages seem to be there to read."""
        self.elsewhere = 0
        """How many others were in flight when reading ended: another reader has them, or one that was killed had."""
        self.unread = 0
        """How many were still visible: reading ended before the queue did."""

    def __enter__(self) -> Self:
        counts, response = self._counts()
        self.depth, _ = counts
        date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
        entered = parsedate_to_datetime(date) if date else datetime.now(UTC)
        self.entered = entered.replace(microsecond=0)
        if self._visibility_timeout is None:
            self._visibility_timeout = min(60 + self.depth // _MESSAGES_PER_SECOND, _MAX_VISIBILITY_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back()

    def batches(self, most: int = BATCH) -> Iterator[list[Letter]]:
        """The messages, up to ten at a time. All are held back until `delete`, or the end."""
        stale = 0
        while stale < _STALE:
            received = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=most,
                VisibilityTimeout=self._visibility_timeout or 0,
                WaitTimeSeconds=_LONG_POLL_SECONDS,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            ).get("Messages", [])
            if not received:
                break
            letters = [Letter.from_message(message) for message in received]
            unseen = [one for one in letters if one.message_id not in self._held and one.message_id not in self._taken]
            self._held.update({letter.message_id: letter.receipt_handle for letter in letters})
            again = [letter for letter in letters if letter.message_id in self._taken]
            if again:
                self.delete(again)  # SQS may deliver once more what was deleted
            new = [letter for letter in unseen if letter.sent_at < self.entered + _SECOND]
            stale = 0 if new else stale + 1
            if new:
                yield new
        (visible, in_flight), _ = self._counts()
        self.elsewhere = max(0, in_flight - len(self._held))
        self.unread = visible if stale or len(self._held) + self.elsewhere >= MAX_IN_FLIGHT else 0

    def delete(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Delete `letters`, and return why by the message ID of each that SQS did not delete."""
        refused: dict[str, str] = {}
        for batch in tens(letters):
            entries: Any = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle} for number, letter in enumerate(batch)
            ]
            response = self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
            for failed in response.get("Failed", []):
                refused[batch[int(failed["Id"])].message_id] = f"{failed['Code']}: {failed.get('Message', '')}"
        for letter in letters:
            if letter.message_id not in refused:
                self._taken.add(letter.message_id)
                self._held.pop(letter.message_id, None)
        return refused

    def _counts(self) -> tuple[tuple[int, int], Any]:
        response = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        attributes = response["Attributes"]
        visible, in_flight = (
            int(attributes[name]) for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        )
        return (visible, in_flight), response

    def _give_back(self) -> None:
        handles, self._held = list(self._held.values()), {}
        with ThreadPoolExecutor(_RETURNING) as executor:
            for _ in executor.map(self._show_again, tens(handles)):
                pass

    def _show_again(self, handles: Sequence[str]) -> None:
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
            for number, handle in enumerate(handles)
        ]
        # What can't be given back comes back by itself.
        with contextlib.suppress(ClientError, BotoCoreError):
            self._sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
