"""Options that the `sluice dlq` commands share."""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from cli.dlq.filters import Filter
from cli.options import WholeNumber
from cli.timefmt import Duration

_MAX_VISIBILITY_TIMEOUT = timedelta(hours=12)  # SQS limit

visibility_timeout_option = click.option(
    "--visibility-timeout",
    type=Duration(shortest=timedelta(seconds=1), longest=_MAX_VISIBILITY_TIMEOUT),
    help="How long received messages stay hidden if the command is killed.  [default: 1m plus 1s per 20 messages]",
)

limit_option = click.option(
    "--limit", type=WholeNumber("a whole number of at least 1", min=1), help="At most this number of messages."
)

_FILTER_OPTIONS = (
    click.option("--reason", "reasons", multiple=True, help="ErrorCode, such as ModelError; repeatable."),
    click.option("--endpoint-name", help="EndpointName."),
    click.option("--older-than", type=Duration(), help="Failed longer ago than this, such as 2h."),
    click.option("--newer-than", type=Duration(), help="Failed within this time, such as 30m."),
    click.option("--trace-id", help="TraceId."),
    click.option("--inference-id", help="InferenceId."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filter options to a command. It is called with the argument `criteria`, a `Filter`."""

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
        criteria = Filter(reasons, endpoint_name, older_than, newer_than, trace_id, inference_id)
        return command(*arguments, criteria=criteria, **options)

    for option in reversed(_FILTER_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
