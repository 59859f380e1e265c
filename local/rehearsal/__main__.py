"""`make rehearse`: deploys, changes and destroys each case by the CDK CLI, and prints and writes the table."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from rich.console import Console

from local.process import LocalRunError
from local.rehearsal import cdk
from local.rehearsal.account import local_account
from local.rehearsal.cases import CASES, Case
from local.rehearsal.report import show, write
from local.rehearsal.run import Outcome, bootstrap, rehearse


def main() -> int:
    """Rehearse the cases that are given, or all, and return the exit code: 1 if one failed."""
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="WORD", help="words of the names of cases; default: all cases")
    parser.add_argument("--jobs", type=int, default=2, help="cases at once, each in an account of its own")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # exit normally, so that child processes are stopped
    cases = [case for case in CASES if not given.cases or any(word in case.name for word in given.cases)]
    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    try:
        console.print(f"The CDK CLI {cdk.version()}, against the local AWS: {len(cases)} cases, about a minute each.")
        prepared, outcomes = _run(console, cases, min(given.jobs, len(cases)))
    except LocalRunError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    show(console, prepared, outcomes)
    failed = [one for one in outcomes if one.failed]
    if not failed and len(cases) == len(CASES):
        write(prepared, outcomes)
        console.print("Written to docs/operations.md.")
    return 1 if failed else 0


def _run(console: Console, cases: Sequence[Case], jobs: int) -> tuple[str, list[Outcome]]:
    """What `bootstrap` deployed, in words, and the outcomes, in the order of the cases."""
    waiting: SimpleQueue[Case] = SimpleQueue()
    for case in cases:
        waiting.put(case)
    outcomes: dict[str, Outcome] = {}

    def job(directory: Path) -> str:
        with local_account(directory) as account:
            try:
                prepared = bootstrap(account, cdk.Cdk(account.url, directory))
            except LocalRunError as error:
                console.print(f"bootstrap: {error}", markup=False)
                raise
            while True:
                try:
                    case = waiting.get_nowait()
                except Empty:
                    return prepared
                outcomes[case.name] = rehearse(case, account, directory / str(cases.index(case)))
                console.print(f"{case.name}: {outcomes[case.name].failed or 'as expected'}", markup=False)

    with tempfile.TemporaryDirectory(prefix="sluice-rehearsal-") as name, ThreadPoolExecutor(jobs) as executor:
        prepared = list(executor.map(job, [Path(name, f"account-{number}") for number in range(jobs)]))
    return prepared[0], [outcomes[case.name] for case in cases]


if __name__ == "__main__":
    sys.exit(main())
