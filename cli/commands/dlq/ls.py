"""`sluice dlq ls`: list failed requests."""

from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.dlq.display import open_reader, print_groups, select
from cli.dlq.filters import Filter
from cli.dlq.groups import Groups
from cli.dlq.options import filter_options, visibility_timeout_option
from cli.options import deployment_options
from cli.output import Output

_COLUMNS = ("MessageId", "ErrorCode", "EndpointName", "FailedAt", "TraceId", "InferenceId", "ErrorMessage")


@click.command(epilog="Exit code: 0.")
@filter_options
@click.option("--each", is_flag=True, help="Print a line per message instead of one per reason.")
@visibility_timeout_option
@deployment_options
def ls(
    deployment: Deployment, output: Output, *, criteria: Filter, each: bool, visibility_timeout: timedelta | None
) -> None:
    """List failed requests, grouped by reason and endpoint.

    \b
    Examples:
      sluice dlq ls
      sluice dlq ls --newer-than 1h
      sluice dlq ls --each --reason ModelError --endpoint-name wine
    """
    with open_reader(deployment, output, visibility_timeout) as reader:
        dead_letters = select(reader, criteria)
        if each:
            output.table(_COLUMNS, (dead_letter.fields() for dead_letter in dead_letters))
            return
        groups = Groups()
        for dead_letter in dead_letters:
            groups.add(dead_letter)
        print_groups(output, groups)
