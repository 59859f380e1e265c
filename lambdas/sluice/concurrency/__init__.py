"""Coroutines on one thread: a deterministic scheduler, and the objects that coroutines wait for.

This package does not use sockets or the time of day. `sluice.aws.loop` adds I/O, threads and the clock.
"""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from sluice.concurrency.future import Cancelled, Future
from sluice.concurrency.scheduler import Choose, Deadlock, Scheduler, current, now, spawn
from sluice.concurrency.synchronization import Event, Queue, Semaphore
from sluice.concurrency.task import Task
from sluice.concurrency.timeouts import checkpoint, deadline, sleep, timeout
from sluice.concurrency.timers import Timer

__all__ = [
    "Cancelled",
    "Choose",
    "Deadlock",
    "Event",
    "Future",
    "Queue",
    "Runner",
    "Scheduler",
    "Semaphore",
    "Task",
    "Timer",
    "checkpoint",
    "current",
    "deadline",
    "now",
    "sleep",
    "spawn",
    "timeout",
]

_T = TypeVar("_T")


class Runner(Protocol):
    """A loop with I/O. Runs coroutines one after another, and keeps no task, timer or watch between runs."""

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine. Returns its result or raises its error."""

    def close(self) -> None:
        """Release the threads and the sockets. The runner cannot be used afterwards."""
