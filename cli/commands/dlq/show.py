"""`sluice dlq show`: print messages of the dead-letter queue."""

from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.dlq.display import open_reader, select
from cli.dlq.filters import Filter
from cli.dlq.options import filter_options, limit_option, visibility_timeout_option
from cli.errors import CliError, ExitCode
from cli.options import deployment_options
from cli.output import Output, sanitize


@click.command(epilog="Exit code: 0, or 4 when no message matches.")
@filter_options
@click.option("--body-only", is_flag=True, help="Print only the bodies, as they were sent.")
@limit_option
@visibility_timeout_option
@deployment_options
def show(
    deployment: Deployment,
    output: Output,
    *,
    criteria: Filter,
    body_only: bool,
    limit: int | None,
    visibility_timeout: timedelta | None,
) -> None:
    """Print messages with all attributes and the body.

    \b
    Examples:
      sluice dlq show --inference-id order-7
      sluice dlq show --inference-id order-7 --body-only > order-7.json
    """
    shown = 0
    with open_reader(deployment, output, visibility_timeout) as reader:
        for dead_letter in select(reader, criteria):
            if body_only:
                output.line(sanitize(dead_letter.body))
            elif output.as_json:
                output.document({**dead_letter.fields(), "Body": dead_letter.body})
            else:
                if shown:
                    output.line("")
                fields = dead_letter.fields()
                output.document({k: sanitize(v) if isinstance(v, str) else v for k, v in fields.items()})
                output.line("\n" + sanitize(dead_letter.body))
            shown += 1
            if shown == limit:
                break
    if not shown:
        raise CliError("no message on the dead-letter queue matches", ExitCode.NOT_FOUND)
