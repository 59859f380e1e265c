"""JSONPath, as far as Batch Transform's filters support it.

Its operators (SageMaker Developer Guide, "Associate Prediction Results with Input Records"): `$`, `.name`,
`['name', …]`, `[index, …]` from the end if negative, `[start:end]`, both together as in `[0,5:]`, and the wildcard `*`,
as `.*` or `[*]`.
"""

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sluice.transform.values import Json

_STEP = re.compile(
    r"""
    \.?\[\s*(?P<wild>\*)\s*\]
    | \.?\[\s*(?P<elements>(?:SLICE|-?\d+)(?:\s*,\s*(?:SLICE|-?\d+))*)\s*\]
    | \.?\[\s*(?P<names>'[^']*'(?:\s*,\s*'[^']*')*)\s*\]
    | \.(?P<any>\*)
    | \.(?P<name>[A-Za-z_][\w-]*)
    """.replace("SLICE", r"(?:-?\d+)?\s*:\s*(?:-?\d+)?"),
    re.VERBOSE,
)

_Step = Callable[[Any], list[Any]]
_Selector = TypeVar("_Selector", str, int | slice)

# Each step goes one level down, so the values that a path finds are disjoint parts of the record, unless a step selects
# an element several times: `[0:,1:,2:]` does so three times, and 100 steps `[0,-1]` would find 2^100 values. What is
# found must not be much larger than the record.
_MAX_TIMES = 4


class PathError(ValueError):
    """A path that cannot be parsed; the text says where."""


class NotThere(LookupError):
    """A path that selects one value finds none in a record."""


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. One with a slice, a wildcard or several indices finds a list; any other finds one value.

    Several names at its end are one value, an object with these names; further within, they are several values.
    """

    text: str
    steps: tuple[_Step, ...]
    many: bool

    @classmethod
    def parse(cls, text: str) -> "Path":
        """Raises `PathError`."""
        if not text.startswith("$"):
            raise PathError("must begin with $")
        steps: list[_Step] = []
        many = False
        times = 1
        at = 1
        while at < len(text):
            found = _STEP.match(text, at)
            if found is None:
                raise PathError(f"is not understood from character {at + 1} on")
            step, several = _step(found, is_last=found.end() == len(text))
            times *= _times(found["elements"])
            if times > _MAX_TIMES:
                raise PathError(f"may select an element over {_MAX_TIMES} times")
            steps.append(step)
            many = many or several
            at = found.end()
        return cls(text, tuple(steps), many)

    @property
    def is_root(self) -> bool:
        """Whether it is `$`, which finds the record itself."""
        return not self.steps

    @property
    def begins_with_name(self) -> bool:
        """Whether it looks for a field at first, which an array has not."""
        return re.match(r"\$(?:\.?\[\s*'|\.[A-Za-z_])", self.text) is not None

    def find(self, record: Any) -> Any:
        """What it finds in `record`. Raises `NotThere` when there is no element at an index, or none of the names."""
        values = [record]
        for step in self.steps:
            values = [found for value in values for found in step(value)]
        if self.many:
            return values
        if not values:
            raise NotThere
        return values[0]


def _step(found: re.Match[str], *, is_last: bool) -> tuple[_Step, bool]:
    """The step, and whether it may find several values."""
    if found["wild"] or found["any"]:
        return _children, True
    if found["name"]:
        return _names([found["name"]]), False
    if found["names"]:
        names = _distinct(re.findall(r"'([^']*)'", found["names"]))
        return (_object(names), False) if is_last and len(names) > 1 else (_names(names), len(names) > 1)
    selectors = _distinct([_selector(one) for one in found["elements"].split(",")])
    return _elements(selectors), len(selectors) > 1 or isinstance(selectors[0], slice)


def _selector(text: str) -> int | slice:
    start, is_slice, end = (part.strip() for part in text.partition(":"))
    if not is_slice:
        return int(start)
    return slice(int(start) if start else None, int(end) if end else None)


def _distinct(selected: list[_Selector]) -> list[_Selector]:
    if any(one in selected[:number] for number, one in enumerate(selected)):
        raise PathError("selects an element twice in one step")
    return selected


def _times(elements: str | None) -> int:
    """How often a step may select an element: those from the beginning, from the end, and between both add up."""
    from_begin, from_end, between = list[tuple[float, float]](), list[tuple[float, float]](), 0
    for one in map(_selector, elements.split(",")) if elements else ():
        if not isinstance(one, slice):
            (from_end if one < 0 else from_begin).append((one, one + 1))
            continue
        begin, end = one.start or 0, math.inf if one.stop is None else one.stop
        if begin >= 0 and end >= 0:
            from_begin.append((begin, end))
        elif begin < 0 and (one.stop is None or end < 0):
            from_end.append((begin, min(end, 0)))
        else:
            between += 1
    return max(1, _depth(from_begin) + _depth(from_end) + between)


def _depth(ranges: list[tuple[float, float]]) -> int:
    """How many of the ranges overlap in one place, at most."""
    edges = sorted(edge for begin, end in ranges if begin < end for edge in ((begin, 1), (end, -1)))
    return max(itertools.accumulate(change for _, change in edges), default=0)


def _opened(value: Any) -> Any:
    return value.opened() if isinstance(value, Json) else value


def _children(value: Any) -> list[Any]:
    value = _opened(value)
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _names(names: list[str]) -> _Step:
    def step(value: Any) -> list[Any]:
        value = _opened(value)
        return [value[name] for name in names if name in value] if isinstance(value, dict) else []

    return step


def _object(names: list[str]) -> _Step:
    def step(value: Any) -> list[Any]:
        value = _opened(value)
        found = {name: value[name] for name in names if name in value} if isinstance(value, dict) else {}
        return [found] if found else []

    return step


def _elements(selectors: list[int | slice]) -> _Step:
    """Raises `NotThere` when a row is too short: it would be taken for one with fewer columns (DataProcessing)."""

    def step(value: Any) -> list[Any]:
        value = _opened(value)
        if not isinstance(value, list):
            return []
        found: list[Any] = []
        for one in selectors:
            if isinstance(one, slice):
                found += value[one]
            elif -len(value) <= one < len(value):
                found.append(value[one])
            else:
                raise NotThere
        return found

    return step
