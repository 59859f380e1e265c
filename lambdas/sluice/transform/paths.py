"""JSONPath, as far as Batch Transform's filters support it.

Its operators (SageMaker Developer Guide, "Associate Prediction Results with Input Records"): `$`, `.name`,
`['name', …]`, `[index, …]` from the end if negative, `[start:end]`, both together as in `[0,5:]`, and the wildcard `*`,
as `.*` or `[*]`.
"""

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
# an element twice: with 100 such steps, a path would find 2^100 values. A step with indices from both ends may do so,
# and one with a slice beside others.
_MAX_MIXED = 2


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
        mixed = 0
        at = 1
        while at < len(text):
            found = _STEP.match(text, at)
            if found is None:
                raise PathError(f"is not understood from character {at + 1} on")
            step, several = _step(found, is_last=found.end() == len(text))
            mixed += _is_mixed(found["elements"])
            if mixed > _MAX_MIXED:
                raise PathError(f"has over {_MAX_MIXED} steps that may select an element twice")
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


def _is_mixed(elements: str | None) -> bool:
    several = (elements or "").split(",")
    return len(several) > 1 and (":" in "".join(several) or len({"-" in one for one in several}) > 1)


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
