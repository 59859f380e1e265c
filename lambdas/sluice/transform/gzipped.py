"""Gzip: its parts can't be read by themselves, so it is unpacked, as it is read, to where they can."""

import zlib
from collections.abc import Iterable, Iterator

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 1024 * 1024  # bytes that are unpacked at once, however much a piece of gzip makes


def is_packed(key: str) -> bool:
    """Whether a file is gzip, by its name."""
    return key.endswith(".gz")


def unpacked_key(folder: str) -> str:
    """Where the content of a gzip lies while it is transformed: in the folder of its parts."""
    return f"{folder}unpacked"


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What is in a gzip, also in one of several members, with little of it in memory.

    Raises `zlib.error` when it is none, `EOFError` when it ends early.
    """
    member = zlib.decompressobj(_GZIP)
    begun = False
    for piece in pieces:
        data = piece
        while data:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            begun = True
            yield member.decompress(data, _STEP)
            data = member.unconsumed_tail or member.unused_data
    if begun and not member.eof:
        raise EOFError("it ends early")
