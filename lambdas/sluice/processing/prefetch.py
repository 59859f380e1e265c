"""Reading many objects in order, several at once."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from sluice.concurrency import TaskGroup

_AT_ONCE = 8  # A large dataset has thousands of parts: one after another takes longer than a function may.

_T = TypeVar("_T")


async def prefetch(load: Callable[[str], Coroutine[Any, Any, _T]], keys: Iterable[str]) -> AsyncGenerator[_T]:
    """Yield `await load(key)` for each key, in order, with some loaded ahead.

    A consumer that may stop early must close the generator (`contextlib.aclosing`).
    """
    async with TaskGroup() as group:
        pending: deque[Awaitable[_T]] = deque()
        for key in keys:
            pending.append(group.spawn(load(key)))
            if len(pending) == _AT_ONCE:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
