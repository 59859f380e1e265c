"""`sluice`: the command line of a deployment's users and operators."""

import signal

import click
from botocore.exceptions import BotoCoreError, ClientError

from cli.drop import drop
from cli.errors import CliError, ExitCode
from cli.result import result
from cli.send import send
from cli.size import command as size
from cli.status import status
from cli.wait import wait
from cli.watch import watch
from sluice.failures import Failure


class _Group(click.Group):
    """A group whose commands' errors are one line: AWS's, a rule's that is broken, Ctrl-C."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            said = error.response["Error"]
            raise CliError(f"{error.operation_name}: {said.get('Code')}: {said.get('Message')}") from None
        except BotoCoreError as error:
            raise CliError(str(error)) from None
        except Failure as failure:
            raise CliError(failure.message, ExitCode.USAGE) from None
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only spoil the line
            raise CliError("interrupted", ExitCode.INTERRUPTED) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sluice")
def main() -> None:
    """Send requests to a Sluice deployment, see how they end, and look after it."""


main.add_command(send)
main.add_command(drop)
main.add_command(status)
main.add_command(result)
main.add_command(wait)
main.add_command(watch)
main.add_command(size)
