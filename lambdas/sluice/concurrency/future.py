"""A result that is not available yet."""

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

_T = TypeVar("_T")


class Cancelled(BaseException):
    """Raised where a coroutine waits, because its task was cancelled or its deadline has passed.

    A coroutine may catch it to clean up, and must raise it again.
    """

    def __init__(self, depth: int = 0) -> None:
        super().__init__()
        self.depth = depth  # the depth of the scope that cancels: 0 for the task, one more for each nested scope
        self.task: object = None  # the task that is cancelled


class Future(Generic[_T]):
    """A result or an error that is set once. `await` returns the result or raises the error."""

    __slots__ = ("_callbacks", "_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = False
        self._result: _T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], object]] = []

    @property
    def done(self) -> bool:
        """Whether the result or the error is available."""
        return self._done

    def result(self) -> _T:
        """The result. Raises the error, or `RuntimeError` while there is neither."""
        if not self._done:
            raise RuntimeError("there is no result yet")
        if self._error is not None:
            raise self._error
        return cast("_T", self._result)

    @property
    def error(self) -> BaseException | None:
        """The error, or None."""
        return self._error

    def set_result(self, result: _T) -> None:
        """Set the result. Raises `RuntimeError` if the future is already done."""
        self._settle(result, None)

    def set_error(self, error: BaseException) -> None:
        """Set the error. Raises `RuntimeError` if the future is already done."""
        self._settle(None, error)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback(self)` when the future is done, or at once if it is. Callbacks run in the order of addition.

        A callback must not raise.
        """
        if self._done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def remove_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Remove `callback`, if it has not been called yet."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def _settle(self, result: _T | None, error: BaseException | None) -> None:
        if self._done:
            raise RuntimeError("the future is done already")
        self._done = True
        self._result = result
        self._error = error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def __await__(self) -> Generator["Future[Any]", None, _T]:
        if not self._done:
            yield self
        return self.result()
