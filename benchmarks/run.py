"""`make bench`: runs every contestant on the same batches; writes results.json, and the docs' tables and plots.

Exits with 1 if Sluice misses a required figure.
"""

import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

from goals import IN_FLIGHT, IN_FLIGHT_MS, LATENCIES_MS, SMALL_CPU
from interpreter import measured_on
from machine import Machine, cpu_shares, machine

_ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results.json")
# These make one or a few calls at a time and mostly wait, so several of them can be measured in parallel.
PARALLEL = ("naive", "powertools", "powertools_async")
# These use their core fully, so they are measured one after another.
SEQUENTIAL = ("shared_aiobotocore", "sluice")
BATCHES = (10, 100)
_PARALLELISM = 6
_PROCESSES = 3
_COLD_STARTS = 9


@dataclass(frozen=True)
class Case:
    """One measurement: a contestant, the model's latency, the batch size and the CPU share."""

    contestant: str
    latency_ms: int
    batch: int
    cpu: float


def measure(
    host: Machine, case: Case, group: str | None, *, warm: int, pause: float = 0.1, calls: int | None = None
) -> dict[str, float]:
    """Run one case in one process, with `calls` concurrent calls (default: the batch size) in the cgroup `group`."""
    cgroup = [] if group is None else [group]
    arguments = [case.contestant, str(case.latency_ms), str(case.batch), str(warm), str(pause), *cgroup]
    return host.run("measure.py", *arguments, calls=calls or case.batch)


def _median(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in results) for name in results[0]}


def batches(host: Machine, groups: list[str]) -> list[dict[str, object]]:
    """Run all contestants on all batches. Each parallel process has its own cgroup."""
    cpus = (1.0, SMALL_CPU) if groups else (1.0,)
    free: SimpleQueue[str] = SimpleQueue()
    for group in groups:
        free.put(group)

    def measure_in_free_group(case: Case) -> dict[str, float]:
        group = free.get() if case.cpu < 1 else None
        try:
            return measure(host, case, group, warm=1)
        finally:
            if group is not None:
                free.put(group)

    found: dict[Case, dict[str, float]] = {}
    parallel = [Case(*one) for one in itertools.product(PARALLEL, LATENCIES_MS, BATCHES, cpus)]
    parallel.sort(key=lambda case: -case.batch * case.latency_ms)
    with ThreadPoolExecutor(_PARALLELISM) as pool:
        results = pool.map(measure_in_free_group, parallel)
        for case, result in zip(parallel, results, strict=True):
            _print(case, result)
            found[case] = result
    for latency in LATENCIES_MS:
        found[Case("limit", latency, 1, 1.0)] = measure(host, Case("limit", latency, 1, 1.0), None, warm=9)
    for one in itertools.product(SEQUENTIAL, LATENCIES_MS, BATCHES, cpus):
        case = Case(*one)
        warm = 3 if case.latency_ms == 1000 else 9
        group = groups[0] if case.cpu < 1 else None
        found[case] = _median([measure(host, case, group, warm=warm) for _ in range(_PROCESSES)])
        _print(case, found[case])
    return [{**asdict(case), **result} for case, result in found.items()]


def growth(host: Machine) -> dict[int, float]:
    """Sluice's CPU milliseconds per message by batch size, with ten concurrent calls and no pause between batches.

    The model responds immediately: a core is slower after it has waited, by more than the effect to be measured.
    """
    return {
        batch: statistics.median(
            measure(host, Case("sluice", 0, batch, 1.0), None, warm=max(5, 2000 // batch), pause=0, calls=10)[
                "cpu_ms_per_message"
            ]
            for _ in range(_PROCESSES)
        )
        for batch in (10, 100, 1000)
    }


def in_flight(host: Machine, groups: list[str]) -> list[dict[str, float]]:
    """A thousand slow calls at once, with a whole CPU, and with that of 512 MB if possible."""
    found = []
    for cpu, group in ((1.0, None), *((SMALL_CPU, group) for group in groups[:1])):
        case = Case("sluice", IN_FLIGHT_MS, IN_FLIGHT, cpu)
        result = measure(host, case, group, warm=1)
        _print(case, result)
        found.append({"cpu": cpu, **result})
    return found


def cold_starts(host: Machine, uncompiled: Path) -> dict[str, dict[str, float]]:
    """Times from the start of the process to the initialized handler, and to its first result; alternately measured."""
    taken: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(_COLD_STARTS):
        for name in ("usual", "sluice"):
            taken[name].append(host.run("cold.py", name, str(time.monotonic_ns())))
    bare = [host.run("cold.py", "sluice", str(time.monotonic_ns()), python=("-B",), lambdas=uncompiled)]
    bare += [host.run("cold.py", "sluice", str(time.monotonic_ns()), python=("-B",), lambdas=uncompiled)]
    return {**{name: _median(results) for name, results in taken.items()}, "sluice, no bytecode": _median(bare)}


def without_bytecode(folder: Path, lambdas: Path) -> Path:
    """The code and dependencies of a function without bytecode."""
    bare = folder / "bare"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(lambdas, bare, ignore=ignore)
    site = Path(sysconfig.get_path("purelib"))
    for requirement in (_ROOT / "lambdas" / "requirements.txt").read_text().splitlines():
        package = requirement.partition("==")[0].replace("-", "_")
        if (site / package).is_dir() and not requirement.startswith("#"):
            shutil.copytree(site / package, bare / package, ignore=ignore)
    return bare


def import_shares(host: Machine, lambdas: Path) -> dict[str, dict[str, float]]:
    """Milliseconds that the import of each package takes, without the packages that it imports."""
    shares = {}
    for name in ("usual", "sluice"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", str(Path(__file__).with_name("cold.py")), name, "0"],
            env=host.environment(10, lambdas),
            capture_output=True,
            text=True,
            check=True,
        )
        own: dict[str, float] = defaultdict(float)
        for microseconds, module in re.findall(
            r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", done.stderr, re.MULTILINE
        ):
            package = module.partition(".")[0]
            own["the standard library" if package in sys.stdlib_module_names else package] += int(microseconds) / 1000
        shares[name] = dict(sorted(own.items(), key=lambda item: -item[1])[:8])
    return shares


def ceiling(host: Machine) -> dict[str, float]:
    """The utilization of the stub's core at Sluice's highest load."""
    before, started = host.stub_cpu_seconds(), time.monotonic()
    result = measure(host, Case("sluice", 50, 100, 1.0), None, warm=40, pause=0)
    busy = (host.stub_cpu_seconds() - before) / (time.monotonic() - started)
    return {"share_of_its_core": busy, "requests_per_second": 300 / result["warm_batch_seconds"]}


def transforms(host: Machine) -> dict[str, dict[str, float]]:
    """The rows of a file: many per call, one per call, and a boto3 loop; with a model that takes 50 ms per call."""
    found = {}
    for kind, rows in (("multi", 10_000), ("single", 500), ("loop", 500)):
        runs = [host.run("transform.py", kind, "50", str(rows)) for _ in range(_PROCESSES)]
        found[kind] = _median(runs)
    return found


def layer_bytes() -> int:
    """The unpacked size of one function's code and layer."""
    program = "from infrastructure.code import code; from infrastructure.dependencies import layer;"
    program += (
        "print(sum(p.stat().st_size for f in (code('lambda'), layer('lambda')) for p in f.rglob('*') if p.is_file()))"
    )
    command = [str(_ROOT / ".venv" / "bin" / "python"), "-c", program]
    # Includes bytecode if this Python has the version of the Lambda runtime.
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    return int(subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True).stdout)


def _print(case: Case, result: dict[str, float]) -> None:
    line = f"{case.contestant:20s} {case.latency_ms:5d} ms × {case.batch:4d}, {case.cpu:4.2f} CPU: "
    line += f"{result['warm_batch_seconds']:8.3f} s warm, {result['first_batch_seconds']:8.3f} s first, "
    sys.stdout.write(line + f"{result['cpu_ms_per_message']:6.2f} ms CPU per message\n")
    sys.stdout.flush()


def main() -> int:
    """Measure everything, and write the results. Return the exit code."""
    sys.stdout.write(f"{measured_on()}\n")
    sys.stdout.flush()
    from report import report  # noqa: PLC0415 - the import takes a second, and is only needed at the end

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        lambdas = Path(folder, "lambdas")
        shutil.copytree(_ROOT / "lambdas", lambdas, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(lambdas), str(Path(__file__).parent)], check=True)
        with machine(Path(folder), lambdas) as host, cpu_shares(SMALL_CPU, _PARALLELISM) as groups:
            if not groups:
                sys.stdout.write(
                    "No permission to create a cgroup (requires root): the columns for 0.29 CPU are omitted.\n"
                )
            results = {
                "python": platform.python_version(),
                "cold_starts": cold_starts(host, without_bytecode(Path(folder), lambdas)),
                "imports_ms": import_shares(host, lambdas),
                "cpu_ms_per_message_by_batch": growth(host),
                "stub": ceiling(host),
                "in_flight": in_flight(host, groups),
                "transform": transforms(host),
                "unpacked_bytes": layer_bytes(),
                "batches": batches(host, groups),
            }
    results["minutes"] = (time.monotonic() - started) / 60
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    code = report(json.loads(RESULTS.read_text()))
    sys.stdout.write(f"{measured_on()}\n")  # again, after some hundred lines
    return code


if __name__ == "__main__":
    sys.exit(main())
