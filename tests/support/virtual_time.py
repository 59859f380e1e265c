"""A scheduler whose time passes only when all tasks wait, and then at once."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import sluice.concurrency.scheduler as scheduler_module
from sluice.concurrency import Choose, Deadlock, Scheduler

_T = TypeVar("_T")


class VirtualTime:
    """`scheduler` starts at 0 s. `waits` are the timeouts of its waits."""

    def __init__(self, choose: Choose | None = None) -> None:
        self.time = 0.0
        self.waits: list[float | None] = []
        self.scheduler = Scheduler(lambda: self.time, self._wait, choose)

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        return self.scheduler.run(main)

    def _wait(self, timeout: float | None) -> None:
        self.waits.append(timeout)
        if timeout is None:
            raise Deadlock("nothing can come")
        self.time += timeout


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run in virtual time, and check that nothing is left.

    Within another run it is another process: it has a scheduler of its own, and the other run waits for it.
    """
    virtual = VirtualTime()
    outer, scheduler_module._current = scheduler_module._current, None
    try:
        return virtual.run(main)
    finally:
        scheduler_module._current = outer
        assert_nothing_is_left(virtual.scheduler)


def assert_nothing_is_left(scheduler: Scheduler) -> None:
    assert not scheduler._tasks
    assert not scheduler._ready
    assert not scheduler._failed
    assert not scheduler.idle
    assert not scheduler.timers._heap
    assert scheduler.running is None
