"""The options of the commands that look up requests."""

import click

from cli.lookup.requests import DEFAULT_SINCE
from cli.timefmt import Duration, humanize

since_option = click.option(
    "--since",
    type=Duration(),
    default=humanize(DEFAULT_SINCE.total_seconds()),
    show_default=True,
    help="How far back to search the logs when the results bucket has no outcome.",
)

timeout_option = click.option(
    "--timeout",
    type=Duration(),
    default="5m",
    show_default=True,
    help="How long to wait for outcomes.",
)
