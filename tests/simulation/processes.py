"""One scheduler in virtual time for all simulated processes, each of which may be killed at any moment."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sluice.concurrency import Cancelled, Deadlock, Scheduler, Task
from sluice.concurrency.scheduler import running
from sluice.concurrency.timers import Timer

_T = TypeVar("_T")


class Process:
    """The tasks of one process. A task that one of them spawns is one of them, too."""

    def __init__(self) -> None:
        self.is_dead = False
        self.tasks: dict[Task[Any], None] = {}

    def check(self) -> None:
        """Raise `Cancelled` if the process is dead: its tasks unwind, and none of their operations has an effect."""
        if self.is_dead:
            cancelled = Cancelled()
            cancelled.task = running()
            raise cancelled

    def kill(self) -> None:
        """End all tasks of the process at once."""
        self.is_dead = True
        for task in list(self.tasks):
            task.cancel()


class Processes(Scheduler):
    """A scheduler whose time passes only when all tasks wait, and then at once."""

    def __init__(self) -> None:
        self.time = 0.0
        self._processes: dict[Task[Any], Process] = {}
        super().__init__(lambda: self.time, self._advance)

    def spawn(self, coroutine: Coroutine[Any, Any, _T], name: str = "") -> Task[_T]:
        """Schedule `coroutine` as a task of the process of the running task."""
        process = self._processes.get(self.running) if self.running is not None else None
        return self.spawn_in(process, coroutine, name)

    def spawn_in(self, process: Process | None, coroutine: Coroutine[Any, Any, _T], name: str = "") -> Task[_T]:
        """Schedule `coroutine` as a task of a process, or of none."""
        task = super().spawn(coroutine, name)
        if process is not None:
            self._processes[task] = process
            process.tasks[task] = None
            task.add_done_callback(self._leave)
        return task

    def after(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` after some seconds of virtual time."""
        return self.timers.add(self.time + seconds, callback)

    def _leave(self, task: Task[Any]) -> None:
        del self._processes.pop(task).tasks[task]

    def _advance(self, seconds: float | None) -> None:
        self.running = None  # what a timer's callback spawns belongs to no process
        if seconds is None:
            raise Deadlock("nothing can come")
        self.time += seconds
