"""`sluice result`: write the answer to a request."""

from datetime import timedelta
from pathlib import Path

import click

from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from cli.lookup.answer import write_answer
from cli.lookup.options import since_option
from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestStatus
from cli.options import deployment_options
from cli.output import Output


@click.command(
    short_help="Write the answer to a request.",
    epilog="Exit code: 0 answered, 3 failed, 4 not found, 5 pending or retrying.",
)
@deployment_options
@click.argument("request")
@click.option(
    "--output", "-o", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write the answer to this file."
)
@since_option
def result(deployment: Deployment, output: Output, request: str, target: Path | None, since: timedelta) -> None:
    """Write the answer to a request to standard output, byte for byte as the model returned it.

    REQUEST is as for `sluice status`. With --json, the output is one document: the status, and the answer as Body or
    BodyBase64. When there is no answer, the reason is printed to standard error.

    \b
    Examples:
      sluice result order-7 | jq .predictions
      sluice result invoke/digits/7.png --output seven.json
    """
    lookup = RequestLookup(deployment, since)
    query = lookup.query(request)

    def look_up() -> RequestStatus:
        statuses = lookup.find(query)
        if len(statuses) > 1:
            names = ", ".join(status.name for status in statuses)
            raise CliError(f"{request} is the trace ID of several requests; give one of: {names}", ExitCode.USAGE)
        return statuses[0]

    write_answer(deployment, output, request, look_up(), look_up=look_up, target=target)
