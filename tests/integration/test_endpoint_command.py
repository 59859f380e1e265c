"""`python -m local.endpoint` as a process: its options, its log, its end."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from local.process import free_port

ROOT = Path(__file__).parents[2]
Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command and waits until it responds."""
    processes: list[subprocess.Popen[str]] = []

    def run(*options: str) -> tuple[subprocess.Popen[str], str]:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "local.endpoint", "--port", str(port), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        url = f"http://127.0.0.1:{port}"
        wait(lambda: process.poll() is None and healthy(url))
        return process, url

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def healthy(url: str) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return httpx2.get(f"{url}/_health", trust_env=False).status_code == 200
    return False


def post(url: str, body: bytes, timeout: float = 30) -> httpx2.Response:
    return httpx2.post(
        f"{url}/endpoints/wine/invocations",
        content=body,
        headers={"Authorization": "AWS4-HMAC-SHA256 x", "X-Amzn-SageMaker-Inference-Id": "order-7"},
        timeout=timeout,
        trust_env=False,
    )


def test_the_options_take_effect_and_the_log_has_no_payload(start: Start, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"rules": [{"fault": "capacity", "times": 1}]}))
    container = f"wine=http://127.0.0.1:{free_port()}"
    process, url = start("--endpoint", container, "--max-body-bytes", "20", "--faults", str(faults))
    assert "no capacity" in post(url, b"secret payload").json()["Message"]
    assert post(url, b"secret payload").headers["x-amzn-errortype"] == "ServiceUnavailable"
    assert "less than or equal to 20" in post(url, b"secret payload" * 2).json()["Message"]
    with pytest.raises(httpx2.TransportError):  # only on 127.0.0.1
        httpx2.get(url.replace("127.0.0.1", "127.0.0.2"), timeout=2, trust_env=False)
    process.terminate()
    output, log = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert [line.split(maxsplit=2)[2] for line in log.splitlines()] == [
        "wine order-7 ValidationError",
        "wine order-7 ServiceUnavailable",
        "wine order-7 ValidationError",
    ]
    assert output == ""


def test_a_hanging_call_does_not_delay_the_shutdown(start: Start) -> None:
    process, url = start("--endpoint", "wine=http://127.0.0.1:1")
    rules = {"rules": [{"fault": "hang"}]}
    httpx2.put(f"{url}/_faults", json=rules, trust_env=False).raise_for_status()

    def hanging() -> None:
        with contextlib.suppress(httpx2.TransportError):
            post(url, b"x", timeout=300)

    caller = threading.Thread(target=hanging)
    caller.start()
    wait(lambda: httpx2.get(f"{url}/_calls", trust_env=False).json()["Counts"]["Calls"] == 1)
    process.terminate()
    process.communicate(timeout=60)
    caller.join(60)
    assert not caller.is_alive()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--endpoint", "wine"], "must be NAME=URL"),
        (["--endpoint", "wine=http://127.0.0.1:1", "--faults", "/nowhere"], "--faults: [Errno 2]"),
        (["--endpoint", "wine=http://127.0.0.1:1", "--faults", "pyproject.toml"], "--faults: 1 validation error"),
    ],
)
def test_an_invalid_option_is_rejected_with_a_message(options: list[str], says: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "local.endpoint", "--port", "1", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
