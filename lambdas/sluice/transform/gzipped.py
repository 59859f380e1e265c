"""Gzip files. A range of gzip cannot be read by itself, so the content is unpacked first, as the file is read."""

import zlib
from collections.abc import AsyncGenerator

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 1024 * 1024  # bytes that are unpacked at once, whatever a piece of gzip expands to


def is_packed(key: str) -> bool:
    """Whether a file is gzip, by its name."""
    return key.endswith(".gz")


async def unpacked(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The content of a gzip file, which may have several members, with little of it in memory.

    Raises `zlib.error` when it is not gzip, `EOFError` when it ends early.
    """
    member = zlib.decompressobj(_GZIP)
    started = False
    async for piece in pieces:
        data = piece
        while data:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            started = True
            yield member.decompress(data, _STEP)
            data = member.unconsumed_tail or member.unused_data
    if started and not member.eof:
        raise EOFError("it ends early")
