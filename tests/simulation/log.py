"""The log of a run: one line for each event. Equal seeds give equal logs, to the byte."""

import hashlib
import re
from collections.abc import Callable
from typing import IO

_CLIENT = re.compile(r"\bu\d+-")
_BATCH = 2000  # lines that are hashed at once


def client_in(text: str) -> str:
    """The client that a key, an ID or a body is of, such as `u17`; empty when it is of none.

    Every name and every body of a client begins with, or has after a `/`, the client's name and a hyphen.
    """
    found = _CLIENT.search(text)
    return found[0][:-1] if found else ""


class Log:
    """Hashes the lines, counts them, and writes them to `file` if there is one."""

    def __init__(self, clock: Callable[[], float], file: IO[str] | None = None) -> None:
        self.clock = clock
        self.lines = 0
        self._file = file
        self._digest = hashlib.sha256()
        self._waiting: list[str] = []

    def write(self, actor: str, operation: str, subject: str, result: object = "") -> None:
        """Add a line: the virtual time in seconds, who did what to what, and with which result."""
        self._waiting.append(f"{self.clock():.6f} {actor} {operation} {subject[:200]!r} {result}\n")
        if len(self._waiting) >= _BATCH:
            self._flush()

    def sha256(self) -> str:
        """The digest of all lines so far, hexadecimal."""
        self._flush()
        return self._digest.hexdigest()

    def _flush(self) -> None:
        text = "".join(self._waiting)
        self.lines += len(self._waiting)
        self._waiting.clear()
        self._digest.update(text.encode("utf-8", "backslashreplace"))
        if self._file is not None:
            self._file.write(text)
