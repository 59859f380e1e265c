"""Content in pieces for a multipart upload."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

PIECE = 8 * 1024 * 1024  # bytes of a part: S3 requires 5 MiB at least, and allows 10,000 parts
_PIECES = 1000  # the part size grows after every 1,000 parts: 10,000 parts hold 429 GiB


async def pieces(content: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """`content` in pieces of at least `PIECE` bytes. The last piece may be smaller."""
    buffer = bytearray()
    count = 0
    async with aclosing(content):
        async for data in content:
            buffer += data
            if len(buffer) >= PIECE * (1 + count // _PIECES):
                yield bytes(buffer)
                buffer.clear()
                count += 1
    if buffer:
        yield bytes(buffer)
