"""The records of a byte range: every line that begins in it, complete, whichever range it ends in.

So a file is cut into ranges by its size alone: no range has to know where another's lines end. A record of CSV is a
line, too, unless a quoted field of it has line breaks. A range that begins within such a field finds wrong records, but
the range before it has found where the right ones begin.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import overload

from sluice.transform.csv_records import Unclosed, end_of_record

BOM = b"\xef\xbb\xbf"
_NO_LIMIT = 2**63 - 1
_EMPTY_LINES = re.compile(rb"(?:\xef\xbb\xbf)?(?:\r?\n)*+")


def _offsets() -> "array[int]":
    return array("Q")


@dataclass(frozen=True, slots=True)
class Lines(Sequence[bytes]):
    """Lines without their line ends. Each is sliced from `data` on access: a list of them takes ten times the memory.

    `ends` are where they end in `data`, which begins at byte `at` of the file with the first of them at `begin`.
    `needs_more` means that the last line continues beyond `data`, `is_cut` that more lines than requested begin in the
    range, and `is_crossing` that the next range begins within the last one. `not_closed` is the byte of the file at
    which a quoted field of the last one begins that is not closed.
    """

    data: bytes = b""
    at: int = 0
    begin: int = 0
    ends: "array[int]" = field(default_factory=_offsets)
    needs_more: bool = False
    is_cut: bool = False
    is_crossing: bool = False
    not_closed: int | None = None

    def __len__(self) -> int:
        """The number of lines."""
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """A line, or several."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        end = self.ends[index]  # raises IndexError when there is none
        return self.data[self._start(index) : end].removesuffix(b"\r")

    def place(self, index: int) -> int:
        """The byte of the file at which a line begins, or at which a line after the last would begin."""
        return self.at + self._start(index)

    def first(self, count: int) -> "Lines":
        """The first `count` of them, as if no more had been requested."""
        return Lines(self.data, self.at, self.begin, self.ends[:count], is_cut=self.is_cut or count < len(self))

    def _start(self, index: int) -> int:
        return self.ends[index - 1] + 1 if index > 0 else self.begin


def lines_of(
    data: bytes, *, start: int, end: int, at: int, size: int, most: int = _NO_LIMIT, delimiter: bytes | None = None
) -> Lines:
    """The first `most` lines that begin in bytes `start` to `end` of a file of `size` bytes.

    With a `delimiter`, they are records of CSV, whose quoted fields may have line breaks.

    `data` are the file's bytes from `at` on; `at` is one less than `start`, to see whether a line begins right there,
    or 0 with it. A line ends in LF or CRLF, the last one with the file, too. A byte order mark is no part of the first.
    """
    begin = start - at
    if start > 0 and data[begin - 1 : begin] != b"\n":
        begin = data.find(b"\n", begin) + 1
        if begin == 0 or at + begin >= end:
            return Lines(needs_more=begin == 0 and at + len(data) < min(end, size))
    if at + begin >= min(end, size):
        return Lines()
    if start == 0 and data.startswith(BOM):
        begin = len(BOM)
        if size == begin:
            return Lines()
    ends = _offsets()
    line = begin
    not_closed: int | None = None
    quote = -1 if delimiter is None else data.find(b'"', begin)
    while True:
        stop = data.find(b"\n", line)
        if delimiter is not None and 0 <= quote < (stop if stop >= 0 else len(data)):
            try:
                stop = end_of_record(data, line, delimiter)
            except Unclosed as error:
                stop = -1
                not_closed = None if error.may_be_closed else at + error.at
            quote = data.find(b'"', stop) if stop >= 0 else quote
        if stop < 0:
            if at + len(data) < size:
                return Lines(needs_more=True)
            stop = len(data)
        ends.append(stop)
        line = stop + 1
        if at + line >= min(end, size):
            is_crossing = line > end - at and data.find(b"\n", end - 1 - at, stop) >= 0
            return Lines(data, at, begin, ends, is_crossing=is_crossing, not_closed=not_closed)
        if len(ends) == most:
            return Lines(data, at, begin, ends, is_cut=True)


def first_place(beginning: bytes) -> int:
    """Where the first line begins that is not empty, in the beginning of a file; its length if all lines are."""
    found = _EMPTY_LINES.match(beginning)
    return found.end() if found else 0


def ranges(size: int, chunk: int) -> list[tuple[int, int]]:
    """A file of `size` bytes in ranges of `chunk` bytes, start and end."""
    return [(start, min(start + chunk, size)) for start in range(0, size, chunk)]
