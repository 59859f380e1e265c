"""Exit codes, and errors that are printed in one line."""

from enum import IntEnum

import click


class ExitCode(IntEnum):
    """The exit codes of the command. docs/cli.md has the same table."""

    OK = 0
    ERROR = 1
    """AWS returned an error, the network is down, or `doctor` found a fault."""
    USAGE = 2
    """The command or the message is invalid; nothing was sent."""
    FAILED = 3
    """The request failed: it has an `.err`, and the reason was printed; or `audit` found a violation."""
    NOT_FOUND = 4
    """The request, the object or the deployment was not found."""
    PENDING = 5
    """The request has no outcome yet, or had none within the timeout."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CliError(click.ClickException):
    """An error that is printed as one line, `Error: …`. The message says how to correct it."""

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads the attribute of the instance
