"""`python -m local.chaos --requests 5000 --seeds 1 2 3`: the command behind `make chaos`."""

import argparse
import sys
from pathlib import Path

from local.chaos.run import interrupt_on_sigterm, run
from local.process import LocalRunError

_DIRECTORY = Path(__file__).parents[2] / ".local" / "chaos"


def main() -> int:
    """Run each seed, and return the exit code: 0 if no run has violations."""
    parser = argparse.ArgumentParser(prog="python -m local.chaos", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--directory", type=Path, default=_DIRECTORY)
    given = parser.parse_args()
    interrupt_on_sigterm()
    try:
        return max(run(given.directory, given.requests, seed) for seed in given.seeds)
    except LocalRunError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line's error
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
