"""JSON cut into its elements as they are written: no number, escape or key is changed.

Texts are UTF-8 that is decoded as Latin-1. The syntax of JSON is ASCII, so this cuts at the same places, a character is
a byte, and a slice is encoded to exactly the bytes that it was.
"""

import codecs
import io
import json
import re
import sys
from collections.abc import Callable
from typing import TypeVar

from sluice.inputs.strict_json import MAX_DEPTH, TooDeep, is_deep
from sluice.transform import json_ends

_Value = TypeVar("_Value")

_STEP = 64 * 1024  # bytes
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(rf"({json_ends.STRING})")
_STRINGS = re.compile(rf'(?:[^"]++|{json_ends.STRING}){{1,1000}}+')
_NO_SPACE = dict.fromkeys(map(ord, " \t\n\r"))
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # Only where values end counts, not what they are.
_LARGE = 128 * 1024  # characters of which no value is made, which takes up to 30 times the memory


class TooMany(ValueError):
    """An array with more than `most` elements."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it has over {most} elements")
        self.most = most


def text_of(body: bytes) -> str:
    """`body` as a text to cut, without a byte order mark. Raises `ValueError` when it is not UTF-8."""
    if not body.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        for at in range(0, len(body), _STEP):  # all of it at once would take four times the memory
            decoder.decode(body[at : at + _STEP])
        decoder.decode(b"", final=True)
    return body.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def whole(text: str) -> bytes:
    """A JSON document in one line. Raises `ValueError` when it is not JSON."""
    end = _end(text, _after_space(text, 0))
    _check_is_end(text, end)
    return _compact(text)


def array(text: str, most: int = sys.maxsize) -> list[bytes]:
    """The elements of an array, each in one line.

    Raises `TooMany`, which bounds the memory, and `ValueError` when it is not a JSON array.
    """
    elements, end = _array(text, _after_space(text, 0), most)
    _check_is_end(text, end)
    return elements


def arrays_of(text: str, most: int = sys.maxsize) -> dict[str, list[bytes]]:
    """The fields of an object that are arrays of at most `most` elements: these, each in one line.

    Raises `ValueError` when it is not a JSON object.
    """
    fields = _object(text, lambda text, at: _elements(text, at, most))
    return {name: found for name, found in fields.items() if found is not None}


def fields_of(text: str) -> dict[str, bytes]:
    """The fields of an object, each as it is written.

    Raises `ValueError` when it is not a JSON object, or a name occurs twice in it.
    """
    count = 0

    def read(text: str, at: int) -> tuple[bytes, int]:
        nonlocal count
        count += 1
        end = _end(text, at)
        return text[at:end].encode("latin-1"), end

    found = _object(text, read)
    if len(found) < count:
        raise ValueError("a name occurs twice")
    return found


def opened(text: str) -> dict[str, bytes] | list[bytes] | None:
    """The fields or elements of a JSON document, as `whole` returns it, if it is an object or an array."""
    if text.startswith("{"):
        return _object(text, _slice)
    if not text.startswith("["):
        return None
    elements: list[bytes] = []
    at = 1
    while text[at] != "]":
        element, at = _slice(text, at)
        elements.append(element)
        at += text[at] == ","
    return elements


def _slice(text: str, at: int) -> tuple[bytes, int]:
    """The value at `at` as it is written, and where it ends."""
    end = _end(text, at)
    return text[at:end].encode("latin-1"), end


def _object(text: str, read: Callable[[str, int], tuple[_Value, int]]) -> dict[str, _Value]:
    """The fields of an object. `read` returns a value and its end. Of a name that occurs twice, the last counts."""
    at = _after_space(text, 0)
    _expect(text, at, "{")
    found: dict[str, _Value] = {}
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "}":
        _check_is_end(text, at + 1)
        return found
    while True:
        _expect(text, at, '"')
        end = _end(text, at)
        name = text[at + 1 : end - 1]
        if "\\" in name or not name.isascii():
            name = json.loads(text[at:end].encode("latin-1"))
        at = _after_space(text, end)
        _expect(text, at, ":")
        found[name], end = read(text, _after_space(text, at + 1))
        at = _after_space(text, end)
        if text[at : at + 1] == "}":
            _check_is_end(text, at + 1)
            return found
        _expect(text, at, ",")
        at = _after_space(text, at + 1)


def _elements(text: str, at: int, most: int) -> tuple[list[bytes] | None, int]:
    """The elements of the value at `at` if it is an array of at most `most`, and where it ends."""
    if text[at : at + 1] == "[":
        try:
            return _array(text, at, most)
        except TooMany:
            pass
    return None, _end(text, at)


def _array(text: str, at: int, most: int) -> tuple[list[bytes], int]:
    """The elements of the array at `at`, and where it ends. Raises `TooMany`."""
    _expect(text, at, "[")
    elements: list[bytes] = []
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "]":
        return elements, at + 1
    while True:
        end = _end(text, at)
        if len(elements) == most:
            raise TooMany(most)
        elements.append(_compact(text[at:end]))
        at = _after_space(text, end)
        if text[at : at + 1] == "]":
            return elements, at + 1
        _expect(text, at, ",")
        at = _after_space(text, at + 1)


def _end(text: str, at: int) -> int:
    """Where the value at `at` ends."""
    if len(text) - at > _LARGE:
        return json_ends.end_of(text, at)
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise TooDeep from None
    if text.count("[", at, end) + text.count("{", at, end) > MAX_DEPTH and is_deep(value):
        raise TooDeep
    return end


def _after_space(text: str, at: int) -> int:
    if text[at : at + 1] > " ":
        return at
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, character: str) -> None:
    if text[at : at + 1] != character:
        raise ValueError(f"{character} is missing")


def _check_is_end(text: str, at: int) -> None:
    if _after_space(text, at) != len(text):
        raise ValueError("more follows the document")


def _compact(text: str) -> bytes:
    """A value without the space between its parts."""
    if not any(space in text for space in " \n\t\r"):
        return text.encode("latin-1")
    if len(text) <= _LARGE:
        return _without_space(text).encode("latin-1")
    written = io.BytesIO()
    for some in _STRINGS.finditer(text):  # not all of its parts at once
        written.write(_without_space(some[0]).encode("latin-1"))
    return written.getvalue()


def _without_space(text: str) -> str:
    """JSON, or a piece of it with whole strings, without the space between them."""
    parts = _STRING.split(text)
    parts[::2] = [part.translate(_NO_SPACE) for part in parts[::2]]
    return "".join(parts)
