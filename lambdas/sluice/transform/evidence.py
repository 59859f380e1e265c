"""What the answers to records alone, and to the same records together, say of the AnswerFormat of a container."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sluice.ports import Inference
from sluice.transform.answer_format import NONE, AnswerError, AnswerFormat, Kind, array_fields, header_of
from sluice.transform.content_types import base_type

_TOLERANCE = 1e-4  # of numbers: a batch is computed in another order than its records alone
_MAX_NAME = 400  # characters of a format's name, which is kept in the metadata of objects
_SIMPLE = (Kind.LINES, Kind.LINES_WITH_HEADER, Kind.JSON_ARRAY, Kind.CSV_ROW)


def in_no_order(first: int, second: int | None = None) -> list[int]:
    """The records that are sent together to find how, and in which order, a container answers them.

    Four is the shortest row of two different records that is changed by reversing it, by sorting it, in either
    direction, by each rotation, and by leaving out what occurs twice.
    """
    return [first, first, first if second is None else second, first]


def format_of(alone: Sequence[Inference], together: Inference) -> AnswerFormat:
    """The format in which `together` holds each of the answers `alone`; NONE when there is no such format."""
    for kind in _SIMPLE:
        if (found := _held(AnswerFormat(kind), alone, together)) is not None:
            return found
    fields = [
        name
        for name in array_fields(together.body)
        if _held(AnswerFormat(Kind.JSON_FIELD, (name,)), alone, together) is not None
    ]
    if not fields:
        return NONE
    tried = AnswerFormat(Kind.JSON_FIELD if len(fields) == 1 else Kind.COLUMNS, tuple(fields))
    return (len(str(tried)) <= _MAX_NAME and _held(tried, alone, together)) or NONE


def _held(tried: AnswerFormat, alone: Sequence[Inference], together: Inference) -> AnswerFormat | None:
    """The format with what is known of the order, if `together` holds each of the answers `alone` in it."""
    try:
        singles = [tried.divide(one.body, one.content_type, 1)[0] for one in alone]
        elements = tried.divide(together.body, together.content_type, len(alone))
    except AnswerError:
        return None
    if tried.kind is Kind.LINES_WITH_HEADER and any(header_of(one.body) != header_of(together.body) for one in alone):
        return None
    if not all(are_equal(single, element) for single, element in zip(singles, elements, strict=True)):
        return None
    content_types = frozenset(base_type(one.content_type or "") for one in [*alone, together])
    return replace(tried, content_types=content_types, is_ordered=not all_equal(singles))


def all_equal(answers: Sequence[bytes]) -> bool:
    """Whether answers are equal, so that it makes no difference in which order they are."""
    return all(are_equal(answers[0], one) for one in answers)


def are_equal(one: bytes, other: bytes) -> bool:
    """Whether two answers are equal, apart from the rounding of numbers."""
    if one == other:
        return True
    try:
        return _are_close(json.loads(one), json.loads(other))
    except (ValueError, OverflowError, RecursionError):
        cells, others = one.split(b","), other.split(b",")
        return len(cells) == len(others) and all(map(_are_close, map(_number, cells), map(_number, others)))


def _number(cell: bytes) -> float | bytes:
    try:
        return float(cell)
    except ValueError:
        return cell.strip()


def _are_close(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return one == other or math.isclose(one, other, rel_tol=_TOLERANCE) or (one != one and other != other)  # noqa: PLR0124 - NaN
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_close(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_close, one, other))
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
