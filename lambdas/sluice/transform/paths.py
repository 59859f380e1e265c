"""JSONPath, as far as Batch Transform's filters support it.

Its operators (SageMaker Developer Guide, "Associate Prediction Results with Input Records"): `$`, `.name`,
`['name', …]`, `[index, …]` from the end if negative, `[start:end]`, and the wildcard `*`, as `.*` or `[*]`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

_STEP = re.compile(
    r"""
    \.?\[\s*(?P<wild>\*)\s*\]
    | \.?\[\s*(?P<start>-?\d+)?\s*:\s*(?P<end>-?\d+)?\s*\]
    | \.?\[\s*(?P<indices>-?\d+(?:\s*,\s*-?\d+)*)\s*\]
    | \.?\[\s*(?P<names>'[^']*'(?:\s*,\s*'[^']*')*)\s*\]
    | \.(?P<any>\*)
    | \.(?P<name>[A-Za-z_][\w-]*)
    """,
    re.VERBOSE,
)

_Step = Callable[[Any], list[Any]]
_Selector = TypeVar("_Selector", int, str)

# Each step goes one level down, so the values that a path finds are disjoint parts of the record, unless a step selects
# an element twice: with 100 such steps, a path would find 2^100 values. A step with indices from both ends may do so.
_MAX_MIXED = 2


class PathError(ValueError):
    """A path that cannot be parsed; the text says where."""


class NotThere(LookupError):
    """A path that selects one value finds none in a record."""


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. One with a slice, a wildcard or several names finds a list; any other finds one value."""

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
            step, several = _step(found)
            mixed += _is_mixed(found["indices"])
            if mixed > _MAX_MIXED:
                raise PathError(f"has over {_MAX_MIXED} steps with indices from both ends")
            steps.append(step)
            many = many or several
            at = found.end()
        return cls(text, tuple(steps), many)

    @property
    def is_root(self) -> bool:
        """Whether it is `$`, which finds the record itself."""
        return not self.steps

    def find(self, record: Any) -> Any:
        """What it finds in `record`. Raises `NotThere` when it names one value and there is none."""
        values = [record]
        for step in self.steps:
            values = [found for value in values for found in step(value)]
        if self.many:
            return values
        if not values:
            raise NotThere
        return values[0]


def _step(found: re.Match[str]) -> tuple[_Step, bool]:
    """The step, and whether it may find several values."""
    if found["wild"] or found["any"]:
        return _children, True
    if found["name"]:
        return _names([found["name"]]), False
    if found["names"]:
        names = _distinct(re.findall(r"'([^']*)'", found["names"]))
        return _names(names), len(names) > 1
    if found["indices"]:
        indices = _distinct([int(index) for index in found["indices"].split(",")])
        return _indices(indices), len(indices) > 1
    part = slice(*(int(found[end]) if found[end] else None for end in ("start", "end")))
    return (lambda value: value[part] if isinstance(value, list) else []), True


def _distinct(selected: list[_Selector]) -> list[_Selector]:
    if len(set(selected)) != len(selected):
        raise PathError("selects an element twice in one step")
    return selected


def _is_mixed(indices: str | None) -> bool:
    signs = {index.strip().startswith("-") for index in (indices or "").split(",")}
    return len(signs) > 1


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _names(names: list[str]) -> _Step:
    return lambda value: [value[name] for name in names if name in value] if isinstance(value, dict) else []


def _indices(indices: list[int]) -> _Step:
    def step(value: Any) -> list[Any]:
        if not isinstance(value, list):
            return []
        return [value[index] for index in indices if -len(value) <= index < len(value)]

    return step
