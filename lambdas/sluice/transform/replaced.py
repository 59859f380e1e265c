"""Reads of a file that may be replaced or deleted meanwhile."""

from sluice.error_codes import ErrorCode
from sluice.failures import Failure, ServiceError
from sluice.ports import Bucket, ObjectHead, PreconditionFailed


class Replaced(Exception):
    """The file was replaced while it was read: its newer version is transformed."""


class Deleted(Failure):
    """The file was deleted, which stops it. No retry can help."""

    def __init__(self) -> None:
        code = ErrorCode.OBJECT_DELETED
        super().__init__(code.failure_class, code, code.reason)


async def head_of_file(bucket: Bucket, key: str) -> ObjectHead:
    """The newest version of a file, without its content. Raises `Deleted` and `ServiceError`."""
    head = await bucket.head(key)
    if head is None:
        raise Deleted
    return head


async def read_range(bucket: Bucket, key: str, start: int, end: int, *, etag: str | None) -> bytes:
    """The bytes `start` to `end` (exclusive) of a file, or of what it was unpacked to, which has no `etag`.

    Raises `Replaced` if its ETag is not `etag`, `Deleted`, and `ServiceError`. Only here a condition that fails means
    that the file was replaced: that of a write is about what is written.
    """
    try:
        return await bucket.get_range(key, start, end, etag=etag)
    except PreconditionFailed:
        raise Replaced from None
    except ServiceError as error:
        if etag is not None and error.code == "NoSuchKey":
            raise Deleted from None
        raise
