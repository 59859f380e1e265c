"""`sluice status`: print the status of a request."""

from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.lookup.options import since_option
from cli.lookup.requests import RequestLookup
from cli.lookup.status import combined_exit_code
from cli.options import deployment_options
from cli.output import Output


@click.command(
    short_help="Print the status of a request.",
    epilog="Exit code: 0 done, 3 failed, 4 not found, 5 pending or retrying.",
)
@deployment_options
@click.argument("request")
@since_option
@click.pass_context
def status(ctx: click.Context, deployment: Deployment, output: Output, request: str, since: timedelta) -> None:
    """Print the status of a request: pending, retrying, done, failed, expired, superseded, gone or unknown.

    REQUEST is an inference ID, a trace ID, an SQS message ID, the key of an input (invoke/…, transform/…) or its s3://
    URI, or the name of a result (messages/…, files/…), with or without .out. What may be a key and an ID is looked up
    as a key first. For a file under transform/, the output includes how many bytes are done.

    \b
    Examples:
      sluice status order-7
      sluice status invoke/digits/7.png
      sluice status transform/wine/customers.csv --json
    """
    lookup = RequestLookup(deployment, since)
    statuses = lookup.find(lookup.query(request))
    for number, request_status in enumerate(statuses):
        if number and not output.as_json:
            output.line("")
        output.document(request_status.document())
    ctx.exit(combined_exit_code(statuses))
