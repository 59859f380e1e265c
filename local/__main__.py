"""`python -m local demo|up|serve|down`: the commands behind `make demo`, `make up` and `make down`."""

import argparse
import os
import signal
import sys
from pathlib import Path

from local import service
from local.demo import run as demo
from local.process import LocalRunError, container

# The directory for logs, state and results. A second local run of the same checkout needs a different one.
DIRECTORY = Path(os.environ.get("SLUICE_LOCAL_DIRECTORY", Path(__file__).parent.parent / ".local"))


def main() -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description="The local run of Sluice.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="send real inputs and every kind of mistake, and check and show each outcome")
    for name, description in (
        ("up", "start the local run in the background, and print the exports"),
        ("serve", "run it in the foreground"),
    ):
        command = commands.add_parser(name, help=description)
        command.add_argument(
            "containers",
            nargs="*",
            type=container,
            metavar="NAME=URL",
            help="an endpoint's name and its container; default: the sample models",
        )
    commands.add_parser("down", help="stop the local run that `up` started")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # exit normally, so that child processes are stopped
    try:
        if given.command == "demo":
            return demo.run(DIRECTORY / "demo")
        if given.command == "up":
            return service.up(DIRECTORY / "up", dict(given.containers))
        if given.command == "serve":
            return service.serve(DIRECTORY / "up", dict(given.containers))
        return service.down(DIRECTORY / "up")
    except LocalRunError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line's error
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)  # noqa: T201 - as above
        return 130


if __name__ == "__main__":
    sys.exit(main())
