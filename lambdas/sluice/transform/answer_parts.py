"""Cuts an answer to several records into their answers, as each kind of format has them. Nothing is written anew.

Each function raises `ValueError` when the answer is not of its kind, and those of JSON `TooMany`.
"""

import json
from collections.abc import Sequence

from sluice.transform import json_slices
from sluice.transform.content_types import Syntax, is_json, syntax_of
from sluice.transform.lines import lines_of
from sluice.transform.values import NotClosed, row_of


def lines(body: bytes, content_type: str | None = None) -> list[bytes]:
    """Lines that end in LF or CRLF, or records of CSV. Empty lines at the end answer no record."""
    if b'"' in body and syntax_of(content_type or "") is Syntax.CSV:
        found = lines_of(body, start=0, end=len(body), at=0, size=len(body), delimiter=b",")
        if found.not_closed is None:
            records = found[:]
            while len(records) > 1 and not records[-1]:
                records.pop()
            return records
    return body.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")


def fields(body: bytes, names: Sequence[str], most: int) -> list[list[bytes]]:
    """The elements of some fields of an object, or of all that are arrays. An array has at most `most` elements."""
    arrays = json_slices.arrays_of(json_slices.text_of(body), most)
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"its field {missing[0][:80]!r} is missing, no array, or too long")
    return [arrays[name] for name in names or arrays]


def row(body: bytes, most: int) -> list[bytes]:
    """The values on one line. A value may be a list: `[0.1, 0.9],[0.7, 0.3]` is what XGBoost writes for classes."""
    (line, *more) = lines(body)
    if more:
        raise ValueError(f"it has {len(more) + 1} lines")
    try:
        return json_slices.array(f"[{json_slices.text_of(line)}]", most)
    except json_slices.TooMany:
        raise
    except ValueError:
        try:
            return [cell.raw for cell in row_of(line, b",")]
        except NotClosed:
            return line.split(b",")


def columns(body: bytes, names: Sequence[str], count: int, most: int) -> list[bytes]:
    """The i-th elements of some fields as objects, by default of the arrays of `count` elements."""
    if not names:
        arrays = json_slices.arrays_of(json_slices.text_of(body), most)
        names = [name for name, elements in arrays.items() if len(elements) == count] or list(arrays)
    columns = fields(body, names, most)
    if not columns:
        raise ValueError("it has no array")
    labels = [json.dumps(name).encode() for name in names]
    # Of different lengths: `strict` raises the ValueError.
    return [
        b"{%b}" % b",".join(b"%b:%b" % pair for pair in zip(labels, values, strict=True))
        for values in zip(*columns, strict=True)
    ]


def text_of_lines(body: bytes, content_type: str | None) -> bytes | None:
    """All of an answer that is a text of several lines, and no JSON document."""
    text = body.replace(b"\r\n", b"\n").rstrip(b"\n")
    if b"\n" not in text or syntax_of(content_type or "") is not Syntax.TEXT:
        return None
    try:
        json_slices.whole(json_slices.text_of(body))
    except UnicodeDecodeError:
        return None
    except ValueError:
        return text
    return None


def whole(body: bytes, content_type: str | None) -> bytes:
    """All of an answer in one line."""
    found = lines(body, content_type)
    if is_json(content_type or "") or len(found) > 1:
        try:
            return json_slices.whole(json_slices.text_of(body))
        except ValueError as error:
            if len(found) == 1:
                raise
            raise ValueError(
                f"it has {len(found)} lines, and is not one JSON document: {reason(error)}; a text of several "
                "lines fits into one with join-source Input"
            ) from None
    return found[0]


def reason(error: ValueError) -> str:
    """What is wrong, without a quotation of the answer."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).partition(": line ")[0]
