"""Which dead letters are meant: by reason, endpoint, age and IDs."""

import functools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import click

from cli.dlq.letter import Letter

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Age(click.ParamType[timedelta]):
    """A time span such as 90s, 30m, 2h or 7d."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """`value` as a `timedelta`."""
        if isinstance(value, timedelta):
            return value
        if (found := re.fullmatch(r"(\d{1,6})([smhdw])", value)) is None:
            self.fail(f"{value!r} is not a number with s, m, h, d or w behind it, such as 2h", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


@dataclass(frozen=True, slots=True)
class Filter:
    """What a dead letter must be to be meant. Nothing set means every one."""

    reasons: Collection[str] = ()
    endpoint_name: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    trace_id: str | None = None
    inference_id: str | None = None

    def matches(self, letter: Letter, now: datetime) -> bool:
        """Whether `letter` is meant. Ages are reckoned from `now` back to when it failed."""
        age = now - letter.failed_at
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.endpoint_name is None or letter.endpoint_name == self.endpoint_name)
            and (self.older_than is None or age > self.older_than)
            and (self.newer_than is None or age < self.newer_than)
            and (self.trace_id is None or letter.attributes.get("TraceId") == self.trace_id)
            and (self.inference_id is None or letter.attributes.get("InferenceId") == self.inference_id)
        )


_OPTIONS = (
    click.option("--reason", "reasons", multiple=True, help="ErrorCode, such as ModelError; may be given repeatedly."),
    click.option("--endpoint", "endpoint_name", help="EndpointName."),
    click.option("--older-than", type=Age(), metavar="AGE", help="Failed longer ago than this, such as 2h."),
    click.option("--newer-than", type=Age(), metavar="AGE", help="Failed since then, such as 30m."),
    click.option("--trace-id", help="TraceId."),
    click.option("--inference-id", help="InferenceId."),
)


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the filters' options: it gets them as `chosen`, a `Filter`."""

    @functools.wraps(command)
    def wrapped(
        *arguments: Any,
        reasons: tuple[str, ...],
        endpoint_name: str | None,
        older_than: timedelta | None,
        newer_than: timedelta | None,
        trace_id: str | None,
        inference_id: str | None,
        **options: Any,
    ) -> Any:
        chosen = Filter(reasons, endpoint_name, older_than, newer_than, trace_id, inference_id)
        return command(*arguments, chosen=chosen, **options)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
