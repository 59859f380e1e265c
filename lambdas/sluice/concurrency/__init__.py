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
    "RunCoroutine",
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


class RunCoroutine(Protocol):
    """Runs a coroutine to its end, and leaves nothing of it behind: `Scheduler.run`, or `Loop.run` with I/O."""

    def __call__(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Return what `main` returns, or raise its error."""
