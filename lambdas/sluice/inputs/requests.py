"""The requests that messages hold, whatever form the messages came in."""

import re
from dataclasses import dataclass
from typing import Any

from sluice.inputs.message import MAX_LOCATION, S3_URI
from sluice.ports import ObjectHead

_S3_URI = re.compile(S3_URI)


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A JSON message that is not yet validated: its identity must be known even when it breaks a rule."""

    raw: dict[str, Any]

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
class TransformPart(_OfDataset):
    """The lines that begin in bytes `start` to `end` of a dataset. The split function sends it.

    When the file is `unpacked`, the positions and the size are those of the content of the gzip.
    """

    start: int
    end: int
    unpacked: bool = False


@dataclass(frozen=True, slots=True)
class Assembly(_OfDataset):
    """The parts of a dataset, to be joined. The delivery that stores the last part sends it."""


@dataclass(frozen=True, slots=True)
class Ignorable:
    """Something that is not a request and is only acknowledged: a test event, a folder marker."""

    reason: str


Request = SentMessage | DroppedObject | TransformPart | Assembly
Input = Request | Ignorable
