"""Reading many objects in order, several at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_AT_ONCE = 8  # A large dataset has thousands of parts: one after another takes longer than a function may.

_T = TypeVar("_T")


def prefetch(load: Callable[[str], _T], keys: Iterable[str]) -> Iterator[_T]:
    """Yield `load(key)` for each key, in order, with some loaded ahead."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="prefetch") as executor:
        pending: deque[Future[_T]] = deque()
        for key in keys:
            pending.append(executor.submit(load, key))
            if len(pending) == _AT_ONCE:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
