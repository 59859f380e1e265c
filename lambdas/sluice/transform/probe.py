"""Finds the AnswerFormat of a file: what a container answers to its first records alone, and to them together."""

import json
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.error_codes import ErrorCode
from sluice.failures import ServiceError
from sluice.ports import Inference
from sluice.transform.answer_format import NONE, AnswerError, AnswerFormat, Kind, array_fields, header_of
from sluice.transform.bisect import Calls, record_failure
from sluice.transform.part_calls import OutOfTime

_FIRST = 8  # records that are tried in order; after these, others from all over the part
_TOLERANCE = 1e-4  # of numbers: a batch is computed in another order than its records alone
_MAX_NAME = 400  # characters of a format's name, which is kept in the metadata of objects
_SIMPLE = (Kind.LINES, Kind.LINES_WITH_HEADER, Kind.JSON_ARRAY, Kind.CSV_ROW)


@dataclass(slots=True)
class Probe:
    """The evidence for a format. `alone` are the answers to records that were sent alone, by index.

    `ask` sends the records of the given indices together, and `sent` returns what is sent for one. A
    request has at most `most_bytes`.
    """

    calls: Calls
    ask: Callable[[Sequence[int]], Awaitable[Inference]]
    sent: Callable[[int], bytes]
    most_bytes: int
    alone: dict[int, Inference] = field(default_factory=dict)

    async def find(self, indices: Sequence[int]) -> AnswerFormat | None:
        """The format; None when every record was refused.

        The answers in `alone` are not asked for again. Raises what `Calls.refuse` and the calls raise.
        """
        await self._ask_alone(indices)
        if not self.alone:
            return None
        first, *others = self.alone
        second = others[0] if others else first
        group = [first, second, first]
        if sum(len(self.sent(index)) + 1 for index in group) > self.most_bytes:
            return NONE
        try:
            together = await self._ask_together(group)
        except ServiceError as error:
            record_failure(error)  # raises it, unless the model has refused them together
            return NONE
        return format_of([self.alone[first], self.alone[second], self.alone[first]], together)

    async def _ask_alone(self, indices: Sequence[int]) -> None:
        """Ask for two different records. Only the first few are tried, or more until one of them is answered."""
        tried = 0
        answered = {self.sent(index) for index in self.alone}
        for index in _in_turn(indices):
            self.calls.works = self.calls.works or bool(self.alone)
            if len(self.alone) == 2 or (self.alone and tried >= _FIRST):
                return
            record = self.sent(index)
            if record in answered:
                continue
            tried += 1
            try:
                self.alone[index] = await self._ask_one(index)
            except (ServiceError, AnswerError) as error:
                await self.calls.refuse(index, record_failure(error))
            else:
                answered.add(record)

    async def _ask_one(self, index: int) -> Inference:
        inference = await self.calls.paid(lambda: self.ask([index]))
        if not inference.body.strip():
            raise AnswerError("the answer is empty")
        return inference

    async def _ask_together(self, group: Sequence[int]) -> Inference:
        """The answer to a group. It is refused only twice: one refusal may have another cause than that it is a group.

        Unless that took long: a group that timed out would do so again, and the function may have no time for it.
        """
        try:
            return await self.calls.paid(lambda: self.ask(group))
        except ServiceError as error:
            if record_failure(error).code == ErrorCode.MODEL_TIMEOUT:
                raise
            try:
                return await self.calls.paid(lambda: self.ask(group))
            except OutOfTime:
                raise error from None


def _in_turn(indices: Sequence[int]) -> Iterator[int]:
    """The first ones in order, then each other one once, from all over: what refuses some refuses their neighbours."""
    yield from indices[:_FIRST]
    rest = indices[_FIRST:]
    step = max(1, int(len(rest) * (math.sqrt(5) - 1) / 2))
    while rest and math.gcd(step, len(rest)) > 1:
        step += 1
    for number in range(len(rest)):
        yield rest[number * step % len(rest)]


def format_of(alone: Sequence[Inference], together: Inference) -> AnswerFormat:
    """The format in which `together` holds each of the answers `alone`; NONE when there is no such format."""
    for kind in _SIMPLE:
        if _holds(AnswerFormat(kind), alone, together):
            return AnswerFormat(kind)
    fields = [
        name for name in array_fields(together.body) if _holds(AnswerFormat(Kind.JSON_FIELD, (name,)), alone, together)
    ]
    if not fields:
        return NONE
    found = AnswerFormat(Kind.JSON_FIELD if len(fields) == 1 else Kind.COLUMNS, tuple(fields))
    return found if len(str(found)) <= _MAX_NAME else NONE


def _holds(tried: AnswerFormat, alone: Sequence[Inference], together: Inference) -> bool:
    try:
        singles = [tried.divide(one.body, one.content_type, 1)[0] for one in alone]
        elements = tried.divide(together.body, together.content_type, len(alone))
    except AnswerError:
        return False
    if tried.kind is Kind.LINES_WITH_HEADER and any(header_of(one.body) != header_of(together.body) for one in alone):
        return False
    return all(_are_equal(single, element) for single, element in zip(singles, elements, strict=True))


def _are_equal(one: bytes, other: bytes) -> bool:
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
