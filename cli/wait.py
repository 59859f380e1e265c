"""`sluice wait`: until requests have an outcome."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.durations import DURATION
from cli.options import deployed
from cli.output import Output
from cli.requests import Requests
from cli.standing import Standing, worst
from cli.status import since_option
from cli.waiting import until_ended

timeout_option = click.option(
    "--timeout",
    type=DURATION,
    default=timedelta(minutes=5),
    show_default="5m",
    help="How long to wait at most.",
)


@click.command(epilog="Exit code: 0 all answered, 3 one failed, 4 nothing known of one, 5 one has no outcome in time.")
@deployed
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
    """Wait until each request has an outcome, and say what it is.

    REQUESTS are what `sluice status` takes.

    \b
    Examples:
      sluice wait order-7 order-8 --timeout 2m
      sluice wait transform/wine/customers.csv && sluice result transform/wine/customers.csv
    """
    found = until_ended(Requests(deployment, since), requests, timeout.total_seconds())
    told(output, found)
    ctx.exit(worst([one for several in found.values() for one in several]))


def told(output: Output, found: Mapping[str, Sequence[Standing]]) -> None:
    """Print how requests ended: a line for each."""
    output.table(
        ("Request", "State", "Reason"),
        (
            {"Request": text, **standing.document(), "Reason": standing.reason}
            for text, standings in found.items()
            for standing in standings
        ),
    )
