"""The I/O of the scheduler: non-blocking sockets, and a few threads for blocking calls.

asyncio would do the same. Importing it takes 25 ms of a whole CPU in a cold start, and an exchange over TLS takes 1.3
to 1.5 times the CPU time.
"""

import selectors
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sluice.aws.loop.threads import Threads
from sluice.concurrency import Cancelled, Deadlock, Future, Scheduler

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_T = TypeVar("_T")


class Loop:
    """Runs coroutines that wait for sockets and threads. `threads` is the number of concurrent blocking calls.

    One loop serves all runs of a process. Between two runs it watches no socket and expects no result of a thread.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.scheduler = Scheduler(clock, self._wait)
        self.selector = selectors.DefaultSelector()
        self.waits = 0  # the number of pending waits for sockets
        self._watches: dict[Watch, None] = {}  # the registered ones
        self._threads = Threads(threads)

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run `main`. See `Scheduler.run` for results and errors.

        A call that is running in a thread when the run ends continues there, and its result is discarded.
        """
        try:
            return self.scheduler.run(main)
        finally:
            for watch in list(self._watches):
                watch.close()
            if self._threads.abandon():
                self.selector.unregister(self._threads.wake_up)

    def close(self) -> None:
        """Release the threads and the selector. The loop cannot run again."""
        self._threads.close()
        self.selector.close()

    def watch(self, sock: socket.socket) -> "Watch":
        """An object to wait for `sock`, which must be non-blocking. Close it before the socket."""
        return Watch(self, self._watches, sock)

    def submit(self, function: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Call `function` in a thread. Tasks may share the future. It fails with `Cancelled` if the run ends first."""
        return self._submit(function, *arguments)[0]

    async def in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call `function` in a thread. Returns its result or raises its error.

        If the wait is cancelled, a call that has not started never starts. A call that has started continues, and its
        result is discarded.
        """
        future, cancel = self._submit(function, *arguments)
        try:
            return await future
        except Cancelled:
            cancel()
            raise

    def _submit(self, function: Callable[..., _T], *arguments: Any) -> tuple[Future[_T], Callable[[], object]]:
        is_first = not self._threads.expected
        submitted = self._threads.submit(function, *arguments)
        if is_first:
            self.selector.register(self._threads.wake_up, READ, self._threads.deliver)
        return submitted

    def _wait(self, timeout: float | None) -> None:
        if timeout is None and not self.waits and not self._threads.under_way:
            raise Deadlock("all tasks wait, and none of them for a socket, a thread or a time")
        for key, events in self.selector.select(timeout):
            key.data(events)


class Watch:
    """Waits for a socket, for one task at a time. The socket stays registered between waits, which is cheaper."""

    __slots__ = ("_events", "_future", "_loop", "_sock", "_watches")

    def __init__(self, loop: Loop, watches: "dict[Watch, None]", sock: socket.socket) -> None:
        self._loop = loop
        self._watches = watches
        self._sock = sock
        self._events = 0  # the registered events
        self._future: Future[int] | None = None

    async def wait(self, events: int) -> int:
        """Wait until the socket is ready for one of `events`: READ, WRITE or both. Returns the events that are ready.

        A socket that has failed is ready for all events.
        """
        future: Future[int] = Future()
        self._future = future
        if self._events != events:
            if self._events:
                self._loop.selector.modify(self._sock, events, self._notify)
            else:
                self._loop.selector.register(self._sock, events, self._notify)
                self._watches[self] = None
            self._events = events
        self._loop.waits += 1
        try:
            return await future
        finally:
            self._loop.waits -= 1
            self._future = None

    def close(self) -> None:
        """Unregister the socket. It can be watched again."""
        if self._events:
            self._events = 0
            self._loop.selector.unregister(self._sock)
            del self._watches[self]

    def _notify(self, events: int) -> None:
        future = self._future
        if future is None or future.done:
            self.close()  # otherwise it would wake the loop repeatedly, while no task waits for it
        else:
            future.set_result(events)
