"""Child processes of the local run: each has its own process group, a parent watchdog and a log file."""

import argparse
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

_STOP_SECONDS = 5.0
_READY_SECONDS = 60.0


class LocalRunError(Exception):
    """The local run can't start or continue; the message says what to do."""


def container(text: str) -> tuple[str, str]:
    """Parse `NAME=URL` from a command line: an endpoint's name and its container's URL."""
    name, separator, url = text.partition("=")
    if not (name and separator and url.startswith("http")):
        raise argparse.ArgumentTypeError("must be NAME=URL, such as my-model=http://127.0.0.1:8080")
    return name, url.rstrip("/")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is currently unused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """A Python module that runs as a child process and responds to HTTP when it is ready."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        health: str | None,
        log: Path,
        environment: Mapping[str, str],
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """Start `module`. `health` is the URL that returns 200 once it is ready; None if it is ready immediately.

        `verify` is the TLS verification for that URL.
        """
        self.module = module
        self.log = log
        self._health = health
        self._verify = verify
        read_end, write_end = os.pipe()
        self._watchdog_fd: int | None = write_end
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", "local.parent_watchdog", str(read_end), module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                pass_fds=[read_end],
                start_new_session=True,
                cwd=Path(__file__).parent.parent,
            )
        os.close(read_end)

    @property
    def pid(self) -> int:
        """The process ID, which is also the ID of its process group."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait until the process is ready.

        Raises `LocalRunError` with the end of its log if it has ended or takes too long.
        """
        if self._health is None:
            return
        deadline = time.monotonic() + _READY_SECONDS
        with httpx2.Client(trust_env=False, timeout=2, verify=self._verify) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                with contextlib.suppress(httpx2.HTTPError):
                    if client.get(self._health).status_code == httpx2.codes.OK:
                        return
                time.sleep(0.02)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        state = "is not ready" if self._process.poll() is None else f"ended with exit code {self._process.returncode}"
        msg = f"{self.module} {state}. The end of its log, {self.log}:\n{tail}"
        raise LocalRunError(msg)

    def kill(self) -> None:
        """Kill the process group with SIGKILL, like a crash."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """Stop the process group with SIGTERM, followed by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._watchdog_fd is not None:
            os.close(self._watchdog_fd)
            self._watchdog_fd = None  # the number may be reused for another file
