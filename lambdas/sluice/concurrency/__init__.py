"""Coroutines on one thread: a deterministic scheduler, and what coroutines wait for.

Nothing here knows of sockets or of the time of day. `sluice.aws.loop` adds I/O, threads and the clock.
"""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from sluice.concurrency.future import Cancelled, Future
from sluice.concurrency.groups import TaskGroup, gather
from sluice.concurrency.scheduler import Choose, Deadlock, Scheduler, current, now, spawn
from sluice.concurrency.synchronization import Event, Queue, Semaphore
from sluice.concurrency.task import Task
from sluice.concurrency.timeouts import deadline, sleep, timeout

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
    "TaskGroup",
    "current",
    "deadline",
    "gather",
    "now",
    "sleep",
    "spawn",
    "timeout",
]

_T = TypeVar("_T")


class Runner(Protocol):
    """Runs coroutines, one after another, and leaves nothing behind when one ends: a loop with I/O."""

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine. Returns what it returns, or raises its error."""

    def close(self) -> None:
        """Release the threads and the sockets. It cannot run any more."""
