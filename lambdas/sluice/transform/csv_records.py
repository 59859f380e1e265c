"""Where records of CSV end: at a line break that is not within quotes.

A quote opens a field only at the field's beginning (RFC 4180), so the one in `2,12" pizza` is a character as any other.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from sluice.failures import Failure, invalid

_QUOTED = r'"[^"]*+(?:""[^"]*+)*+"'
_CLOSED = re.compile(_QUOTED.encode())
_WITHIN = re.compile(rb'[^"]*+(?:""[^"]*+)*+')  # of a quoted field: up to its closing quote


class Unclosed(Exception):
    """A quoted field that begins at `at`. `may_be_closed` means that its closing quote is the last byte."""

    def __init__(self, at: int, *, may_be_closed: bool) -> None:
        super().__init__(at)
        self.at = at
        self.may_be_closed = may_be_closed


@cache
def _field_of(delimiter: bytes) -> re.Pattern[bytes]:
    """The beginning of a quoted field, after the one before it."""
    return re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\n" + re.escape(delimiter) + rb'])"')


@cache
def _opening_of(delimiter: bytes) -> re.Pattern[bytes]:
    """The quote that opens a field, and what is before it."""
    return re.compile(rb"[\n" + re.escape(delimiter) + rb']"')


@cache
def _record_of(delimiter: bytes) -> re.Pattern[bytes]:
    """A record with its line break."""
    mark = re.escape(delimiter.decode())
    text = rf'(?:{_QUOTED}|(?!"))[^{mark}\n]*+'
    return re.compile(rf"(?:{text}{mark})*+{text}\n".encode())


@cache
def _fields_of(delimiter: bytes) -> re.Pattern[bytes]:
    """As many quoted fields as possible, each with all that is before the next one, other quotes included."""
    before = rf"[\n{re.escape(delimiter.decode())}]"
    text = rf'[^"]*+(?:(?<!{before})"[^"]*+)*+'
    return re.compile(rf'(?:{_QUOTED}{text}(?<={before})(?="))*+'.encode())


def has_quotes(beginning: bytes, delimiter: bytes) -> bool:
    """Whether a field begins with a quote in the beginning of a file."""
    return _field_of(delimiter).search(beginning) is not None


def end_of_record(data: bytes, begin: int, delimiter: bytes) -> int:
    """The line break that ends the record at `begin`; -1 when it is not in `data`.

    Raises `Unclosed` when a quoted field may go on after `data`.
    """
    found = _record_of(delimiter).match(data, begin)
    if found is not None:
        return found.end() - 1
    at = begin
    while True:
        if data.startswith(b'"', at):
            closed = _CLOSED.match(data, at)
            if closed is None or closed.end() == len(data):
                raise Unclosed(at, may_be_closed=closed is not None)
            at = closed.end()
        at = data.find(delimiter, at) + 1
        if at == 0:
            return -1


@dataclass(slots=True)
class Scanner:
    """Finds where records begin in a file that is read in pieces: the first one at or after each multiple of `chunk`.

    `at` is the byte up to which pieces were taken.
    """

    delimiter: bytes
    chunk: int
    at: int = 0
    _next: int = field(init=False)  # the position for which the next record is looked for
    _is_within: bool = False  # quotes
    _before: bytes = b"\n"  # the byte before the next piece, if that is not within quotes
    _kept: bytes = b""  # the end of the last piece, which the next one decides on
    _lines: int = 0  # line breaks before the last piece
    _opened: int = 0  # the line in which the field begins that is not closed

    def __post_init__(self) -> None:
        """Begin with the first multiple after the beginning of the file."""
        self._next = self.chunk

    def feed(self, piece: bytes) -> Iterator[int]:
        """Take the next piece; yield where records begin."""
        data = self._kept + piece
        base = self.at - len(self._kept)
        self.at += len(piece)
        self._kept = b""
        at, opened = (len(codecs.BOM_UTF8) if base == 0 and data.startswith(codecs.BOM_UTF8) else 0), -1
        while at < len(data):
            if self._is_within:
                found = _WITHIN.match(data, at)
                closing = found.end() if found else at
                if closing + 1 >= len(data):
                    self._kept = data[closing:]
                    break
                at, self._is_within = closing + 1, False
                self._before = b'"'
                continue
            opening = self._opening(data, at)
            yield from self._begins(data, base, at, opening)
            if opening == len(data):
                self._before = data[-1:]
                break
            opened = self._skipped(data, opening, self._next - 1 - base)
            at, self._is_within = opened + 1, True
        if opened >= 0:
            self._opened = self._lines + data.count(b"\n", 0, opened) + 1
        self._lines += data.count(b"\n", 0, len(data) - len(self._kept))

    def check_end(self) -> None:
        """Raises `Failure` (invalid) when the file ends within quotes."""
        if self._is_within and self._kept != b'"':
            raise not_closed(f"line {self._opened}")

    def _opening(self, data: bytes, at: int) -> int:
        """The quote that opens the next field; the end of `data` if there is none."""
        quote = data.find(b'"', at)  # which is faster than an expression
        if quote < 0:
            return len(data)
        if quote == at and self._before in {self.delimiter, b"\n"}:
            return quote
        found = _opening_of(self.delimiter).search(data, max(at, quote - 1))
        return found.end() - 1 if found else len(data)

    def _skipped(self, data: bytes, opening: int, until: int) -> int:
        """The opening quote of a field before `until`, so that no record that is looked for begins before it."""
        if until <= opening:
            return opening
        found = _fields_of(self.delimiter).match(data, opening, until)
        return found.end() if found else opening

    def _begins(self, data: bytes, base: int, start: int, end: int) -> Iterator[int]:
        """Where records begin after text that is not quoted."""
        while self._next - 1 < base + end:
            found = data.find(b"\n", max(start, self._next - 1 - base), end)
            if found < 0:
                return
            begins = base + found + 1
            self._next = (begins // self.chunk + 1) * self.chunk
            yield begins


def not_closed(where: str) -> Exception:
    """The failure of a file with a quoted field that has no end."""
    return invalid(
        "file",
        f"{where}: the quoted field that begins there is not closed before the end of the file; close each quoted "
        'field, and write a quote at the beginning of a field as """ (RFC 4180)',
    )


def cut_off(at: int) -> Failure:
    """The failure of a file with a quoted field, at byte `at`, that is not closed within what one call can carry."""
    return invalid(
        "file",
        f"the quoted field that begins at byte {at} is over MaxPayload or max_body_bytes, or it is not closed",
    )
