"""`--max-per-second`: no more than so many messages in a second."""

import time
from collections.abc import Callable

import click

max_per_second = click.option(
    "--max-per-second", type=click.FloatRange(min=0, min_open=True), help="Send no more messages a second than this."
)


class Pace:
    """Lets `per_second` messages go in a second, in batches; None sets no limit."""

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    @property
    def batch(self) -> int:
        """How many messages go at once: SQS takes ten; fewer where ten would be over a second's share."""
        return 10 if self._per_second is None else max(1, min(10, int(self._per_second)))

    def wait(self, messages: int) -> None:
        """Wait until `messages` more may go."""
        if self._per_second is None:
            return
        now = self._clock()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(self._next, now) + messages / self._per_second
