"""Cuts a CSV file where its records begin, which its size alone does not show if quoted fields have line breaks."""

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from itertools import pairwise
from typing import Any

from sluice.processing.prefetch import prefetch
from sluice.transform.csv_records import Scanner
from sluice.transform.lines import ranges

_PIECE = 4 * 1024 * 1024  # bytes that are read at once, several times beside each other

Read = Callable[[int, int], Coroutine[Any, Any, bytes]]
"""Reads the bytes `start` to `end` of a file."""


async def record_ranges(
    read: Read, size: int, chunk: int, delimiter: bytes, has_time: Callable[[], bool]
) -> list[tuple[int, int, bool]]:
    """The ranges of a file of `size` bytes, each of about `chunk` bytes, and whether it begins and ends with a record.

    The file is read to its end, or as long as it `has_time`. The ranges of what has not been read are cut by size.
    Raises `Failure` (invalid) when the file ends within quotes, and what `read` raises.
    """
    scanner = Scanner(delimiter, chunk)
    begins = [0]
    pieces = prefetch(lambda piece: read(*piece), ranges(size, _PIECE))
    async with aclosing(pieces):
        async for piece in pieces:
            begins += [at for at in scanner.feed(piece) if at < size]
            if not has_time():
                break
    if scanner.at == size:
        scanner.check_end()
        return [(start, end, True) for start, end in pairwise([*begins, size])]
    found = [(start, end, True) for start, end in pairwise(begins)]
    multiple = (begins[-1] // chunk + 1) * chunk
    left = [begins[-1], *range(multiple, size, chunk), size]
    return found + [(start, end, False) for start, end in pairwise(left)]
