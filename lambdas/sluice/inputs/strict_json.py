"""JSON from outside, with a limit on its nesting.

RFC 8259, section 9, allows a parser to limit the depth of nesting. Without a limit of our own, a deep document fails
with a `RecursionError`, at a depth that depends on the Python version and on the callers. The failure table does not
know that error: the request would be retried, and its calls would be billed again.
"""

import json
import sys
from typing import Any, NoReturn

from sluice.failures import invalid

MAX_DEPTH = 200  # arrays and objects within each other; pydantic's own limit for a JsonValue is 254

_CONTAINERS = (dict, list)


class TooDeep(ValueError):
    """A document with more than `MAX_DEPTH` arrays and objects within each other."""

    def __init__(self) -> None:
        super().__init__(f"is nested too deeply: over {MAX_DEPTH} levels")


class _Refused(ValueError):
    """A document that is JSON by its grammar, but is not accepted; the text is the rule."""


def loads(text: str | bytes, **hooks: Any) -> Any:
    """As `json.loads`. Raises `TooDeep` beyond `MAX_DEPTH` levels, and `ValueError` for what is not JSON."""
    try:
        value = json.loads(text, **hooks)
    except RecursionError:
        raise TooDeep from None
    opening = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    # With few brackets the document cannot be deep, and nothing more has to be looked at.
    if opening > MAX_DEPTH and is_deep(value):
        raise TooDeep
    return value


def is_deep(value: Any) -> bool:
    """Whether a value has more than `MAX_DEPTH` arrays and objects within each other."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, _CONTAINERS)
        ]
        if not level:
            return False
    return True


def load_json(text: str, field: str) -> Any:
    """`text` as JSON, parsed more strictly than by `json.loads`: no NaN, no infinite numbers, no key twice.

    Each of these would be forwarded with another meaning. A lone surrogate has no UTF-8: it could be neither stored,
    nor sent, nor be part of an identity. Raises `Failure` (invalid), which names `field` and the rule,
    but nothing of the content.
    """
    try:
        value = loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise invalid(field, f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except TooDeep as error:
        raise invalid(field, str(error)) from None
    except _Refused as error:
        raise invalid(field, f"is not acceptable JSON: {error}") from None
    except ValueError:  # the one that is left: Python's limit on the digits of an integer
        digits = sys.get_int_max_str_digits()
        raise invalid(field, f"is not acceptable JSON: an integer has over {digits} digits") from None
    if not _has_utf8(text, value):
        raise invalid(field, "holds a lone surrogate, which has no UTF-8; send binary as BodyBase64")
    return value


def _has_utf8(text: str, value: Any) -> bool:
    """Whether neither the text nor what its escapes stand for holds a lone surrogate."""
    try:
        text.encode()
        if "\\u" in text:
            compact(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise _Refused("a number is too large for JSON's usual range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise _Refused("a key occurs twice in one object")
    return unique


def compact(value: Any) -> str:
    """`value` as JSON in one line, without unnecessary characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def compact_bytes(value: Any) -> bytes:
    r"""`compact(value)` in UTF-8. A lone surrogate, which has no UTF-8, is written as JSON's escape, as in `\ud800`."""
    return compact(value).encode(errors="backslashreplace")
