"""Reads of a file that may be replaced meanwhile."""

from sluice.ports import Bucket, PreconditionFailed


class Replaced(Exception):
    """The file was replaced while it was read: its newer version is transformed."""


async def read_range(bucket: Bucket, key: str, start: int, end: int, *, etag: str | None) -> bytes:
    """The bytes `start` to `end` (exclusive) of a file.

    Raises `Replaced` if its ETag is not `etag`, and `ServiceError`. Only here a condition that fails means that the
    file was replaced: that of a write is about what is written.
    """
    try:
        return await bucket.get_range(key, start, end, etag=etag)
    except PreconditionFailed:
        raise Replaced from None
