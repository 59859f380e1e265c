"""Redrive: each letter is sent to the queue that it belongs to, and only then deleted."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cli.dlq.letter import Letter
from cli.dlq.reading import Reader
from cli.dlq.routing import Redriver, own_attributes
from cli.pace import Pace
from cli.sending import BATCH, send
from sluice.failures import Failure

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient


@dataclass(slots=True)
class Redriven:
    """How a redrive went. `unsuitable`, `refused` and `undeleted` are reasons by the letter's message ID."""

    sent: int = 0
    unsuitable: dict[str, str] = field(default_factory=dict)
    """Left on the dead-letter queue: the overrides don't suit them."""
    refused: dict[str, str] = field(default_factory=dict)
    """Left on the dead-letter queue: SQS did not take them."""
    undeleted: dict[str, str] = field(default_factory=dict)
    """Sent, and still on the dead-letter queue: they may be sent once more, and are answered once."""


class Errors:
    """The `.err` documents, in which the sender's own attributes stand."""

    def __init__(self, s3: "S3Client", bucket: str, redriver: Redriver) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._redriver = redriver
        self.forbidden = False
        """Whether S3 lets us read none of them: then messages go without the sender's own attributes."""

    def own_attributes(self, letter: Letter) -> Mapping[str, str]:
        """The sender's own attributes of `letter`; none where its `.err` isn't there."""
        key = self._redriver.error_key(letter)
        if key is None or self.forbidden:
            return {}
        try:
            document = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchKey":
                return {}
            if code == "AccessDenied":
                self.forbidden = True
                return {}
            raise
        return own_attributes(document, letter)


@dataclass(slots=True)
class Redrive:
    """Sends the letters of `reader` that are `chosen`, up to `limit` of them, at `pace`."""

    sqs: "SQSClient"
    reader: Reader
    chosen: Callable[[Letter], bool]
    redriver: Redriver
    errors: Errors
    pace: Pace
    limit: int | None = None
    done: Redriven = field(default_factory=Redriven)
    _sent: set[tuple[str | None, int]] = field(default_factory=set)

    def run(self, on_sent: Callable[[int], None]) -> Redriven:
        """Do it; `on_sent` hears how many are sent. Raises botocore's errors.

        Killed at any point it loses nothing: what was sent and not yet deleted is sent again, under the same identity.
        """
        with ThreadPoolExecutor(BATCH) as executor:
            for batch in self.reader.batches(self.pace.batch):
                letters = [letter for letter in batch if self.chosen(letter) and not self._failed_again(letter)]
                if self.limit is not None:
                    letters = letters[: self.limit - self.done.sent]
                self._send(letters, list(executor.map(self.errors.own_attributes, letters)))
                on_sent(self.done.sent)
                if self.limit is not None and self.done.sent >= self.limit:
                    break
        return self.done

    def _failed_again(self, letter: Letter) -> bool:
        """Whether it may be what has become of a letter that was just sent: the reader knows ages to the second."""
        return letter.sent_at >= self.reader.entered and _fingerprint(letter) in self._sent

    def _send(self, letters: Sequence[Letter], own: Sequence[Mapping[str, str]]) -> None:
        suitable, messages = [], []
        for letter, attributes in zip(letters, own, strict=True):
            try:
                messages.append(self.redriver.message(letter, attributes))
                suitable.append(letter)
            except Failure as failure:
                self.done.unsuitable[letter.message_id] = failure.message
        if not messages:
            return
        self.pace.wait(len(messages))
        refused = send(self.sqs, messages)
        self.done.refused |= {suitable[index].message_id: why for index, why in refused.items()}
        sent = [letter for index, letter in enumerate(suitable) if index not in refused]
        self.done.sent += len(sent)
        self._sent.update(_fingerprint(letter) for letter in sent)
        self.done.undeleted |= self.reader.delete(sent)


def _fingerprint(letter: Letter) -> tuple[str | None, int]:
    return letter.attributes.get("InferenceId"), hash(letter.body)
