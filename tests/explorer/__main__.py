"""`python -m tests.explorer`: every schedule of every scenario; `--replay ID` prints one of them step by step."""

import argparse
import sys
import time

from tests.explorer.datasets import DATASETS
from tests.explorer.explorer import Schedule, replay, schedules
from tests.explorer.scenarios import SCENARIOS

ALL = {**SCENARIOS, **DATASETS}


def main() -> int:
    """Explore, and print the shortest violating schedule of each scenario. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--preemptions", type=int, default=2, help="how often a delivery may be interrupted by another")
    parser.add_argument(
        "--kills", type=int, default=1, help="how many workers are killed, or writes refused or without response"
    )
    parser.add_argument("--replay", metavar="ID", help="print one schedule")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    options = parser.parse_args()
    if options.replay:
        found = replay(ALL, options.replay)
        _print(found)
        return bool(found.violations)
    total, violating = 0, 0
    for name in options.scenarios or ALL:
        began, count, worst = time.monotonic(), 0, None
        for one in schedules(ALL[name], preemptions=options.preemptions, kills=options.kills):
            count += 1
            if one.violations and (worst is None or len(one.log) < len(worst.log)):
                worst = one
        total += count
        sys.stdout.write(f"{name:45s} {count:8,d} schedules  {time.monotonic() - began:6.1f} s\n")
        sys.stdout.flush()
        if worst is not None:
            violating += 1
            _print(worst)
    sys.stdout.write(f"{len(options.scenarios or ALL)} scenarios, {total:,d} schedules, {violating} violated\n")
    return bool(violating)


def _print(one: Schedule) -> None:
    sys.stdout.write(f"{one.id}\n" + "".join(f"    {line}\n" for line in one.log))
    for violation in one.violations:
        sys.stdout.write(f"  violated: {violation}\n")


if __name__ == "__main__":
    sys.exit(main())
