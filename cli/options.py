"""The options that every command of a deployment has."""

import functools
from collections.abc import Callable
from typing import Any

import click

from cli.deployment import Deployment, Where
from cli.output import Output


def deployed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--stack`, `--profile`, `--region` and `--json`: it gets `Deployment` and `Output` before all."""

    @click.option(
        "--stack",
        envvar="SLUICE_STACK",
        default="Sluice",
        show_default=True,
        help="The deployment's stack; for a pipeline in a stack of your own, STACK/PREFIX of its outputs.",
    )
    @click.option("--profile", envvar="AWS_PROFILE", help="AWS profile.")
    @click.option("--region", help="AWS region. Default: the environment's, or the profile's.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line.")
    @functools.wraps(command)
    def wrapped(
        *arguments: Any, stack: str, profile: str | None, region: str | None, as_json: bool, **options: Any
    ) -> Any:
        deployment = Deployment(Where(stack, profile, region))
        return command(deployment, Output(as_json=as_json), *arguments, **options)

    return wrapped
