r"""Where values end in a JSON text that is large, found without making values of it.

A string of a million characters is one match, and so is an array of a million numbers. The quantifiers are possessive
(`++`, `*+`): others would note a place to return to for each repetition, which takes over 100 bytes a character.
"""

import re

from sluice.inputs.strict_json import MAX_DEPTH, TooDeep

STRING = r'"(?:[^"\\]++|\\.)*+"'

_SPACE = r"[ \t\n\r]*+"
_KEY = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_SCALAR = rf"(?:{_KEY}|-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null|NaN|-?+Infinity)"


def _holding(value: str) -> str:
    """The pattern of a scalar, or of an array or object of values."""
    rest = rf"{_SPACE},{_SPACE}"
    field = rf"{_KEY}{_SPACE}:{_SPACE}{value}"
    array = rf"\[{_SPACE}(?:{value}(?:{rest}{value})*+)?+{_SPACE}\]"
    fields = rf"\{{{_SPACE}(?:{field}(?:{rest}{field})*+)?+{_SPACE}\}}"
    return rf"(?:{_SCALAR}|{array}|{fields})"


_FLAT = _holding(_SCALAR)
# By how many arrays and objects a value may have within each other.
_VALUES = [re.compile(pattern) for pattern in (_SCALAR, _FLAT, _holding(_FLAT))]
_NAME = re.compile(rf"{_KEY}{_SPACE}:{_SPACE}")
_OPENING = re.compile(rf"([\[{{]){_SPACE}")
_AFTER = re.compile(rf"{_SPACE}([,\]}}]){_SPACE}")
_CLOSING = {"[": "]", "{": "}"}


def end_of(text: str, at: int) -> int:
    """Where the value at `at` ends. Raises `TooDeep`, and `ValueError` when it is not JSON."""
    opened: list[str] = []  # the closing characters of what the value at `at` is in
    while True:
        found = _VALUES[min(len(_VALUES) - 1, MAX_DEPTH - len(opened))].match(text, at)
        if found is None:
            opening = _OPENING.match(text, at)
            if opening is None:
                raise ValueError("Expecting value")
            if len(opened) == MAX_DEPTH:
                raise TooDeep
            opened.append(_CLOSING[opening[1]])
            at = _after_name(text, opening.end(), opened)
            continue
        at = found.end()
        while opened:
            after = _AFTER.match(text, at)
            if after is None or (after[1] != "," and after[1] != opened[-1]):
                raise ValueError(f"Expecting ',' or '{opened[-1]}'")
            if after[1] == ",":
                at = _after_name(text, after.end(), opened)
                break
            at = after.end(1)
            opened.pop()
        if not opened:
            return at


def _after_name(text: str, at: int, opened: list[str]) -> int:
    """Where the value begins of the field or element at `at`."""
    if opened[-1] == "]":
        return at
    name = _NAME.match(text, at)
    if name is None:
        raise ValueError("Expecting a property name")
    return name.end()
