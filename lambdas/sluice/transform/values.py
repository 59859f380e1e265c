"""Values of records and answers as they are written: what a path selects keeps its numbers, escapes and quotes."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sluice.inputs.strict_json import compact_bytes
from sluice.transform import json_slices

_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_QUOTE = b'"'
_CLOSED = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"')  # a quoted field, without what follows its closing quote


class NotClosed(ValueError):
    """A quoted field of CSV whose closing quote is missing."""


@dataclass(slots=True)  # not frozen, which takes twice the time
class Json:
    """A JSON value in one line, without the space between its parts."""

    raw: bytes

    @classmethod
    def parse(cls, body: bytes) -> "Json":
        """Raises `ValueError` when it is not JSON in UTF-8, or is nested too deeply."""
        return cls(json_slices.whole(json_slices.text_of(body)))

    def opened(self) -> "dict[str, Json] | list[Json] | None":
        """Its fields or elements, if it is an object or an array."""
        found = json_slices.opened(self.raw.decode("latin-1"))
        if isinstance(found, dict):
            return {name: Json(raw) for name, raw in found.items()}
        return None if found is None else [Json(raw) for raw in found]


@dataclass(slots=True)  # not frozen, which takes twice the time
class Cell:
    """A field of CSV as it is written, with its quotes."""

    raw: bytes

    @property
    def text(self) -> bytes:
        """What it stands for. A quote that is not at the beginning of the field is a character as any other."""
        found = _CLOSED.match(self.raw)
        return self.raw if found is None else found[1].replace(b'""', b'"') + self.raw[found.end() :]


def row_of(record: bytes, delimiter: bytes) -> list[Cell]:
    """The fields of a CSV record. Raises `NotClosed`.

    A quote opens a field only at its beginning (RFC 4180), as the csv modules of Python and pandas read it.
    """
    if _QUOTE not in record:
        return [Cell(raw) for raw in record.split(delimiter)]
    cells: list[Cell] = []
    at = 0
    while True:
        end = at
        if record.startswith(_QUOTE, at):
            closed = _CLOSED.match(record, at)
            if closed is None:
                raise NotClosed
            end = closed.end()
        end = record.find(delimiter, end)
        if end < 0:
            return [*cells, Cell(record[at:])]
        cells.append(Cell(record[at:end]))
        at = end + 1


def csv_bytes(row: Sequence[Any], delimiter: bytes) -> bytes:
    """A row of `Cell` and `Json` as CSV. A JSON string is written as its text, any other JSON value as JSON.

    A `Cell` stays as it was written. Other fields are quoted only where they must be.
    """
    fields = [value.raw if isinstance(value, Cell) and delimiter == b"," else _field(value, delimiter) for value in row]
    return delimiter.join(fields) if fields != [b""] else b'""'  # an empty line would be no row


def json_bytes(value: Any) -> bytes:
    """A value as JSON: a `Cell` that is a number is one, and any other is a string."""
    if isinstance(value, Json):
        return value.raw
    if isinstance(value, Cell):
        return value.raw if _NUMBER.fullmatch(value.raw) else compact_bytes(value.text.decode(errors="replace"))
    if isinstance(value, dict):
        return b"{%b}" % b",".join(b"%b:%b" % (compact_bytes(name), json_bytes(one)) for name, one in value.items())
    return b"[%b]" % b",".join(map(json_bytes, value))


def _field(value: Any, delimiter: bytes) -> bytes:
    if isinstance(value, Cell):
        # The cells of an answer are separated by commas, and may hold another delimiter.
        if _CLOSED.fullmatch(value.raw) or not _special(delimiter).search(value.raw):
            return value.raw
        raw = value.text
    elif isinstance(value, Json) and not value.raw.startswith(_QUOTE):
        raw = value.raw
    else:
        text = json.loads(value.raw) if isinstance(value, Json) else json_bytes(value).decode(errors="replace")
        # A lone surrogate has no UTF-8, and stays as JSON's escape of it.
        raw = text.encode(errors="backslashreplace")
    return b'"%b"' % raw.replace(b'"', b'""') if _QUOTE in raw or _special(delimiter).search(raw) else raw


@cache
def _special(delimiter: bytes) -> re.Pattern[bytes]:
    """What would be taken for the end of a field."""
    return re.compile(rb"[\r\n" + re.escape(delimiter) + rb"]")
