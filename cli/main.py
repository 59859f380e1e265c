"""`sluice`: the command line of a deployment's users and operators."""

import click
from botocore.exceptions import BotoCoreError, ClientError

from cli.backfill.command import backfill
from cli.dlq.commands import dlq
from cli.doctor.command import doctor
from cli.errors import CliError


class _Group(click.Group):
    """A group whose commands' AWS errors are one line."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            said = error.response["Error"]
            raise CliError(f"{error.operation_name}: {said.get('Code')}: {said.get('Message')}") from None
        except BotoCoreError as error:
            raise CliError(str(error)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sluice")
def main() -> None:
    """Send requests to a Sluice deployment, see how they end, and look after it."""


main.add_command(backfill)
main.add_command(dlq)
main.add_command(doctor)
