"""The `sluice` command group."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)
from click.exceptions import NoArgsIsHelpError

from cli.commands.audit import audit
from cli.commands.backfill import backfill
from cli.commands.dlq import dlq
from cli.commands.doctor import doctor
from cli.commands.drop import drop
from cli.commands.openai_server import openai_server
from cli.commands.result import result
from cli.commands.send import send
from cli.commands.size import size
from cli.commands.status import status
from cli.commands.transform import transform
from cli.commands.wait import wait
from cli.commands.watch import watch
from cli.errors import CliError, ExitCode
from sluice.failures import Failure

_NO_CREDENTIALS = "; sign in, for example with `aws sso login`, and choose the profile with --profile or AWS_PROFILE"
_ADVICE: dict[type[BotoCoreError], str] = {
    NoCredentialsError: _NO_CREDENTIALS,
    PartialCredentialsError: _NO_CREDENTIALS,
    EndpointConnectionError: "; check the network, --region, and AWS_ENDPOINT_URL if it is set",
    ConnectTimeoutError: "; check the network, --region, and AWS_ENDPOINT_URL if it is set",
}


def _advice(error: BotoCoreError) -> str:
    return next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), "")


@contextmanager
def _usage_errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:  # shows the help
        raise
    except click.UsageError as error:
        message = " ".join(error.format_message().split("\n\t")).removesuffix(".")
        command = error.ctx.command_path if error.ctx else "sluice"
        raise CliError(f"{message} (see `{command} --help`)", ExitCode.USAGE) from None


class _Group(click.Group):
    """A group that reports usage errors, AWS errors, validation failures and Ctrl-C in one line each."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _usage_errors_in_one_line():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with _usage_errors_in_one_line():
                return super().invoke(ctx)
        except ClientError as error:
            details = error.response["Error"]
            raise CliError(f"{error.operation_name}: {details.get('Code')}: {details.get('Message')}") from None
        except BotoCoreError as error:
            raise CliError(f"{error}{_advice(error)}") from None
        except Failure as failure:
            raise CliError(failure.message, ExitCode.USAGE) from None
        except KeyboardInterrupt:
            # A second Ctrl-C would print a traceback after the error line.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise CliError("interrupted", ExitCode.INTERRUPTED) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sluice")
def main() -> None:
    """Send requests to a Sluice deployment, follow them, and operate the deployment."""


for _command in (
    send,
    drop,
    status,
    result,
    wait,
    transform,
    watch,
    dlq,
    backfill,
    audit,
    doctor,
    size,
    openai_server,
):
    main.add_command(_command)
