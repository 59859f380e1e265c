"""The commands behind `make demo`, `make up` and `make down`: they work, and leave no process running."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from local.process import Child, LocalRunError, free_port
from tests.e2e.conftest import ROOT
from tests.support import isolated

_SECONDS = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Marked:
    """The processes that this test started directly or indirectly, identified by a mark in their environment."""

    def __init__(self, directory: Path) -> None:
        self._mark = f"SLUICE_TEST_MARK={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        self.environment = {**os.environ, name: value, "SLUICE_LOCAL_DIRECTORY": str(directory)}

    def alive(self) -> list[str]:
        found = []
        for process in Path("/proc").iterdir():
            try:
                if self._mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except (OSError, ValueError):
                continue
        return found

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "local", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def marked(tmp_path: Path) -> Marked:
    return Marked(tmp_path)


def real_credentials(directory: Path) -> dict[str, str]:
    """The environment of somebody who uses a real account, with its files in `directory`."""
    aws = directory / "home/.aws"
    aws.mkdir(parents=True)
    keys = (
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"
    )
    (aws / "credentials").write_text(f"[default]\n{keys}[production]\n{keys}")
    (aws / "config").write_text("[default]\nregion = eu-central-1\n[profile production]\nregion = us-east-1\n")
    return {
        "HOME": str(directory / "home"),
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_REGION": "us-east-1",
        "PYTHONPATH": str(ROOT),
    }


def test_the_demo_shows_every_outcome_and_leaves_nothing(marked: Marked, tmp_path: Path) -> None:
    """With real credentials, too, it sends no packet to another machine, not even a DNS query."""
    marked.environment |= real_credentials(tmp_path)
    if isolated.possible():
        done = isolated.run([sys.executable, "-m", "local", "demo"], marked.environment)
        output = done.output
        assert done.returncode == 0, output
        assert done.left_for == []
    else:
        output, _ = marked.start("demo").communicate(timeout=120)
    assert "Every outcome is the expected one." in output, output
    assert "13 answered, 13 dead-lettered" in output
    assert "order-1234" in output
    assert "an OpenAI batch file of 7 prompts" in output
    assert (tmp_path / "demo/results/invoke/digits/0.png.out").read_bytes() == b'{"predictions": [{"label": 0}]}'
    assert marked.alive() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_demo_leaves_nothing(marked: Marked, how: signal.Signals) -> None:
    demo = marked.start("demo")
    wait_until(lambda: any("local.endpoint" in one for one in marked.alive()))
    demo.send_signal(how)
    demo.communicate(timeout=60)
    assert demo.returncode != 0
    wait_until(lambda: marked.alive() == [])


def test_up_prints_exports_that_work_and_down_ends_it(marked: Marked) -> None:
    up = marked.start("up")
    output, _ = up.communicate(timeout=120)
    assert up.returncode == 0, output
    exports = dict(line.removeprefix("export ").split("=", 1) for line in output.splitlines())
    assert {"AWS_ENDPOINT_URL", "INPUT_BUCKET", "RESULTS_BUCKET", "REQUEST_QUEUE_URL"} <= set(exports)
    assert httpx2.get(f"{exports['AWS_ENDPOINT_URL']}/_ministack/health", trust_env=False).status_code == 200
    again, _ = marked.start("up").communicate(timeout=60)
    assert again == output, "it is up already"
    assert "down" in marked.start("down").communicate(timeout=60)[0]
    wait_until(lambda: marked.alive() == [])
    assert "not up" in marked.start("down").communicate(timeout=60)[0]


def test_a_child_that_does_not_start_is_explained_by_its_log(tmp_path: Path) -> None:
    child = Child("no.such.module", [], health="http://127.0.0.1:9/", log=tmp_path / "log", environment=os.environ)
    with pytest.raises(LocalRunError, match=r"(?s)no\.such\.module ended with exit code 1.*No module named"):
        child.wait_ready()
    child.stop()


def test_stopping_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import http.server, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')\n"
    )
    port = free_port()
    child = Child(
        "stubborn",
        [str(port)],
        health=f"http://127.0.0.1:{port}/",
        log=tmp_path / "log",
        environment={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    child.wait_ready()
    child.stop()
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
