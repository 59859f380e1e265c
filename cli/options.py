"""Options that several commands share."""

import functools
import math
from collections.abc import Callable
from typing import Any

import click

from cli.deployment import Deployment, DeploymentRef
from cli.output import Output


class Number(click.FloatRange):
    """The type of an option for a number within limits. `accepts` says in words what an error asks for."""

    name = "number"

    def __init__(self, accepts: str, **limits: Any) -> None:
        super().__init__(**limits)
        self._accepts = accepts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """`value` as a finite number. Raises `click.BadParameter`, which names the option."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{value!r} is not {self._accepts}", param, ctx)
        return number


class WholeNumber(click.IntRange):
    """The type of an option for a whole number within limits, as `Number`."""

    name = "integer"

    def __init__(self, accepts: str, **limits: Any) -> None:
        super().__init__(**limits)
        self._accepts = accepts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """`value` as a whole number. Raises `click.BadParameter`, which names the option."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not {self._accepts}", param, ctx)


POSITIVE = Number("a number over 0, such as 20 or 0.5", min=0, min_open=True)

max_per_second_option = click.option(
    "--max-per-second",
    type=POSITIVE,
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
