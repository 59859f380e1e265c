"""A coroutine that the scheduler runs."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sluice.concurrency.future import Cancelled, Future

_T = TypeVar("_T")


class Task(Future[_T]):
    """A coroutine in progress, and the future of its result. Tasks are created with `spawn`.

    If the error of a task is never retrieved, the run raises it.
    """

    __slots__ = (
        "_cancels",
        "_coroutine",
        "_make_ready",
        "_pending",
        "_started",
        "_waits_for",
        "asked",
        "name",
        "scopes",
    )

    def __init__(
        self, coroutine: Coroutine[Any, Any, _T], name: str, make_ready: Callable[["Task[Any]"], object]
    ) -> None:
        super().__init__()
        self.name = name
        self.asked = False  # whether the result or the error was retrieved
        self.scopes = 0  # the number of enclosing scopes, such as timeouts
        self._coroutine = coroutine
        self._make_ready = make_ready
        self._started = False
        self._waits_for: Future[Any] | None = None
        self._pending: Cancelled | None = None  # raised at the coroutine's next wait
        self._cancels = False  # whether it is raised instead of the next step
        make_ready(self)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def result(self) -> _T:
        """The result. Raises the coroutine's error, which is `Cancelled` if the task was cancelled."""
        self.asked = self.asked or self._done
        return super().result()

    @property
    def error(self) -> BaseException | None:
        """The coroutine's error, or None if it raised none."""
        self.asked = self.asked or self._done
        return super().error

    @property
    def failed(self) -> bool:
        """Whether the coroutine raised an error that was never retrieved."""
        return self._error is not None and not self.asked

    def cancel(self) -> None:
        """Raise `Cancelled` in the coroutine, at its current wait or else at its next wait.

        If the current wait completes before the task's next step, it returns its result, so that the result is not
        lost. A coroutine that has not started never starts. Does nothing if the task is done.
        """
        self.interrupt(Cancelled())

    def interrupt(self, cancelled: Cancelled) -> None:
        """Cancel on behalf of the scope that created `cancelled`. The outer of two scopes takes precedence."""
        if self._done:
            return
        cancelled.task = self
        if self._pending is None or cancelled.depth < self._pending.depth:
            self._pending = cancelled
        if not self._started:
            self._cancels = True
        elif self._waits_for is not None and not self._cancels:
            self._cancels = True
            self._make_ready(self)

    def withdraw(self, cancelled: Cancelled) -> None:
        """Withdraw an interrupt that was not raised, because its scope has ended."""
        if self._pending is cancelled:
            self._pending = None

    def raise_pending(self) -> None:
        """Raise the `Cancelled` that would be raised at the coroutine's next wait."""
        if self._pending is not None:
            pending = self._take_pending()
            assert pending is not None  # noqa: S101 - for the type checker
            raise pending

    def step(self) -> None:
        """Run the coroutine until it waits or ends. The scheduler calls this method at the task's turn."""
        self._started = True
        raised: BaseException | None = self._take_pending() if self._cancels else None
        try:
            while True:
                future = self._coroutine.send(None) if raised is None else self._coroutine.throw(raised)
                if not isinstance(future, Future):
                    raised = TypeError(f"{self.name} waits for {future!r}, which is not of this scheduler")
                elif self._pending is not None:
                    raised = self._take_pending()
                else:
                    self._waits_for = future
                    future.add_done_callback(self._wake)
                    return
        except StopIteration as end:
            self.set_result(end.value)
        except Cancelled as error:
            # A `Cancelled` of another task, for which this task waited, is treated like any other error.
            self.asked = self.asked or error.task is self
            self.set_error(error)
        except Exception as error:  # noqa: BLE001 - raised again by `result`, or at the end of the run
            self.set_error(error)
        except BaseException as error:
            self.asked = True  # the error ends the run
            self.set_error(error)
            raise

    def _take_pending(self) -> Cancelled | None:
        if self._waits_for is not None:
            self._waits_for.remove_done_callback(self._wake)
            self._waits_for = None
        pending, self._pending = self._pending, None
        self._cancels = False
        return pending

    def _wake(self, _: Future[Any]) -> None:
        self._waits_for = None
        if self._cancels:
            self._cancels = False  # it is scheduled already; the awaited result came first
        else:
            self._make_ready(self)
