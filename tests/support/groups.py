"""Structured concurrency for tests: several coroutines at once, all of which have ended afterwards."""

from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from sluice.concurrency.future import Cancelled, Future
from sluice.concurrency.scheduler import running, spawn
from sluice.concurrency.task import Task

_T = TypeVar("_T")


async def gather(*coroutines: Coroutine[Any, Any, _T]) -> list[_T]:
    """Run `coroutines` concurrently. Returns their results in the order of the arguments.

    The first error cancels the other coroutines, and is raised when all have ended.
    """
    async with TaskGroup() as group:
        tasks = [group.spawn(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]


class TaskGroup:
    """`async with TaskGroup() as group:` runs tasks, and waits for all of them at the end of the block.

    The first error, of the block or of a task, cancels the tasks and what the block waits for, and is raised when all
    have ended. Errors after it are added to it as notes. A cancellation of the block's own task comes before errors.
    """

    def __init__(self) -> None:
        self._tasks: dict[Task[Any], None] = {}
        self._error: BaseException | None = None
        self._ended: Future[None] | None = None

    def spawn(self, coroutine: Coroutine[Any, Any, _T], name: str = "") -> Task[_T]:
        """Run `coroutine` as a task of the group."""
        task = spawn(coroutine, name)
        self._tasks[task] = None
        task.add_done_callback(self._note_end)
        if self._error is not None:
            task.cancel()
        return task

    async def __aenter__(self) -> "TaskGroup":
        self._task = running()
        self._task.scopes += 1
        self._cancelled = Cancelled(self._task.scopes)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if error is not None and error is not self._cancelled:
            self._fail(error)
        while self._tasks:
            self._ended = Future()
            try:
                await self._ended
            except Cancelled as cancelled:
                if cancelled is not self._cancelled:
                    self._fail(cancelled)
        self._task.scopes -= 1
        self._task.withdraw(self._cancelled)
        if self._error is not None and self._error is not error:
            raise self._error

    def _note_end(self, task: Task[Any]) -> None:
        del self._tasks[task]
        if task.failed and (error := task.error) is not None:
            self._fail(error)
            self._task.interrupt(self._cancelled)
        if not self._tasks and self._ended is not None and not self._ended.done:
            self._ended.set_result(None)

    def _fail(self, error: BaseException) -> None:
        first, self._error = self._error, error
        if first is None:
            for task in list(self._tasks):
                task.cancel()
        elif isinstance(error, Cancelled) and not isinstance(first, Cancelled):
            error.add_note(f"after: {first!r}")
        else:
            self._error = first
            first.add_note(f"then: {error!r}")
