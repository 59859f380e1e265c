"""`sluice transform`: the commands for files under transform/."""

import click

from cli.commands.transform.retry import retry


@click.group()
def transform() -> None:
    """Work on files under transform/, whose lines are records."""


transform.add_command(retry)
