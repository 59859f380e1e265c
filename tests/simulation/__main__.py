"""`python -m tests.simulation --seeds 1 2 --requests 10000`: the command behind `make simulate`."""

import argparse
import io
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.faults import KINDS
from tests.simulation.log import client_in
from tests.simulation.shrink import smallest
from tests.simulation.simulation import Plan, Result, run

_FEW = 100  # clients, up to which the log is printed
_LINES = 120  # of the log of a violating run that are printed


def main() -> int:
    """Run each seed, print its digest and its counts, and return the exit status: 0 if nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--requests", type=int, default=10_000, help="for each seed, about")
    parser.add_argument("--only", help="the numbers of the clients that take part, such as 3,17")
    parser.add_argument("--without", default="", help=f"kinds of faults that do not occur: {','.join(KINDS)}")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write the log; with one seed only")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cut-seconds", type=float, default=600, help="of real time, to cut a failing run down")
    given = parser.parse_args()
    only = frozenset(map(int, given.only.split(","))) if given.only else None
    off = frozenset(filter(None, given.without.split(",")))
    if (given.log and len(given.seeds) > 1) or not off <= set(KINDS):
        parser.error("--log takes one seed, and --without the kinds of faults of its help")
    plans = [Plan(seed, given.requests, only, off) for seed in given.seeds]
    began = time.monotonic()
    if len(plans) == 1:
        results = [_run_one(plans[0], given.log)]
        _print(results[0])
    else:
        with ProcessPoolExecutor(given.processes) as executor:
            results = []
            for result in executor.map(run, plans):
                results.append(result)
                _print(result)
    seconds, requests = time.monotonic() - began, sum(one.requests for one in results)
    per_hour = 3600 * requests / seconds
    _write(f"{len(results)} runs, {requests:,d} requests, {seconds:.0f} s: {per_hour:,.0f} requests an hour\n")
    violating = [one for one in results if one.violations]
    for result in violating:
        _print_smallest(smallest(result, seconds=given.cut_seconds))
    return bool(violating)


def _run_one(plan: Plan, log: Path | None) -> Result:
    if log is None:
        return run(plan)
    with log.open("w", encoding="utf-8", errors="backslashreplace") as file:
        return run(plan, file)


def _print(result: Result) -> None:
    plan = result.plan
    _write(f"Seed {plan.seed}: {result.lines:,d} lines, {result.seconds:,.0f} s of virtual time\n")
    _write(f"  sha256 {result.sha256}\n")
    for name, number in sorted(result.counts.items()):
        _write(f"{number:11,d}  {name}\n")
    _write(f"{len(result.violations):11,d}  violations of the guarantee\n")
    for violation in result.violations[:20]:
        _write(f"             {violation.client} {violation.text}\n")
    sys.stdout.flush()


def _print_smallest(result: Result) -> None:
    """The smallest violating run: what it violates, its log, and the command that replays it."""
    plan = result.plan
    command = f"python -m tests.simulation --seeds {plan.seed} --requests {plan.requests}"
    if plan.only is not None:
        command += f" --only {','.join(map(str, plan.numbers))}"
    if plan.off:
        command += f" --without {','.join(sorted(plan.off))}"
    _write(f"\nSeed {plan.seed}, cut down to {len(plan.numbers)} clients:\n  {command}\n")
    if len(plan.numbers) > _FEW:  # it fails only under this load, or the time was not enough
        return
    file = io.StringIO()
    again = run(plan, file)
    clients = {one.client for one in again.violations}
    lines = file.getvalue().splitlines()
    about = [line for line in lines if client_in(line) in clients or " killed " in line] if "" not in clients else lines
    for line in (about if len(lines) > _LINES else lines)[:_LINES]:
        _write(f"    {line}\n")
    for violation in again.violations[:20]:
        _write(f"  violated: {violation.client} {violation.text}\n")


def _write(text: str) -> None:
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())


if __name__ == "__main__":
    sys.exit(main())
