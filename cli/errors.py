"""How the command line ends: its exit codes, and errors that are one line."""

from enum import IntEnum

import click


class ExitCode(IntEnum):
    """What a shell script can tell apart; docs/cli.md has the same table."""

    OK = 0
    ERROR = 1
    """Something went wrong: AWS refused, the network is down, doctor found a fault."""
    USAGE = 2
    """The command or the message is wrong; nothing was sent."""
    FAILED = 3
    """The request failed: there is an `.err`, which was shown."""
    NOT_FOUND = 4
    """Nothing is known of the request, the object or the deployment."""
    PENDING = 5
    """There is no outcome yet, or not within the time given."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CliError(click.ClickException):
    """An error in one line that says what to do about it."""

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it of the instance
