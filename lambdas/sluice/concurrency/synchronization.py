"""Synchronization primitives for tasks. All are fair: waiters are served in order."""

from collections import deque
from types import TracebackType
from typing import Generic, TypeVar

from sluice.concurrency.future import Future

_T = TypeVar("_T")


class Event:
    """An event that is set once, and wakes all tasks that wait for it."""

    def __init__(self) -> None:
        self._happened: Future[None] = Future()

    @property
    def is_set(self) -> bool:
        """Whether the event is set."""
        return self._happened.done

    def set(self) -> None:
        """Set the event."""
        if not self._happened.done:
            self._happened.set_result(None)

    async def wait(self) -> None:
        """Wait until the event is set."""
        await self._happened


class Semaphore:
    """A counter of permits, of which `free` are available. A request for many permits is not overtaken by smaller ones.

    `async with` holds one permit. A semaphore of one permit is a lock.
    """

    def __init__(self, permits: int) -> None:
        self.free = permits
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """The number of tasks that wait."""
        return len(self._waiting)

    async def acquire(self, permits: int = 1) -> None:
        """Acquire permits, waiting until they are free. If the wait is cancelled, none are acquired."""
        if permits <= self.free and not self._waiting:
            self.free -= permits
            return
        future: Future[None] = Future()
        place = permits, future
        self._waiting.append(place)
        try:
            await future
        except BaseException:
            self._waiting.remove(place)
            self._serve()  # waiters behind it may need fewer permits
            raise

    def release(self, permits: int = 1) -> None:
        """Release permits."""
        self.free += permits
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            permits, future = self._waiting.popleft()
            self.free -= permits
            future.set_result(None)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, _: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.release()


class Queue(Generic[_T]):
    """A FIFO queue. Each item goes to one task.

    The next of several tasks to end: `task.add_done_callback(queue.put)` for each, then `await queue.get()`.
    """

    def __init__(self) -> None:
        self._items: deque[_T] = deque()
        self._waiting: deque[Future[_T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: _T) -> None:
        """Add an item. This method never waits."""
        if self._waiting:
            self._waiting.popleft().set_result(item)
        else:
            self._items.append(item)

    async def get(self) -> _T:
        """Remove and return the next item, waiting for one if necessary."""
        if self._items:
            return self._items.popleft()
        future: Future[_T] = Future()
        self._waiting.append(future)
        try:
            return await future
        except BaseException:
            self._waiting.remove(future)
            raise
