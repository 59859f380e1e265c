"""Files that cannot be cut into ranges of lines as they are: they are unpacked, and transcoded to UTF-8.

A range of gzip cannot be read by itself, and a line of UTF-16 does not end at a byte 0x0A.
"""

import codecs
import zlib
from collections.abc import AsyncGenerator

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 1024 * 1024  # bytes that are unpacked at once, whatever a piece of gzip expands to


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


async def transcoded(pieces: AsyncGenerator[bytes], charset: str) -> AsyncGenerator[bytes]:
    """Text of a charset in UTF-8. Raises `UnicodeDecodeError` for bytes that the charset does not have."""
    decoder = codecs.getincrementaldecoder(charset)()
    async for piece in pieces:
        for at in range(0, len(piece), _STEP):
            yield decoder.decode(piece[at : at + _STEP]).encode()
    yield decoder.decode(b"", final=True).encode()
