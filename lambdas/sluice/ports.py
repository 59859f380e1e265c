"""What the core needs of AWS, as protocols of coroutines. The adapters in `aws/` implement them; tests fake them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Inference:
    """The response of InvokeEndpoint. The names are the API's response elements."""

    body: bytes
    content_type: str | None = None
    invoked_production_variant: str | None = None
    custom_attributes: str | None = None
    new_session_id: str | None = None
    closed_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """The response of HeadObject.

    `size` is in bytes, `etag` has no quotes, `version_id` is None in a bucket without versioning, and `metadata` is the
    user metadata, without `x-amz-meta-`.
    """

    size: int
    etag: str
    version_id: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredObject(ObjectHead):
    """The response of GetObject, read to its end."""

    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a write or a deletion: that no object has the key, or that the object with this `etag` has it.

    An ETag identifies content, not a version: two versions with equal content have equal ETags.
    """

    etag: str | None = None

    @classmethod
    def replacing(cls, stored: ObjectHead | None) -> "Condition":
        """The condition that the key still holds `stored`, or no object if that is None."""
        return cls(stored.etag if stored else None)


class PreconditionFailed(Exception):
    """A conditional request found another object than expected, or none (412 and 404 of S3).

    A conflict with another write that is in progress (409 of S3) is a `ServiceError`, as any error that passes: nobody
    knows whether the other write will succeed, so there may be no object afterwards.
    """


class ObjectTooLarge(Exception):
    """An object of `size` bytes, which is over the requested limit."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


Admit = Callable[[int], Awaitable[None]]
"""Waits until there is memory for so many bytes."""

UNASKED_BYTES = 64 * 1024  # of a response's body, that are read without `Admit`


class Endpoint(Protocol):
    """The SageMaker runtime."""

    async def invoke(
        self,
        endpoint_name: str,
        body: bytes,
        parameters: Mapping[str, str],
        *,
        seconds: float,
        admit: Admit | None = None,
    ) -> Inference:
        """Call InvokeEndpoint once, without retries, for at most `seconds` in all. Raises `ServiceError`.

        `admit` is awaited before a large body of a response is read, with its size in bytes as far as that is known.
        """


LISTED = 100  # keys of a listing that starts after a key, at most


class Bucket(Protocol):
    """An S3 bucket. Every method raises `ServiceError` when S3 fails or refuses."""

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectHead | None:
        """The newest version of an object, or the named one, without its content; None when there is none."""

    async def get(self, key: str, *, version_id: str | None = None, max_bytes: int | None = None) -> StoredObject:
        """The newest version of an object, or the named one.

        Raises `ObjectTooLarge` when it is over `max_bytes`, and `ServiceError` with the status 404 when there is none.
        """

    async def get_range(self, key: str, start: int, end: int, *, etag: str | None) -> bytes:
        """The bytes `start` to `end` (exclusive) of the newest version.

        Raises `PreconditionFailed` when its ETag is not `etag`, unless that is None.
        """

    async def list(self, prefix: str, *, start_after: str | None = None) -> list[str]:
        """The keys in the folder `prefix`, in order: all of them, or the first `LISTED` after `start_after`.

        Those of folders within it are left out.
        """

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str] | None = None,
        condition: Condition | None = None,
    ) -> str | None:
        """Write an object. Returns the ID of its version; None in a bucket without versioning.

        Raises `PreconditionFailed` when `condition` does not hold.
        """

    async def upload(
        self,
        key: str,
        content: AsyncGenerator[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str],
        condition: Condition,
    ) -> str | None:
        """Write an object of any size as its content comes, in little memory, as `put` does."""

    async def delete(self, key: str, *, version_id: str | None = None, condition: Condition | None = None) -> None:
        """Delete an object, if there is one. In a versioned bucket its versions stay.

        With `version_id`, only this version is deleted, for ever: if it was the newest, the one before it is the newest
        again. Raises `PreconditionFailed` when `condition` does not hold.
        """

    async def previous(self, key: str, version_id: str) -> ObjectHead | None:
        """The version of an object before the named one; None when there is none, or it is a delete marker.

        The named one may be deleted meanwhile.
        """


Buckets = Callable[[str], Bucket]
"""The buckets that inputs are read from, by name."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An SQS message attribute: its value, and its DataType, String or Number."""

    value: str
    data_type: str = "String"


class DeadLetterQueue(Protocol):
    """The dead-letter queue."""

    async def send(self, body: str, attributes: Mapping[str, Attribute]) -> None:
        """Send a message. Raises `ServiceError`."""


class SourceQueue(Protocol):
    """The queue that feeds the function."""

    async def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """Make the message visible again after `seconds` (ChangeMessageVisibility). Raises `ServiceError`."""


class MessageSender(Protocol):
    """A queue for messages to another function, or to this one."""

    async def send(self, bodies: Iterable[str]) -> None:
        """Send messages. Raises `ServiceError` when one of them could not be sent."""


class Topics(Protocol):
    """SNS."""

    async def publish(self, topic_arn: str, message: str, attributes: Mapping[str, str]) -> None:
        """Publish a message with attributes of type String. Raises `ServiceError`."""
