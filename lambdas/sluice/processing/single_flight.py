"""Single flight: within a function, one call at a time for one request. Its duplicates in the batch wait for it."""

from sluice.concurrency import Event


class SingleFlight:
    """The requests that this function is processing, by `Identity.key`."""

    def __init__(self) -> None:
        self._owned: dict[str, Event] = {}

    async def acquire(self, key: str) -> bool:
        """Return True if the caller owns the key now, and must release it; otherwise wait for the owner."""
        owner = self._owned.get(key)
        if owner is None:
            self._owned[key] = Event()
            return True
        await owner.wait()
        return False

    def release(self, key: str) -> None:
        """Release an owned key, and wake those that wait for it."""
        self._owned.pop(key).set()
