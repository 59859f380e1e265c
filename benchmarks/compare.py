"""`make compare BASE=…`: the functions of another checkout and of this one, side by side in one run, as ratios.

    python compare.py BASE_CHECKOUT

The two alternate in each case, so that a change of the machine's speed affects both. Only the ratios count.
"""

import itertools
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from goals import SMALL_CPU
from interpreter import measured_on
from machine import Machine, cpu_shares, machine
from run import Case, measure

_ROOT = Path(__file__).parents[1]
_LATENCIES_MS = (0, 50, 200)
_BATCHES = (10, 100, 1000)
_PROCESSES = 5
_COLD_STARTS = 9

_Figures = dict[str, float]


def ratios(base: Callable[[], _Figures], this: Callable[[], _Figures], count: int) -> dict[str, tuple[float, float]]:
    """Measure both in turn, `count` times. The median of the base, and the median of the pairs' ratios, by figure."""
    pairs = [(base(), this()) for _ in range(count)]
    return {
        name: (
            statistics.median(one[name] for one, _ in pairs),
            statistics.median(other[name] / one[name] for one, other in pairs),
        )
        for name in pairs[0][0]
    }


def _print(case: str, found: dict[str, tuple[float, float]]) -> None:
    figures = "  ".join(f"{name} {base:.4g} × {ratio:.2f}" for name, (base, ratio) in found.items())
    sys.stdout.write(f"{case:28s} {figures}\n")
    sys.stdout.flush()


def _compiled(checkout: Path, folder: Path) -> Path:
    shutil.copytree(checkout / "lambdas", folder, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], check=True)
    return folder


def main() -> None:
    """Compare the checkout that the first argument names with this one."""
    sys.stdout.write(f"{measured_on()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, this = _compiled(Path(sys.argv[1]), folder / "base"), _compiled(_ROOT, folder / "this")
        with machine(folder, base) as base_host, cpu_shares(SMALL_CPU, 1) as groups:
            this_host = base_host.with_lambdas(this)

            def cold(host: Machine) -> _Figures:
                return host.run("cold.py", "sluice", str(time.monotonic_ns()))

            _print("cold start", ratios(lambda: cold(base_host), lambda: cold(this_host), _COLD_STARTS))
            for cpu, batch, latency in itertools.product((1.0, SMALL_CPU), _BATCHES, _LATENCIES_MS):
                if cpu < 1 and not groups:
                    continue  # creating a cgroup requires root
                case, group = Case("sluice", latency, batch, cpu), groups[0] if cpu < 1 else None
                calls = min(batch, 100)

                def run(host: Machine, case: Case = case, group: str | None = group, calls: int = calls) -> _Figures:
                    return measure(host, case, group, warm=7, calls=calls)

                found = ratios(lambda: run(base_host), lambda: run(this_host), _PROCESSES)
                _print(f"{batch} × {latency} ms, {cpu} CPU", found)


if __name__ == "__main__":
    main()
