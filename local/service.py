"""`make up` and `make down`: the local run as a background service, one for each checkout."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from local.aws import CREDENTIALS
from local.engine import Engine, running
from local.process import LocalRunError

_UP_SECONDS = 180.0
_DOWN_SECONDS = 30.0


def up(directory: Path, containers: Mapping[str, str]) -> int:
    """Start the service unless it is already running, wait until it is ready, and print the exports to use it.

    `containers` maps endpoint names to the URLs of containers; if it is empty, the sample models are started.

    Raises `LocalRunError` when the service does not start, or is running with other containers than these.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = directory / "state.json"
    if not (was_up := _is_running(directory)):
        state.unlink(missing_ok=True)
        _start(directory, containers)
    deadline = time.monotonic() + _UP_SECONDS
    while not state.exists():
        if not _is_running(directory) or time.monotonic() > deadline:
            raise LocalRunError(f"The local run did not start:\n{(directory / 'serve.log').read_text().strip()}")
        time.sleep(0.05)
    found: dict[str, dict[str, str]] = json.loads(state.read_text())
    if was_up and containers and found["containers"] != dict(containers):
        used = ", ".join(f"{name}={url}" for name, url in found["containers"].items()) or "the sample models"
        raise LocalRunError(
            f"The local run is already up with {used}. End it with `make down` to use other containers."
        )
    for name, value in found["exports"].items():
        print(f"export {name}={value}")  # noqa: T201
    return 0


def serve(directory: Path, containers: Mapping[str, str]) -> int:
    """Run in the foreground until SIGTERM. `up` starts this command."""
    with _lock(directory, wait_seconds=1.0) as held:  # `_is_running` in other processes holds it briefly
        if not held:
            raise LocalRunError("The local run is already up.")
        state = directory / "state.json"
        with running(directory, containers=containers) as engine:
            exports = exports_of(engine)
            temporary = state.with_suffix(".new")
            temporary.write_text(json.dumps({"pid": os.getpid(), "exports": exports, "containers": dict(containers)}))
            temporary.rename(state)  # atomic, so that readers never see a partial file
            try:
                signal.pause()
            finally:
                state.unlink(missing_ok=True)
    return 0


def exports_of(engine: Engine) -> dict[str, str]:
    """The environment variables of a local run. The ARNs of topics are there if the settings have the topics."""
    topics = {"SUCCESS_TOPIC_ARN": "SuccessTopicArn", "ERROR_TOPIC_ARN": "ErrorTopicArn"}
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": engine.url,
        "AWS_ENDPOINT_URL_SAGEMAKER": engine.sagemaker_runtime_url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": engine.sagemaker_runtime_url,
        "INPUT_BUCKET": engine.input_bucket,
        "RESULTS_BUCKET": engine.results_bucket,
        "REQUEST_QUEUE_URL": engine.request_queue_url,
        "DEAD_LETTER_QUEUE_URL": engine.dead_letter_queue_url,
        **{name: engine.outputs[output] for name, output in topics.items() if output in engine.outputs},
    }


def down(directory: Path) -> int:
    """Stop the service, and wait until it has ended."""
    state = directory / "state.json"
    if not _is_running(directory):
        print("The local run is not up.")  # noqa: T201
        return 0
    deadline = time.monotonic() + _DOWN_SECONDS
    while not state.exists() and _is_running(directory) and time.monotonic() < deadline:
        time.sleep(0.05)  # it is still starting
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(json.loads(state.read_text())["pid"], signal.SIGTERM)
    while _is_running(directory):
        if time.monotonic() > deadline:
            raise LocalRunError("The local run does not stop; its processes are those of `local.parent_watchdog`.")
        time.sleep(0.05)
    print("The local run is down.")  # noqa: T201
    return 0


def _start(directory: Path, containers: Mapping[str, str]) -> None:
    with (directory / "serve.log").open("wb") as log:
        service = subprocess.Popen(  # noqa: S603 - starts this program
            [sys.executable, "-m", "local", "serve", *(f"{name}={url}" for name, url in containers.items())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=Path(__file__).parent.parent,
        )
    while not _is_running(directory) and service.poll() is None:
        time.sleep(0.02)


@contextlib.contextmanager
def _lock(directory: Path, *, wait_seconds: float = 0) -> Iterator[bool]:
    """Try to acquire the service's lock for up to `wait_seconds`; yield whether it was acquired.

    The kernel releases the lock when its holder ends in any way.
    """
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with (directory / "lock").open("w") as file:
        while not (held := _try_lock(file)) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield held


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_running(directory: Path) -> bool:
    with _lock(directory) as acquired:
        return not acquired
