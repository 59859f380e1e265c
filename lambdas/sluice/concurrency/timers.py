"""Timers, ordered by their time."""

import heapq
from collections.abc import Callable

_FEW = 64  # the number of cancelled timers up to which the heap is not cleaned


class Timer:
    """A call at a given time. `cancel` revokes it."""

    __slots__ = ("_timers", "callback", "time")

    def __init__(self, timers: "Timers", time: float, callback: Callable[[], object]) -> None:
        self.time = time
        self.callback: Callable[[], object] | None = callback
        self._timers = timers

    def cancel(self) -> None:
        """Revoke the call, if it has not been made."""
        if self.callback is not None:
            self.callback = None
            self._timers.count_cancelled()


class Timers:
    """Timers in the order of their times; timers of the same time in the order of creation."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._set = 0
        self._cancelled = 0  # the number of cancelled timers in the heap

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, time: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` at `time`, in seconds on the scheduler's clock."""
        timer = Timer(self, time, callback)
        self._set += 1
        heapq.heappush(self._heap, (time, self._set, timer))
        return timer

    def next_time(self) -> float | None:
        """The time of the next timer, or None."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def call_due(self, now: float) -> None:
        """Make the calls that are due."""
        while (time := self.next_time()) is not None and time <= now:
            timer = heapq.heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def clear(self) -> None:
        """Revoke all timers."""
        for _, _, timer in self._heap:
            timer.callback = None
        self._heap.clear()
        self._cancelled = 0

    def count_cancelled(self) -> None:
        """Count a cancelled timer. When most are cancelled, they are dropped: most deadlines never expire."""
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
