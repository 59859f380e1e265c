"""What messages ask for, whatever form they came in."""

from dataclasses import dataclass
from typing import Any

from sluice.ports import ObjectVersion


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A JSON message, not yet validated: its identity must be known even when it breaks a rule."""

    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DroppedObject:
    """An object that S3 says was created. `version_id`, `sequencer` and `etag` tell one upload from the next."""

    bucket: str
    key: str
    size: int | None
    version_id: str | None
    sequencer: str | None
    etag: str | None

    def is_version(self, version: ObjectVersion) -> bool:
        """Whether `version` is the one that the event told of."""
        if self.version_id and version.version_id:
            return self.version_id == version.version_id
        return self.etag is None or self.etag == version.etag


@dataclass(frozen=True, slots=True)
class TransformPart:
    """The lines that begin in bytes `start` to `end` of a file that is transformed. The split function sends it.

    Where the file is `unpacked`, these and its size are of what was in the gzip.
    """

    file: DroppedObject
    start: int
    end: int
    unpacked: bool = False


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of a transformed file, to be made one. Whoever stores the last part sends it."""

    file: DroppedObject


@dataclass(frozen=True, slots=True)
class Ignorable:
    """Something that is no request and is only acknowledged: a test event, a folder marker."""

    reason: str


Request = SentMessage | DroppedObject | TransformPart | Assembly
Input = Request | Ignorable
