"""The senders of docs/senders.md work with the SDKs of their languages."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local import aws
from tests.e2e.conftest import EXAMPLES, ROOT, Pipeline

SENDERS = EXAMPLES / "senders"
_SECONDS = 120


@pytest.fixture
def environment(pipeline: Pipeline) -> dict[str, str]:
    engine = pipeline.engine
    return {
        **aws.environment(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": engine.url,
        **pipeline.trust(),
        "AWS_REGION": aws.REGION,
        "REQUEST_QUEUE_URL": engine.request_queue_url,
        "RESULTS_BUCKET": engine.results_bucket,
    }


def run(command: list[str | Path], environment: Mapping[str, str], cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python(environment: dict[str, str], tmp_path: Path) -> None:
    answer = json.loads(run([sys.executable, SENDERS / "send.py"], environment, tmp_path))
    assert answer["predictions"][0]["label"] == "class_0"


def test_python_reports_a_failure(environment: dict[str, str], pipeline: Pipeline, tmp_path: Path) -> None:
    code = "import send; send.send({'instances': [[1]]}, 'sender-fails'); send.wait_for_result('sender-fails')"
    with pytest.raises(AssertionError, match=r"RuntimeError: ModelError: .*row 1 has 1 value"):
        run([sys.executable, "-c", code], {**environment, "PYTHONPATH": str(SENDERS)}, tmp_path)
    sent = {"EndpointName": "wine", "Body": {"instances": [[1]]}, "InferenceId": "sender-fails"}
    pipeline.dead_letter(json.dumps({**sent, "TraceId": "checkout-42"}))


def test_aws_cli(environment: dict[str, str], tmp_path: Path) -> None:
    message_id, answer = run([SENDERS / "send.sh"], environment, tmp_path).splitlines()
    assert message_id
    assert json.loads(answer)["predictions"][0]["label"] == "class_0"


@pytest.fixture(scope="session")
def node_sender() -> Path:
    """send.mjs with the packages of its lock file, which are installed once per lock file."""
    source = SENDERS / "node"
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".build" / f"sender-node-{digest}"
    if not (folder / "node_modules").exists():
        fresh = folder.with_suffix(f".{os.getpid()}")
        fresh.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            (fresh / name).write_bytes((source / name).read_bytes())
        npm = ["npm", "ci", "--ignore-scripts", "--fetch-retries=2", "--fetch-timeout=30000"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            npm, cwd=fresh, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            pytest.fail(f"npm can't install what the Node.js sender needs; is its registry reached?\n{done.stderr}")
        fresh.rename(folder)
    (folder / "send.mjs").write_bytes((source / "send.mjs").read_bytes())
    return folder


def test_node(environment: dict[str, str], pipeline: Pipeline, node_sender: Path) -> None:
    key = run(["node", node_sender / "send.mjs"], environment, node_sender).strip()
    stored = pipeline.wait(key)
    assert json.loads(stored.body)["predictions"][0]["label"] == "class_0"
    assert stored.metadata["trace-id"] == "checkout-42"
