"""Reading many objects in order, several at once."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from sluice.concurrency import Cancelled, Task, spawn

_AT_ONCE = 8  # A large dataset has thousands of parts: one after another takes longer than a function may.

_K = TypeVar("_K")
_T = TypeVar("_T")


async def prefetch(load: Callable[[_K], Coroutine[Any, Any, _T]], keys: Iterable[_K]) -> AsyncGenerator[_T]:
    """Yield `await load(key)` for each key, in order, with some loaded ahead.

    An error is raised when the turn of its key comes, and never interrupts what the consumer does meanwhile. A consumer
    that may stop early must close the generator (`contextlib.aclosing`).
    """
    pending: deque[Task[_T]] = deque()
    try:
        for key in keys:
            pending.append(spawn(load(key)))
            if len(pending) == _AT_ONCE:
                yield await _next(pending)
        while pending:
            yield await _next(pending)
    finally:
        for task in pending:
            task.cancel()
        for task in pending:
            await _ended(task)


async def _next(pending: deque[Task[_T]]) -> _T:
    result = await pending[0]
    pending.popleft()
    return result


async def _ended(task: Task[Any]) -> None:
    """Wait until a cancelled task has ended, however it ends."""
    try:
        with suppress(Exception):
            await task
    except Cancelled as cancelled:
        if cancelled.task is not task:
            raise
