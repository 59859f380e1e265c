"""One call at a time for one request, within a function: its duplicates in the same batch wait for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SingleFlight:
    """The requests that this function is calling an endpoint for just now, by identity."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[str, threading.Event] = {}

    @contextmanager
    def acquire(self, key: str) -> Iterator[bool]:
        """True at once when nobody else flies under `key`; False after whoever does has landed."""
        with self._lock:
            other = self._flying.get(key)
            if other is None:
                mine = self._flying[key] = threading.Event()
        if other is not None:
            other.wait()
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                del self._flying[key]
            mine.set()
