"""Lambda's Runtime API, and a function's sandbox: a process of AWS's own runtime client that takes its events from it.

Sources: Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes" and "Understanding the Lambda
execution environment lifecycle".
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.support.lambda_package import Package

_SECONDS = 60.0
_PREFIX = "/2018-06-01/runtime/"
TRACE_ID = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


class RuntimeApi(ThreadingHTTPServer):
    """The API for one sandbox. `posted` has what it posted: the path after `/runtime/`, and the document."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ready = threading.Event()  # the function is initialized, and asks for its first event
        self.initialized = threading.Event()  # the same, before its snapshot is taken
        self.restored = threading.Event()
        self.next: SimpleQueue[tuple[str, float, bytes]] = SimpleQueue()
        self.posted: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: RuntimeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == f"{_PREFIX}restore/next":
            self.server.initialized.set()
            self.server.restored.wait(_SECONDS)
            self._send(200, b"")
            return
        assert self.path == f"{_PREFIX}invocation/next", self.path
        self.server.ready.set()
        request_id, deadline, event = self.server.next.get()
        self._send(
            200,
            event,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-2:000000000000:function:invoke",
                "Lambda-Runtime-Trace-Id": TRACE_ID,
            },
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(202, b"")
        self.server.posted.put((self.path.removeprefix(_PREFIX), json.loads(body)))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Sandbox:
    """A function's process. It is ended with the context."""

    def __init__(self, package: Package, handler: str, environment: Mapping[str, str], log: Path) -> None:
        self._api = RuntimeApi()
        threading.Thread(target=self._api.serve_forever, args=(0.01,), daemon=True).start()
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                package.command(handler),
                cwd=package.task,
                env={**package.environment(), **environment, "AWS_LAMBDA_RUNTIME_API": self._api.address},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._api.shutdown()
        self._api.server_close()

    def wait_ready(self) -> "Sandbox":
        """Wait for the end of the init phase."""
        self._wait(self._api.ready)
        return self

    def wait_initialized(self) -> None:
        """Wait for the end of the init phase of a function with SnapStart: its snapshot may be taken."""
        self._wait(self._api.initialized)

    def restore(self) -> None:
        """Tell a function with SnapStart that it is restored from its snapshot."""
        self._api.restored.set()

    def begin(self, *records: Mapping[str, Any], seconds: float = 90.0) -> str:
        """Begin an invocation with a batch, `seconds` before its timeout. Returns the request ID."""
        request_id = str(uuid.uuid4())
        self._api.next.put((request_id, time.time() + seconds, json.dumps({"Records": records}).encode()))
        return request_id

    def response(self) -> tuple[str, Any]:
        """What the function posts next: the path after `/runtime/`, and the document."""
        return self._api.posted.get(timeout=_SECONDS)

    def invoke(self, *records: Mapping[str, Any], seconds: float = 90.0) -> list[str]:
        """Run an invocation with a batch. Returns the IDs of the messages that are to be delivered again."""
        request_id = self.begin(*records, seconds=seconds)
        path, document = self.response()
        assert path == f"invocation/{request_id}/response", (path, document)
        return [one["itemIdentifier"] for one in document["batchItemFailures"]]

    def freeze(self) -> None:
        """Freeze the process, as Lambda does between invocations."""
        os.kill(self.process.pid, signal.SIGSTOP)
        # The state in /proc is T once the process is stopped.
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def thaw(self) -> None:
        """Thaw the process."""
        os.kill(self.process.pid, signal.SIGCONT)

    def silent(self) -> bool:
        """Whether the function has posted nothing since the last response."""
        return self._api.posted.empty()

    def logged(self) -> str:
        """What the function has written so far."""
        return self._log.read_text()

    def libraries(self) -> set[Path]:
        """The compiled modules and libraries that the process has loaded."""
        lines = Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()
        return {Path(line.split(maxsplit=5)[5]) for line in lines if line.endswith(".so")}

    def _wait(self, event: threading.Event) -> None:
        deadline = time.monotonic() + _SECONDS
        while not event.wait(0.02):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no init phase:\n{self.logged()}")
