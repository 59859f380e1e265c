"""The memory that parts may hold together. A function processes several at once, and must not run out of memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sluice.concurrency import Semaphore, timeout

# Measured (docs/performance.md, Memory): the memory in use without parts, with room for the bodies of other calls.
_WITHOUT_PARTS = 144 * 1024 * 1024
_LEAST = 16 * 1024 * 1024
_BYTES_PER_BYTE = 4  # of a range: read, cut, sent, signed
_BYTES_PER_LINE = 480  # its position, its answer, and its error if it has one
_BYTES_PER_ANSWERED = 3  # of answers: as received, in lines, joined
ENOUGH_ANSWERED = 2 * 1024 * 1024  # bytes of answers that a part requests at once, and after which it requests no more
_PROBE = 4 * 1024  # bytes that are sent at once before the size of an endpoint's answers is known


def needed(size: int, lines: int, answered: int) -> int:
    """The most bytes that a part of `size` bytes and at most `lines` lines takes, for `answered` bytes of answers."""
    return _BYTES_PER_BYTE * size + _BYTES_PER_LINE * min(lines, size) + _BYTES_PER_ANSWERED * answered


class ResponseSizeRatio:
    """The bytes that an endpoint answers for each byte sent: the maximum observed for each endpoint."""

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def learn(self, endpoint_name: str, sent: int, answered: int) -> None:
        """Take a call into account."""
        self._ratios[endpoint_name] = max(self._ratios.get(endpoint_name, 0.0), answered / sent)

    def sendable(self, endpoint_name: str) -> int:
        """How many bytes to send at once, so that the response is not too large."""
        ratio = self._ratios.get(endpoint_name)
        return _PROBE if ratio is None else int(ENOUGH_ANSWERED / max(ratio, 1e-6))

    def expected(self, endpoint_name: str, sent: int) -> int:
        """The most bytes of answers that are in memory at once for `sent` bytes: enough, and one call more."""
        ratio = self._ratios.get(endpoint_name)
        most = 2 * ENOUGH_ANSWERED
        return most if ratio is None else min(most, int(ratio * sent))


class MemoryExhausted(Exception):
    """Other parts held the memory for as long as this one could wait."""


class Memory:
    """The memory that a function of `function_mb` MB has for parts, in bytes."""

    def __init__(self, function_mb: int) -> None:
        self._total = max(_LEAST, function_mb * 1024 * 1024 - _WITHOUT_PARTS)
        self._free = Semaphore(self._total)

    @asynccontextmanager
    async def reserve(self, patience: Callable[[], float]) -> AsyncIterator["Reservation"]:
        """An empty reservation, released at the end. `patience` returns how many more seconds it may wait to grow."""
        reservation = Reservation(self, patience)
        try:
            yield reservation
        finally:
            await reservation.resize(0)

    async def exchange(self, old: int, new: int, seconds: float) -> int:
        """Release `old` bytes, then take `new` bytes, or all there are. Returns the bytes taken.

        Waiters hold no memory, so they cannot deadlock. Raises `MemoryExhausted` after `seconds`, with nothing taken.
        """
        self._free.release(old)
        new = min(new, self._total)
        if new:
            try:
                with timeout(seconds):
                    await self._free.acquire(new)
            except TimeoutError:
                raise MemoryExhausted from None
        return new


@dataclass(slots=True)
class Reservation:
    """Bytes of memory that a part holds."""

    _memory: Memory
    _patience: Callable[[], float]
    _size: int = 0

    async def resize(self, size: int) -> None:
        """Reserve `size` bytes instead of the current number, and wait until they are free.

        The caller must have dropped what the current bytes were for. Raises `MemoryExhausted` when they do not become
        free in time.
        """
        old, self._size = self._size, 0
        self._size = await self._memory.exchange(old, size, self._patience())
