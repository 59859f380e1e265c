"""Runs contestants against the stub: on a core of their own, optionally with a limited share of its CPU time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from goals import IN_FLIGHT_MS, LATENCIES_MS

_HERE = Path(__file__).parent
_PERIOD_US = 20_000  # as in Lambda; the default of 100 ms would limit the resolution of the measurement
_CGROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))  # version 1, version 2


class Machine:
    """Runs contestants' processes against one stub."""

    def __init__(self, folder: Path, lambdas: Path, port: int, stub_pid: int) -> None:
        self._folder = folder
        self._lambdas = lambdas
        self._port = port
        self._url = f"https://127.0.0.1:{port}"
        self._stub_pid = stub_pid

    def with_lambdas(self, lambdas: Path) -> "Machine":
        """The same machine for other code of the functions."""
        return Machine(self._folder, lambdas, self._port, self._stub_pid)

    def run(
        self,
        script: str,
        *arguments: str,
        calls: int = 10,
        python: tuple[str, ...] = (),
        lambdas: Path | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> dict[str, float]:
        """Run a script, and return the JSON that it prints. Raises `RuntimeError` with its last line if it fails."""
        done = subprocess.run(
            [*_first_core(), sys.executable, *python, str(_HERE / script), *arguments],
            env={**self.environment(calls, lambdas or self._lambdas), **(extra or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{script} {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1:]}")
        result: dict[str, float] = json.loads(done.stdout)
        return result

    def environment(self, calls: int, lambdas: Path) -> dict[str, str]:
        """The environment of a Lambda function, as the stack sets it."""
        return {
            "HOME": str(self._folder),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(_HERE), str(lambdas)]),
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEXAMPLE" * 16,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": self._url,
            "AWS_CA_BUNDLE": str(self._folder / "ca.pem"),
            "POWERTOOLS_SERVICE_NAME": "Sluice",
            "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
            "SLUICE_ENDPOINT_NAMES": ",".join(
                f"{kind}-{latency}" for kind in ("latency", "lines") for latency in (0, *LATENCIES_MS, IN_FLIGHT_MS)
            ),
            "SLUICE_DEFAULT_ENDPOINT_NAME": "latency-0",
            "SLUICE_INPUT_BUCKET": "input",
            "SLUICE_RESULTS_BUCKET": "results",
            "SLUICE_SOURCE_QUEUE_URL": f"{self._url}/123456789012/request",
            "SLUICE_DEAD_LETTER_QUEUE_URL": f"{self._url}/123456789012/dead-letter",
            "SLUICE_PART_QUEUE_URL": f"{self._url}/123456789012/request",
            "SLUICE_ASSEMBLY_QUEUE_URL": f"{self._url}/123456789012/assembly",
            "SLUICE_INTERNAL_SENDERS": "AROAEXAMPLEFUNCTION01",
            "SLUICE_MAX_RECEIVE_COUNT": "20",
            "SLUICE_RETRY_BASE_SECONDS": "5",
            "SLUICE_RETRY_CAP_SECONDS": "900",
            "SLUICE_MAX_BODY_BYTES": "6291456",
            "SLUICE_DEFAULT_CONTENT_TYPE": "text/csv",
            "SLUICE_READ_TIMEOUT_SECONDS": "70",
            "SLUICE_CONCURRENT_CALLS": str(calls),
            "SLUICE_TRANSPORT": "lean",
        }

    def stub_cpu_seconds(self) -> float:
        """The CPU time that the stub has used so far."""
        fields = Path(f"/proc/{self._stub_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _first_core() -> list[str]:
    return ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


def _last_core() -> list[str]:
    return ["taskset", "-c", str(max(os.sched_getaffinity(0)))]


@contextmanager
def machine(folder: Path, lambdas: Path, *stub: str) -> Iterator[Machine]:
    """A machine with a running stub. The stub runs on the last core, contestants on the first."""
    script, *arguments = stub or ("stub.py",)
    command = [*_last_core(), sys.executable, str(_HERE / script), str(folder), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None  # noqa: S101 - it is a pipe
            yield Machine(folder, lambdas, int(running.stdout.readline()), running.pid)
        finally:
            running.kill()


@contextmanager
def cpu_shares(share: float, count: int) -> Iterator[list[str]]:
    """The `cgroup.procs` files of `count` cgroups with `share` of one CPU each; empty if cgroups can't be created."""
    groups: list[Path] = []
    try:
        with suppress(OSError):
            for number in range(count):
                groups.append(_cgroup(f"sluice-bench-{os.getpid()}-{number}", share))  # noqa: PERF401 - the finally clause needs the groups created before an error
        yield [str(group / "cgroup.procs") for group in groups] if len(groups) == count else []
    finally:
        for group in groups:
            group.rmdir()


def _cgroup(name: str, share: float) -> Path:
    """Create a cgroup. Raises `OSError` if that is not possible."""
    root = next((root for root in _CGROUPS if os.access(root, os.W_OK)), None)
    if root is None:
        raise PermissionError("can't create a cgroup")
    group = root / name
    group.mkdir()
    quota = str(round(_PERIOD_US * share))
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(quota)
    except OSError:
        group.rmdir()
        raise
    return group
