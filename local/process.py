"""Child processes of the local run: each in a process group of its own, on a leash, with a log file."""

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
    """The local run can't start or go on; the text says what to do."""


def container(text: str) -> tuple[str, str]:
    """An endpoint's name and its container's URL, from `NAME=URL` on a command line."""
    name, separator, url = text.partition("=")
    if not (name and separator and url.startswith("http")):
        raise argparse.ArgumentTypeError("must be NAME=URL, such as my-model=http://127.0.0.1:8080")
    return name, url.rstrip("/")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """A Python module that runs as a child process and answers HTTP when it is ready."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        health: str | None,
        log: Path,
        environment: Mapping[str, str],
        trusts: ssl.SSLContext | bool = True,
    ) -> None:
        """Start `module`. `health` is the URL that answers 200 once it is ready; None where it is ready at once.

        `trusts` says which certificates that URL may have.
        """
        self.module = module
        self.log = log
        self._health = health
        self._trusts = trusts
        reading, writing = os.pipe()
        self._leash: int | None = writing
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", "local.leash", str(reading), module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                pass_fds=[reading],
                start_new_session=True,
                cwd=Path(__file__).parent.parent,
            )
        os.close(reading)

    @property
    def pid(self) -> int:
        """Its process ID, which is its process group's too."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Return once it answers.

        Raises `LocalRunError` with the end of its log when it has ended or takes too long.
        """
        if self._health is None:
            return
        deadline = time.monotonic() + _READY_SECONDS
        with httpx2.Client(trust_env=False, timeout=2, verify=self._trusts) as client:
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
        """End it as a crash would: with SIGKILL, and without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End its whole process group: SIGTERM, and SIGKILL behind it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None  # its number may be another file's from now on
