"""Single flight: within a function, one call at a time for one request. Its duplicates in the batch wait for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sluice.concurrency import Event


class SingleFlight:
    """The requests that this function is processing, by `Identity.key`."""

    def __init__(self) -> None:
        self._owned: dict[str, Event] = {}

    @asynccontextmanager
    async def acquire(self, key: str) -> AsyncIterator[bool]:
        """Yield True if this caller owns the key; otherwise wait for the owner, and yield False."""
        owner = self._owned.get(key)
        if owner is not None:
            await owner.wait()
            yield False
            return
        ended = self._owned[key] = Event()
        try:
            yield True
        finally:
            del self._owned[key]
            ended.set()
