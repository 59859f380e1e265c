"""What the core needs of AWS, as protocols. `adapters` implements them; tests fake them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Inference:
    """What InvokeEndpoint answered. Names are the API's response elements."""

    body: bytes
    content_type: str | None = None
    invoked_production_variant: str | None = None
    custom_attributes: str | None = None
    new_session_id: str | None = None
    closed_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """What tells one upload of a key from the next. `version_id` is None in a bucket without versioning."""

    version_id: str | None
    etag: str


@dataclass(frozen=True, slots=True)
class InputObject:
    """An S3 object that is the body of a call. `metadata` is the user's, without `x-amz-meta-`."""

    body: bytes
    content_type: str | None
    version: ObjectVersion
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """An S3 object without its content: `size` in bytes, else as `InputObject`."""

    size: int
    content_type: str | None
    version: ObjectVersion
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that stands in the results bucket: its ETag and user metadata."""

    etag: str
    metadata: Mapping[str, str]


class PreconditionFailed(Exception):
    """A conditional write found another object, or none, where it expected otherwise (S3's 412, 409 and 404)."""


class ObjectTooLarge(Exception):
    """An input object of `size` bytes, over what was asked for."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class Endpoint(Protocol):
    """The SageMaker runtime."""

    def invoke(self, endpoint_name: str, body: bytes, parameters: Mapping[str, str]) -> Inference:
        """Call InvokeEndpoint once, without retries. Raises `ServiceError`."""


class Inputs(Protocol):
    """The buckets that inputs are read from."""

    def get(self, bucket: str, key: str, *, max_bytes: int) -> InputObject:
        """Read an object. Raises `ObjectTooLarge` when it is over `max_bytes`, `ServiceError` when S3 fails."""

    def current(self, bucket: str, key: str) -> ObjectVersion | None:
        """Which version of the object is the newest, or None where it is gone. Raises `ServiceError`."""


class Files(Protocol):
    """The input bucket's files that are transformed: read in parts."""

    def head(self, bucket: str, key: str) -> ObjectHead:
        """What the newest version is. Raises `ServiceError`."""

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str | None) -> bytes:
        """Bytes `start` to `end` of the version with that ETag, or of whatever is there.

        Raises `PreconditionFailed` when another is the newest, else `ServiceError`.
        """


class Parts(Protocol):
    """The parts of transformed files, in the results bucket."""

    def names(self, folder: str) -> list[str]:
        """The keys that begin with `folder`, in order. Raises `ServiceError`."""

    def names_from(self, folder: str, name: str) -> list[str]:
        """The first of those that are not before `folder` + `name`. Raises `ServiceError`."""

    def describe(self, keys: Iterable[str]) -> Iterator[Mapping[str, str]]:
        """The metadata of parts, one after another. Raises `ServiceError`."""

    def read(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The content of parts, one after another, with few of them in memory. Raises `ServiceError`."""

    def assemble(
        self,
        key: str,
        content: Iterable[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str],
        replaces: StoredObject | None,
    ) -> None:
        """Write `content` to `key` as it comes, in little memory, on the same conditions as `Results.put`.

        Raises `PreconditionFailed` when another writer was first, else `ServiceError`.
        """


class Sender(Protocol):
    """A queue that messages are put on."""

    def send(self, bodies: Iterable[str]) -> None:
        """Send messages. Raises `ServiceError` when one of them could not be."""


class Results(Protocol):
    """The results bucket."""

    def head(self, key: str) -> StoredObject | None:
        """What stands at `key`, or None. Raises `ServiceError`."""

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str],
        replaces: StoredObject | None,
    ) -> None:
        """Write conditionally: only where nothing stands, or only over `replaces`.

        Raises `PreconditionFailed` when another writer was first, else `ServiceError`.
        """

    def put_error(self, key: str, document: bytes) -> None:
        """Write an `.err` document, whatever stands there. Raises `ServiceError`."""

    def delete(self, key: str) -> None:
        """Delete `key` if it is there. Raises `ServiceError`."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An SQS message attribute: its value, and its DataType, String or Number."""

    value: str
    data_type: str = "String"


class DeadLetters(Protocol):
    """The dead-letter queue."""

    def send(self, body: str, attributes: Mapping[str, Attribute]) -> None:
        """Send a message. Raises `ServiceError`."""


class RequestQueue(Protocol):
    """The queue the deliveries came from."""

    def delay(self, receipt_handle: str, seconds: int) -> None:
        """Let the message become visible again after `seconds` (ChangeMessageVisibility). Raises `ServiceError`."""
