"""`sluice wait`: wait until requests have an outcome."""

from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.lookup.answer import print_outcomes
from cli.lookup.options import since_option, timeout_option
from cli.lookup.polling import poll_until_final
from cli.lookup.requests import RequestLookup
from cli.lookup.status import combined_exit_code
from cli.options import deployment_options
from cli.output import Output


@click.command(
    epilog="Exit code: 0 all answered, 3 a request failed, 4 a request is not found, 5 a request has no outcome within "
    "--timeout."
)
@deployment_options
@click.argument("requests", nargs=-1, required=True)
@timeout_option
@since_option
@click.pass_context
def wait(
    ctx: click.Context,
    deployment: Deployment,
    output: Output,
    *,
    requests: tuple[str, ...],
    timeout: timedelta,
    since: timedelta,
) -> None:
    """Wait until each request has an outcome, and print the outcomes.

    REQUESTS are as for `sluice status`.

    \b
    Examples:
      sluice wait order-7 order-8 --timeout 2m
      sluice wait transform/wine/customers.csv && sluice result transform/wine/customers.csv
    """
    lookup = RequestLookup(deployment, since)
    found = poll_until_final(lookup, [lookup.query(request) for request in requests], timeout.total_seconds())
    print_outcomes(output, found)
    ctx.exit(combined_exit_code([status for statuses in found.values() for status in statuses]))
