"""The requests that messages hold, whatever form the messages came in."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sluice.failures import Failure, invalid
from sluice.inputs.message import MAX_LOCATION, S3_URI, Message, validate
from sluice.keys import ALONE, alone
from sluice.ports import ObjectHead

_S3_URI = re.compile(S3_URI)
_BODIES = ("Body", "BodyBase64")


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A JSON message. Its identity must be known even when it breaks a rule, so that is no error at first.

    `message` is the validated message, or the rule that it breaks; None before it is validated.
    """

    raw: dict[str, Any]
    message: Message | Failure | None = field(default=None, compare=False)

    def validated(self) -> "SentMessage":
        """It, once validated: with the message, or with the failure that `valid` raises."""
        message: Message | Failure
        try:
            message = validate(self.raw)
        except Failure as failure:
            message = failure.with_traceback(None)  # whose frames would keep the memory of the body
        # The message holds a copy of a JSON body, so that of `raw` is dropped.
        return SentMessage({key: value for key, value in self.raw.items() if key not in _BODIES}, message)

    def valid(self) -> Message:
        """The valid message. Raises `Failure` (invalid) when it breaks a rule."""
        if isinstance(self.message, Message):
            return self.message
        if isinstance(self.message, Failure):
            raise self.message
        return validate(self.raw)

    @property
    def source(self) -> str | None:
        """The `InputLocation`, if it is an S3 URI."""
        location = self.raw.get("InputLocation")
        if isinstance(location, str) and len(location) <= MAX_LOCATION and _S3_URI.fullmatch(location):
            return location
        return None

    @property
    def upload(self) -> None:
        """A sent message is not an upload."""
        return


@dataclass(frozen=True, slots=True)
class DroppedObject:
    """An object whose creation an S3 event reports. `version_id`, `sequencer` and `etag` tell its uploads apart."""

    bucket: str
    key: str
    size: int | None
    version_id: str | None
    sequencer: str | None
    etag: str | None

    def check_names_version(self, head: ObjectHead) -> None:
        """Raises `Failure` (invalid) when `head` has a version ID and the event does not.

        The events of S3 name the version of an object in a versioned bucket (S3 User Guide, "Event message structure").
        Without it, an event would be a new request about an object that has been answered, whoever sent it.
        """
        if head.version_id and not self.version_id:
            raise invalid("object", "the event names no version of an object in a versioned bucket")

    def is_version(self, head: ObjectHead) -> bool:
        """Whether `head` is of the version that the event reports."""
        if self.version_id and head.version_id:
            return self.version_id == head.version_id
        return self.etag is None or self.etag == head.etag

    @property
    def source(self) -> str:
        """The S3 URI."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def upload(self) -> "DroppedObject":
        """The upload that the request is about."""
        return self


@dataclass(frozen=True, slots=True)
class _OfDataset:
    """A request that is about a dataset: a file that is transformed."""

    file: DroppedObject

    @property
    def source(self) -> str:
        """The S3 URI of the dataset."""
        return self.file.source

    @property
    def upload(self) -> DroppedObject:
        """The dataset."""
        return self.file


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over a dataset. A run that `retries` sends the records again that have no answer.

    In one that goes on `alone`, the answers of groups have been found to be those of other records. No message says so:
    it is stored with the format of the dataset.
    """

    id: str
    retries: bool = False
    alone: bool = False

    @property
    def began(self) -> datetime:
        """When the message was sent that began it."""
        return datetime.fromtimestamp(int(self.id[:13]) / 1000, UTC)

    @property
    def suffix(self) -> str:
        """What the names of the parts end in that the run stores. Runs that do not retry share their parts.

        But not those that are alone with those that are not.
        """
        if self.retries:
            return alone(self.id) if self.alone else self.id
        return ALONE if self.alone else ""


@dataclass(frozen=True, slots=True)
class TransformPart(_OfDataset):
    """The lines that begin in bytes `start` to `end` of a dataset. The split function sends it.

    When the file is `unpacked`, the positions and the size are those of its content in UTF-8. When it is a
    `batch_file`, its records are the requests of an OpenAI batch file. When it is `aligned`, a record begins at
    `start`, and one ends at `end`. `earlier` is the last segment of the name of the stored part whose answers are kept:
    only its other records are sent. `times_whole` is how often it was sent again as it is, since it last got shorter.
    """

    start: int
    end: int
    unpacked: bool = False
    batch_file: bool = False
    aligned: bool = False
    run: Run | None = None
    earlier: str | None = None
    times_whole: int = field(default=0, compare=False)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the dataset."""
        return self.start == 0 and self.end == self.file.size


@dataclass(frozen=True, slots=True)
class Assembly(_OfDataset):
    """The parts of a dataset, to be joined. The delivery that stores the last part sends it."""

    run: Run | None = None


@dataclass(frozen=True, slots=True)
class TransformRetry(_OfDataset):
    """A dataset whose records without an answer are sent again. The command line sends it."""


@dataclass(frozen=True, slots=True)
class Ignorable:
    """Something that is not a request and is only acknowledged: a test event, a folder marker."""

    reason: str


Request = SentMessage | DroppedObject | TransformPart | Assembly | TransformRetry
Input = Request | Ignorable
