"""Durations and times: how the options are written, and how the output shows them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

EXAMPLES = "30s, 10m, 1.5h, 3d or 1w"
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhdw])", re.ASCII)
_LONGEST = timedelta(days=3650)  # a date that far back can still be computed, and no log is older


class Duration(click.ParamType[timedelta]):
    """The type of every option that takes a duration: a number and a unit, such as `90s` or `1.5h`.

    A number without a unit is refused, because the unit can't be guessed. `shortest` and `longest` are both allowed.
    """

    name = "duration"

    def __init__(self, shortest: timedelta = timedelta(0), longest: timedelta = _LONGEST) -> None:
        self._shortest = shortest
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """`value` as a `timedelta`. Raises `click.BadParameter`, which names the option, with examples."""
        if isinstance(value, timedelta):
            return value
        found = _DURATION.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not a duration; write a number and a unit, such as {EXAMPLES}", param, ctx)
        number, unit = found.groups()
        seconds = float(number) * _UNIT_SECONDS[unit]
        if not self._shortest.total_seconds() <= seconds <= self._longest.total_seconds():
            limits = f"{humanize(self._shortest.total_seconds())} to {humanize(self._longest.total_seconds())}"
            self.fail(f"{value!r} is out of range; give a duration from {limits}", param, ctx)
        return timedelta(seconds=seconds)


def humanize(seconds: float) -> str:
    """A duration in the largest unit of which it has at least two, rounded down: `45s`, `12m`, `3h`, `2d`.

    The output is a valid value of a `Duration` option. A negative duration, from clocks that differ, becomes `0s`.
    """
    whole = max(0, round(seconds))
    for unit in ("d", "h", "m"):
        if whole >= 2 * _UNIT_SECONDS[unit]:
            return f"{whole // _UNIT_SECONDS[unit]}{unit}"
    return f"{whole}s"


def format_utc(moment: datetime) -> str:
    """A time in UTC in ISO 8601, to the second: `2026-11-25T20:38:57Z`. `moment` must have a time zone."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
