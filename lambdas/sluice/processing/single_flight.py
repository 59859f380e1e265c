"""Single flight: within a function, one call at a time for one request. Its duplicates in the batch wait for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SingleFlight:
    """The requests that this function is processing, by `Identity.key`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owned: dict[str, threading.Event] = {}

    @contextmanager
    def acquire(self, key: str) -> Iterator[bool]:
        """Yield True if this caller owns the key; otherwise wait for the owner, and yield False."""
        with self._lock:
            other = self._owned.get(key)
            if other is None:
                mine = self._owned[key] = threading.Event()
        if other is not None:
            other.wait()
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                del self._owned[key]
            mine.set()
