"""`python -m local demo|up|serve|down`: what `make demo`, `make up` and `make down` call."""

import argparse
import os
import signal
import sys
from pathlib import Path

from local import service
from local.demo import run as demo
from local.process import LocalRunError, container

# Where logs, state and results lie. A second local run of one checkout needs another place.
DIRECTORY = Path(os.environ.get("SLUICE_LOCAL_DIRECTORY", Path(__file__).parent.parent / ".local"))


def main() -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description="The local run of Sluice.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="real inputs and every kind of mistake, each outcome checked and shown")
    for name, what in (("up", "start it in the background, and print the exports"), ("serve", "run it here")):
        command = commands.add_parser(name, help=what)
        command.add_argument(
            "containers",
            nargs="*",
            type=container,
            metavar="NAME=URL",
            help="an endpoint's name and the container behind it; the sample models where none is given",
        )
    commands.add_parser("down", help="stop what `up` started")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
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
