"""A coroutine that the scheduler runs."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sluice.concurrency.future import Cancelled, Future

_T = TypeVar("_T")


class Task(Future[_T]):
    """A coroutine under way, and the future of what it returns. `spawn` makes tasks.

    A task that ends in an error which nothing asks it for makes the run fail with that error.
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
        self.scopes = 0  # the number of enclosing timeouts and groups
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
        """The result. Raises the coroutine's error, `Cancelled` where it was cancelled."""
        self.asked = self.asked or self._done
        return super().result()

    @property
    def error(self) -> BaseException | None:
        """The coroutine's error, or None where there is none."""
        self.asked = self.asked or self._done
        return super().error

    @property
    def failed(self) -> bool:
        """Whether the coroutine raised an error that was never retrieved."""
        return self._error is not None and not self.asked

    def cancel(self) -> None:
        """Raise `Cancelled` in the coroutine: where it waits now, or else where it waits next.

        A wait whose end has come by the task's turn ends as ever: what the coroutine was given is not lost. A coroutine
        that has not begun never begins. Does nothing when the task is done.
        """
        self.interrupt(Cancelled())

    def interrupt(self, cancelled: Cancelled) -> None:
        """`cancel`, by the scope that has made `cancelled`. Of two scopes the outer has precedence."""
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

    def step(self) -> None:
        """Run the coroutine until it waits or ends. The scheduler calls this when the task's turn has come."""
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
            # That of another task, which this one waited for, is an error like any other.
            self.asked = self.asked or error.task is self
            self.set_error(error)
        except Exception as error:  # noqa: BLE001 - raised again where the task is awaited, or at the run's end
            self.set_error(error)
        except BaseException as error:
            self.asked = True  # it ends the run
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
