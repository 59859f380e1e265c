"""Blocking calls, each in a thread, whose results are delivered on the loop's thread."""

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sluice.concurrency import Cancelled, Future

_T = TypeVar("_T")


class Threads:
    """A pool of up to `threads` threads, which are started on demand.

    `wake_up` is a socket that becomes readable when a call has ended. `deliver` then completes the futures of the calls
    that have ended, in the order in which they ended.
    """

    def __init__(self, threads: int) -> None:
        self.wake_up, self._waker = socket.socketpair()
        self.wake_up.settimeout(0)
        self._waker.settimeout(0)
        self.expected = False  # True if a call was submitted in this run
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="blocking")
        self._calls: dict[ThreadFuture[Any], Future[Any]] = {}
        self._ended: deque[ThreadFuture[Any]] = deque()  # appended to by the threads

    @property
    def under_way(self) -> bool:
        """Whether results of this run are pending."""
        return bool(self._calls)

    def submit(self, function: Callable[..., _T], *arguments: Any) -> tuple[Future[_T], Callable[[], object]]:
        """Call `function` in a thread. Returns its future, and a function that cancels a call that has not started."""
        future: Future[_T] = Future()
        is_submitted = True

        def guarded() -> _T:
            if not is_submitted:
                raise Cancelled
            return function(*arguments)

        try:
            call = self._executor.submit(guarded)
        except BaseException:
            # The executor has queued the call before it failed to start a thread; another thread would make it.
            is_submitted = False
            raise
        self.expected = True
        self._calls[call] = future
        call.add_done_callback(self._note_end)
        return future, call.cancel

    def deliver(self, _: int = 0) -> None:
        """Complete the futures of the calls that have ended."""
        with contextlib.suppress(BlockingIOError):
            self.wake_up.recv(4096)
        while self._ended:
            call = self._ended.popleft()
            future = self._calls.pop(call, None)
            if future is None:
                continue  # a result of an earlier run
            if call.cancelled():
                future.set_error(Cancelled())
            elif (error := call.exception()) is not None:
                future.set_error(error)
            else:
                future.set_result(call.result())

    def abandon(self) -> bool:
        """Discard all calls at the end of a run. Returns whether a call was submitted in the run.

        Calls that have not started never start. The futures of all undelivered calls fail with `Cancelled`.
        """
        calls, self._calls = self._calls, {}
        for call, future in calls.items():
            call.cancel()
            future.set_error(Cancelled())
        expected, self.expected = self.expected, False
        return expected

    def close(self) -> None:
        """Stop each thread when its call has ended."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self.wake_up.close()
        self._waker.close()

    def _note_end(self, call: "ThreadFuture[Any]") -> None:
        self._ended.append(call)
        with contextlib.suppress(OSError):  # the socket is full, which also wakes the loop, or the loop is closed
            self._waker.send(b"\0")
