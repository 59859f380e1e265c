"""Sleeping, timeouts and deadlines."""

from types import TracebackType

from sluice.concurrency.future import Cancelled, Future
from sluice.concurrency.scheduler import current, now, running
from sluice.concurrency.timers import Timer


async def sleep(seconds: float) -> None:
    """Wait for `seconds`. With 0, ready tasks and ready I/O run first."""
    future: Future[None] = Future()
    timer = current().timers.add(now() + max(0.0, seconds), lambda: future.set_result(None))
    try:
        await future
    finally:
        timer.cancel()


def checkpoint() -> None:
    """Raise `Cancelled` if the running task was cancelled or its deadline has passed, without waiting.

    For what must not begin then, although it begins without a wait.
    """
    running().raise_pending()


def timeout(seconds: float) -> "Deadline":
    """`with timeout(5):` is a deadline, in seconds from now."""
    return Deadline(now() + seconds)


def deadline(time: float) -> "Deadline":
    """`with deadline(time):` limits waits in the block to `time`, in seconds of the scheduler's clock.

    Raises `TimeoutError` when the time has passed. Of nested deadlines, the earliest applies.
    """
    return Deadline(time)


class Deadline:
    """The context manager of `deadline` and `timeout`. `expired` is true if the time passed within the block."""

    __slots__ = ("_cancelled", "_depth", "_task", "_timer", "expired", "time")

    _timer: Timer

    def __init__(self, time: float) -> None:
        self.time = time
        self.expired = False

    def __enter__(self) -> "Deadline":
        self._task = running()
        self._task.scopes += 1
        self._cancelled: Cancelled | None = None
        self._depth = self._task.scopes
        self._timer = current().timers.add(self.time, self._expire)
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._task.scopes -= 1
        if self._cancelled is None:
            return
        self._task.withdraw(self._cancelled)
        if error is self._cancelled:
            raise TimeoutError(f"the deadline at {self.time:.3f} s has passed") from error

    def _expire(self) -> None:
        self.expired = True
        self._cancelled = Cancelled(self._depth)
        self._task.interrupt(self._cancelled)
