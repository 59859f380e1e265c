"""The memory that requests may hold together. A function processes many at once, and must not run out of memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sluice.concurrency import Semaphore, timeout
from sluice.ports import UNASKED_BYTES

# Measured (docs/performance.md, Memory): the memory in use without bodies.
_WITHOUT_BODIES = 144 * 1024 * 1024
_LEAST = 16 * 1024 * 1024
_COPIES = 3  # of a body or a response while it is received: its pieces, all of it, and what the heap loses


class MemoryExhausted(Exception):
    """Other requests held the memory for as long as this one could wait."""


class Memory:
    """The memory that a function of `function_mb` MB has for bodies, in bytes."""

    def __init__(self, function_mb: int) -> None:
        self._total = max(_LEAST, function_mb * 1024 * 1024 - _WITHOUT_BODIES)
        self._free = Semaphore(self._total)
        self.overcommitting = Semaphore(1)  # one request at a time takes more than there is

    @asynccontextmanager
    async def reserve(self, patience: Callable[[], float]) -> AsyncIterator["Reservation"]:
        """An empty reservation, released at the end. `patience` returns how many more seconds it may wait to grow."""
        reservation = Reservation(self, patience)
        try:
            yield reservation
        finally:
            reservation.shrink(0)

    async def exchange(self, old: int, new: int, patience: Callable[[], float]) -> int:
        """Release `old` bytes, then take `new` bytes, or all there are. Returns the bytes taken.

        Waiters hold no memory, so they cannot deadlock. Raises `MemoryExhausted` when they are not free in time, with
        nothing taken.
        """
        self._free.release(old)
        new = min(new, self._total)
        if new <= self._free.free and not self._free.waiting:
            await self._free.acquire(new)
        elif new:
            try:
                with timeout(patience()):
                    await self._free.acquire(new)
            except TimeoutError:
                raise MemoryExhausted from None
        return new

    def release(self, size: int) -> None:
        """Release bytes."""
        self._free.release(size)

    def fits(self, size: int) -> bool:
        """Whether so many bytes are free."""
        return size <= self._free.free

    def take(self, size: int) -> None:
        """Take bytes, whether or not they are free."""
        self._free.free -= size


@dataclass(slots=True)
class Reservation:
    """Bytes of memory that a request holds."""

    _memory: Memory
    _patience: Callable[[], float]
    _size: int = 0
    _is_over: bool = False

    @property
    def size(self) -> int:
        """The bytes that are reserved."""
        return self._size

    @property
    def is_over(self) -> bool:
        """Whether it took more than there is, so that others may wait for its end."""
        return self._is_over

    async def resize(self, size: int) -> None:
        """Reserve `size` bytes instead of the current number, and wait until they are free.

        The caller must have dropped what the current bytes were for. Raises `MemoryExhausted` when they do not become
        free in time.
        """
        old, self._size = self._size, 0
        self._size = await self._memory.exchange(old, size, self._patience)

    async def grow(self, size: int) -> None:
        """Reserve `size` bytes in all, without dropping what the current bytes are for.

        If there is not enough memory, it waits for its turn to take more than there is. Whoever has it goes on to its
        end, so that those who hold memory and wait cannot deadlock.
        """
        if size <= self._size:
            return
        if not self._is_over and not self._memory.fits(size - self._size):
            await self._memory.overcommitting.acquire()
            self._is_over = True
        if size > self._size:  # which may have shrunk meanwhile, but nothing else has grown it
            self._memory.take(size - self._size)
            self._size = size

    def shrink(self, size: int) -> None:
        """Keep `size` bytes at most. Never waits. It is no longer over if all that is taken then is there."""
        if size < self._size:
            self._memory.release(self._size - size)
            self._size = size
        if self._is_over and (not size or self._memory.fits(0)):
            self._is_over = False
            self._memory.overcommitting.release()


class CallMemory:
    """The memory of calls: the request's body and the response's.

    A response is assumed to be as large as the largest one of its endpoint was. One that is larger is read when there
    is memory for it: until then its endpoint must wait.
    """

    def __init__(self, memory: Memory, max_body_bytes: int) -> None:
        self._memory = memory
        self._max_body_bytes = max_body_bytes
        self._largest: dict[str, int] = {}

    async def reserve(self, patience: Callable[[], float], endpoint_name: str | None) -> Reservation:
        """The memory of a call whose request is not known yet. The caller shrinks it to 0 at the end.

        `patience` returns how many seconds it may wait. Raises `MemoryExhausted`.
        """
        reservation = Reservation(self._memory, patience)
        read = _COPIES * self._max_body_bytes
        await reservation.resize(max(read, self.needed(endpoint_name, self._max_body_bytes)))
        return reservation

    def needed(self, endpoint_name: str | None, body: int) -> int:
        """The most bytes that a call with a body of `body` bytes takes, once that is read."""
        return self.needed_for(body, self._largest.get(endpoint_name or "", UNASKED_BYTES))

    def needed_for(self, body: int, answer: int) -> int:
        """The most bytes that a call with a body of `body` bytes takes whose response has `answer` bytes."""
        return body + _COPIES * answer

    def learn(self, endpoint_name: str, answered: int) -> None:
        """Take the size of a response into account, in bytes."""
        self._largest[endpoint_name] = max(answered, self._largest.get(endpoint_name, 0))
