"""Options that several commands share."""

import functools
from collections.abc import Callable
from typing import Any

import click

from cli.deployment import Deployment, DeploymentRef
from cli.output import Output

max_per_second_option = click.option(
    "--max-per-second",
    type=click.FloatRange(min=0, min_open=True),
    help="Send at most this number of messages per second.",
)


def deployment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--stack`, `--profile`, `--region` and `--json` to a command.

    The command is called with a `Deployment` and an `Output` as its first arguments.
    """

    @click.option(
        "--stack",
        envvar="SLUICE_STACK",
        default="Sluice",
        show_default=True,
        help="Stack of the deployment; for a pipeline within your own stack, STACK/PREFIX of its outputs.",
    )
    @click.option("--profile", envvar="AWS_PROFILE", help="AWS profile.")
    @click.option("--region", help="AWS region.  [default: from the environment or the profile]")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one document per line.")
    @functools.wraps(command)
    def wrapped(
        *arguments: Any, stack: str, profile: str | None, region: str | None, as_json: bool, **options: Any
    ) -> Any:
        deployment = Deployment(DeploymentRef(stack, profile, region))
        return command(deployment, Output(as_json=as_json), *arguments, **options)

    return wrapped
