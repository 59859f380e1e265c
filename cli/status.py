"""`sluice status`: how a request stands."""

from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.durations import DURATION
from cli.options import deployed
from cli.output import Output
from cli.requests import SINCE, Requests
from cli.standing import worst

since_option = click.option(
    "--since",
    type=DURATION,
    default=SINCE,
    show_default="3d",
    help="How far back to search the logs, for what the results bucket doesn't tell.",
)


@click.command(
    short_help="Say how a request stands.",
    epilog="Exit code: 0 done, 3 failed, 4 nothing known, 5 pending or retrying.",
)
@deployed
@click.argument("request")
@since_option
@click.pass_context
def status(ctx: click.Context, deployment: Deployment, output: Output, request: str, since: timedelta) -> None:
    """Say how a request stands: pending, retrying, done, failed, expired, superseded.

    REQUEST is an inference ID, a trace ID, an SQS message ID, the key of an input (invoke/…, transform/…), an s3:// URI
    of one, or the name of a result (messages/…). For a file under transform/, it says how many bytes are done.

    \b
    Examples:
      sluice status order-7
      sluice status invoke/digits/7.png
      sluice status transform/wine/customers.csv --json
    """
    standings = Requests(deployment, since).find(request)
    for number, standing in enumerate(standings):
        if number and not output.as_json:
            output.line("")
        output.document(standing.document())
    ctx.exit(worst(standings))
