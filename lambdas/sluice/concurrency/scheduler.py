"""Runs tasks, one step at a time, on the thread that called `run`.

The order of the steps depends only on the order in which futures are completed. Two functions, `wait` and `clock`,
provide I/O and the time. Tests provide their own functions, and run the same coroutines in virtual time.
"""

import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sluice.concurrency.task import Task
from sluice.concurrency.timers import Timers

_T = TypeVar("_T")
_ROUNDS = 100  # how often tasks are cancelled at the end of a run

# Returns the index of the ready task that takes the next step.
Choose = Callable[[Sequence[Task[Any]]], int]


class Deadlock(Exception):
    """All tasks wait, and no pending operation can wake one."""


class Scheduler:
    """A queue of the tasks that are ready, first in, first out, the timers, and the calls that only idle time is for.

    - `clock` returns a monotonic time in seconds. Its reference point is undefined.
    - `wait` is called if no task is ready, with the number of seconds until the next timer, or None if there is no
      timer. It returns after that time at the latest, or earlier if it has completed a future. It raises `Deadlock` if
      no operation is in progress that could end a wait.
    - `choose`, if given, selects the ready task that takes the next step. Its argument is the queue, in the order in
      which the tasks became ready.
    """

    def __init__(
        self, clock: Callable[[], float], wait: Callable[[float | None], object], choose: Choose | None = None
    ) -> None:
        self.clock = clock
        self.timers = Timers()
        self.idle: deque[Callable[[], object]] = deque()  # called one by one, when no task and no I/O is ready
        self.running: Task[Any] | None = None  # the task that runs now
        self._wait = wait
        self._choose = choose
        self._ready: deque[Task[Any]] = deque()
        self._tasks: dict[Task[Any], None] = {}  # tasks that are not done, in the order of spawning
        self._failed: list[Task[Any]] = []
        self._spawned = 0

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """Run `main` and the tasks that it spawns. Returns the result of `main`.

        When `main` has ended, the remaining tasks are cancelled, again at each further wait, and the timers are
        removed. The scheduler keeps no state between two runs.

        Raises the error of `main`, or of a task whose error was not retrieved, unchanged. Several errors are raised as
        a `BaseExceptionGroup`. Raises `RuntimeError` if a scheduler is already running.
        """
        global _current  # noqa: PLW0603 - there is one thread, so at most one scheduler runs
        if _current is not None:
            main.close()
            raise RuntimeError("a scheduler is running already")
        _current = self
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._close_generator)
        errors: list[BaseException] = []
        try:
            task = self.spawn(main, "main")
            try:
                self._run_until_done(task)
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)
            try:
                self._cancel_all()
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)
        finally:
            failed = self._failed
            self._forget_all()
            sys.set_asyncgen_hooks(*hooks)
            _current = None
        errors += [found for one in failed if one.failed and (found := one.error) is not None]
        if len(errors) > 1:
            raise BaseExceptionGroup("several tasks of a run failed", errors)
        if errors:
            raise errors[0]
        return task.result()

    def spawn(self, coroutine: Coroutine[Any, Any, _T], name: str = "") -> Task[_T]:
        """Schedule `coroutine` as a task. `name` appears in its representation."""
        self._spawned += 1
        task = Task(coroutine, name or f"{getattr(coroutine, '__name__', 'task')}-{self._spawned}", self._ready.append)
        self._tasks[task] = None
        task.add_done_callback(self._note_end)
        return task

    def _run_until_done(self, main: Task[Any]) -> None:
        while not main.done:
            if self._ready:
                self._step()
            else:
                self._pause()

    def _step(self) -> None:
        ready = self._ready
        if self._choose is None:
            task = ready.popleft()
        else:
            index = self._choose(ready)
            task = ready[index]
            del ready[index]
        self.running = task
        task.step()

    def _pause(self) -> None:
        """Wait for I/O or the next timer. I/O that is ready when a timer is due is handled before the timer."""
        due = self.timers.next_time()
        if self.idle:
            self._wait(0.0)
        else:
            self._wait(None if due is None else max(0.0, due - self.clock()))
        if due is not None:
            self.timers.call_due(self.clock())
        if self.idle and not self._ready:
            self.idle.popleft()()

    def _note_end(self, task: Task[Any]) -> None:
        del self._tasks[task]
        if task.failed:
            self._failed.append(task)

    def _cancel_all(self) -> None:
        """Cancel the remaining tasks. Their clean-up may spawn tasks, but cannot wait."""
        for _ in range(_ROUNDS):
            if not self._tasks:
                return
            for task in list(self._tasks):
                task.cancel()
            while self._ready:
                self._step()
        raise RuntimeError(f"these go on although they were cancelled: {list(self._tasks)}")

    def _forget_all(self) -> None:
        self.timers.clear()
        self.idle.clear()
        self._ready.clear()
        self._tasks = {}
        self._failed = []
        self.running = None

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an asynchronous generator that was dropped before its end."""
        if _current is self:
            self.spawn(generator.aclose(), "aclose")


_current: Scheduler | None = None


def current() -> Scheduler:
    """The running scheduler. Raises `RuntimeError` if no scheduler is running."""
    if _current is None:
        raise RuntimeError("no scheduler is running")
    return _current


def running() -> Task[Any]:
    """The running task. Raises `RuntimeError` if no task is running."""
    task = current().running
    if task is None:
        raise RuntimeError("no task is running")
    return task


def now() -> float:
    """The time on the clock of the running scheduler, in seconds."""
    return current().clock()


def spawn(coroutine: Coroutine[Any, Any, _T], name: str = "") -> Task[_T]:
    """Create a task of the running scheduler that runs `coroutine`."""
    return current().spawn(coroutine, name)
