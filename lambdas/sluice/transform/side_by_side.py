"""Calls of a part side by side: as many as are allowed, and what an endpoint has no room for once more, a little later.

A single throttled call says little about an endpoint that answers others, so it is made again in its place. If the
endpoint refuses one call after another, or the same call again and again, the delivery of the part ends.
"""

import heapq
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sluice.concurrency import Queue, Task, checkpoint, now, spawn, timeout
from sluice.failures import Failure, Operation, ServiceError, classify
from sluice.processing.concurrency_limit import ConcurrencyLimit

_PAUSES = (0.2, 0.4, 0.8, 1.6, 3.2)  # seconds, before a call is made again; each with jitter
_MOST_AT_FIRST = 3  # calls that are refused in a row before one is answered: the endpoint may be in trouble

Work = Callable[[], Awaitable[None]]
"""Makes a call and takes its answer. It may be run again if the call fails."""


class Source(Protocol):
    """Where the work comes from."""

    def next(self, under_way: int) -> Work | float | None:
        """The work to begin now, while `under_way` others have not ended.

        A time on the scheduler's clock says when to ask again, None that nothing is to begin before another one has
        ended. Raises what ends the run.
        """


@dataclass(slots=True)
class _Try:
    """A piece of work, and how often it has failed."""

    work: Work
    failures: int = 0


class SideBySide:
    """Runs work side by side. `at_once` is how much, `limit` adapts to what the endpoint takes.

    It is kept for the calls of one part: an endpoint that refuses the first of them is left alone at once.
    """

    def __init__(self, at_once: Callable[[], int], limit: ConcurrencyLimit, rng: random.Random) -> None:
        self._at_once = at_once
        self._limit = limit
        self._rng = rng
        self._ended = 0
        self._answers = False  # whether a call of the part was answered, or refused for what it sends
        self._refused_in_a_row = 0
        self._paused: list[tuple[float, int, _Try]] = []
        self._numbers = itertools.count()

    async def run(self, source: Source) -> None:
        """Run the work of `source` to its end.

        Raises the first error that no further try can help, after everything that is under way has ended: it is paid
        for.
        """
        ended: Queue[tuple[_Try, Task[None]]] = Queue()
        under_way = 0
        failed: Exception | None = None
        try:
            while True:
                wake: float | None = None
                while failed is None and under_way < min(self._at_once(), self._limit.calls):
                    try:
                        found = self._next(source, under_way)
                    except Exception as error:  # noqa: BLE001 - raised below
                        failed = error
                        break
                    if not isinstance(found, _Try):
                        wake = found
                        break
                    under_way += 1
                    _start(found, ended)
                if not under_way and (failed is not None or wake is None):
                    break
                one = await _next_ended(ended, wake)
                if one is not None:
                    under_way -= 1
                    self._ended += 1
                    end = self._end(*one, under_way)
                    failed = failed or end
                    del one, end
            if failed is not None:
                raise failed
        finally:
            self._paused.clear()
            failed = None  # its traceback refers to this frame, which would keep the memory of the part

    def _next(self, source: Source, under_way: int) -> _Try | float | None:
        """What to begin: a paused try whose time has come, else new work; or the time until then."""
        due = self._paused[0][0] if self._paused else None
        if due is not None and due <= now():
            return heapq.heappop(self._paused)[2]
        found = source.next(under_way)
        if callable(found):
            return _Try(found)
        return min((time for time in (due, found) if time is not None), default=None)

    def _end(self, one: _Try, task: Task[None], under_way: int) -> Exception | None:
        """Take the end of a try into account. Returns the error that ends the run."""
        error = task.error
        if error is not None and not isinstance(error, Exception):
            checkpoint()  # this task is cancelled, too, if the whole function is
            raise error
        failure = None if error is None else _of_call(error)
        if failure is None or not failure.failure_class.retryable:
            self._answers = self._answers or error is None
            self._refused_in_a_row = 0
            self._limit.answered()
            return error
        if self._refused_in_a_row:  # a single one says nothing about how much the endpoint takes
            self._limit.refused(failure)
        self._refused_in_a_row += 1
        one.failures += 1
        is_first = self._ended == 1 and not under_way
        # Before anything is answered, what is under way may still be.
        most = self._limit.ceiling + len(_PAUSES) if self._answers or under_way else _MOST_AT_FIRST
        if is_first or one.failures > len(_PAUSES) or self._refused_in_a_row >= most:
            return error
        pause = _PAUSES[one.failures - 1] * self._rng.uniform(0.5, 1)
        heapq.heappush(self._paused, (now() + pause, next(self._numbers), one))
        return None


def _of_call(error: Exception) -> Failure | None:
    """The failure of InvokeEndpoint; None for any other error."""
    is_of_call = isinstance(error, ServiceError) and error.operation is Operation.INVOKE
    return classify(error) if is_of_call else None


def _start(one: _Try, ended: Queue[tuple[_Try, Task[None]]]) -> None:
    async def work() -> None:
        await one.work()

    def put(task: Task[None]) -> None:
        task.asked = True  # its error is taken from the queue, unless nobody is there any more who waits for it
        ended.put((one, task))

    spawn(work()).add_done_callback(put)


async def _next_ended(ended: Queue[tuple[_Try, Task[None]]], wake: float | None) -> tuple[_Try, Task[None]] | None:
    """The next try that ends; None if there is none until the time `wake`."""
    if wake is None:
        return await ended.get()
    try:
        with timeout(max(0.0, wake - now())):
            return await ended.get()
    except TimeoutError:
        return None
