"""Spans of time on the command line: `30s`, `10m`, `2h`, `3d`."""

import re
from datetime import timedelta
from typing import Any

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)([smhd])", re.ASCII)


class Duration(click.ParamType[timedelta]):
    """A number with its unit; a bare number is refused, as nobody can know what was meant."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """`value` as a span of time. Fails as click's types do."""
        if isinstance(value, timedelta):
            return value
        found = _SPAN.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no span of time; write it as 30s, 10m, 2h or 3d", param, ctx)
        return timedelta(**{_UNITS[found[2]]: float(found[1])})


DURATION = Duration()


def spoken(seconds: float) -> str:
    """Seconds as people say them, in one unit: `45 s`, `12 min`, `3 h`, `2 d`."""
    for unit, of in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * of:
            return f"{seconds // of:.0f} {unit}"
    return f"{seconds:.0f} s"
