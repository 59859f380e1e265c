"""The records of a byte range: every line that begins in it, whole, whichever range it ends in.

So a file is cut into ranges by its size alone: no range has to know where another's lines end.
"""

from dataclasses import dataclass, field
from itertools import accumulate

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines without their ends, and the byte of the file that each begins at.

    `needs_more` says that the last one goes on after the bytes that were given.
    """

    records: list[bytes]
    needs_more: bool
    begins: list[int] = field(default_factory=list)


def lines_of(data: bytes, *, start: int, end: int, at: int, size: int) -> Lines:
    """The lines that begin in bytes `start` to `end` of a file of `size` bytes.

    `data` are the file's bytes from `at` on; `at` is one less than `start`, to see whether a line begins right there,
    or 0 with it. A line ends in LF or CRLF, the last one with the file, too. A byte order mark is no part of the first.
    """
    begin = start - at
    if start > 0 and data[begin - 1 : begin] != b"\n":
        begin = data.find(b"\n", begin) + 1
        if begin == 0 or at + begin >= end:
            return Lines([], needs_more=begin == 0 and at + len(data) < min(end, size))
    if at + begin >= min(end, size):
        return Lines([], needs_more=False)
    # The first line end at or after the range's last byte is that of the last line that begins in it.
    stop = data.find(b"\n", max(begin, end - 1 - at))
    if stop < 0:
        if at + len(data) < size:
            return Lines([], needs_more=True)
        stop = len(data)
    if start == 0 and data.startswith(BOM):
        begin = len(BOM)
        if size == begin:
            return Lines([], needs_more=False)
    raw = data[begin:stop].split(b"\n")
    begins = list(accumulate((len(record) + 1 for record in raw[:-1]), initial=at + begin))
    begins[0] = max(start, begins[0]) if start else 0  # a byte order mark belongs to the first line's place
    return Lines([record.removesuffix(b"\r") for record in raw], needs_more=False, begins=begins)


def ranges(size: int, chunk: int) -> list[tuple[int, int]]:
    """A file of `size` bytes in ranges of `chunk` bytes, start and end."""
    return [(start, min(start + chunk, size)) for start in range(0, size, chunk)]
