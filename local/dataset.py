"""`make dataset`: transforms any number of rows on the local run, and compares each line with a single process.

Prints the duration, the number of calls, and the peak memory of the functions' processes.
"""

import argparse
import contextlib
import sys
from pathlib import Path

from rich.console import Console

from local.demo.transform import Dataset, transform
from local.engine import running

_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Transform a dataset, and print differences from the expected result."""
    parser = argparse.ArgumentParser(prog="make dataset", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--poisoned", type=int, default=50)
    given = parser.parse_args()
    directory = _ROOT / ".local" / "dataset"
    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    with contextlib.ExitStack() as stack:
        with console.status("Starting the local run…"):
            engine = stack.enter_context(
                running(directory, {"concurrent_requests": 12, "concurrent_dataset_requests": 10})
            )
        dataset = Dataset.make(given.rows, given.poisoned)
        wrong = transform(console, engine, directory, dataset, limit_seconds=1800)
        for name, megabytes in sorted(_functions_memory_mb()):
            console.print(f"Peak memory of {name}: {megabytes:.0f} MB.")
    for line in wrong:
        console.print(f"[red]Not expected:[/red] {line}")
    return 1 if wrong else 0


def _functions_memory_mb() -> list[tuple[str, float]]:
    """The function's name and peak memory of each process that runs one of Sluice's handlers."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            variables = dict(
                one.split("=", 1) for one in (status.parent / "environ").read_text().split("\0") if "=" in one
            )
            if "SLUICE_PART_QUEUE_URL" in variables:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
                name = variables.get("AWS_LAMBDA_FUNCTION_NAME", "a function")
                found.append((name, int(fields["VmHWM"].split()[0]) / 1024))
    return found


if __name__ == "__main__":
    sys.exit(main())
