"""One attempt at one request."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from sluice.inputs.delivery import Delivery
from sluice.inputs.identity import Identity
from sluice.inputs.requests import Request
from sluice.processing.outcome import Outcome, Status
from sluice.timeouts import SETTLE_SECONDS

R_co = TypeVar("R_co", bound=Request, covariant=True)


@dataclass(frozen=True, slots=True)
class Attempt(Generic[R_co]):
    """One attempt at one request.

    The identity and the endpoint are what is known of them so far: a later `Attempt` replaces this one when the message
    or the object says more. `remaining_ms` returns the milliseconds that are left to the function.
    """

    delivery: Delivery
    request: R_co
    identity: Identity
    endpoint_name: str | None = None
    remaining_ms: Callable[[], float] = lambda: math.inf

    @property
    def call_seconds(self) -> float:
        """The longest that a call begun now may take, so that the function has time left to store its outcome."""
        return self.remaining_ms() / 1000 - SETTLE_SECONDS

    def ended(self, status: Status, *, latency: timedelta | None = None, detail: str | None = None) -> Outcome:
        """The outcome of this attempt."""
        return Outcome(
            self.delivery.message_id,
            status,
            self.identity,
            endpoint_name=self.endpoint_name,
            model_latency=latency,
            detail=detail,
        )

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Report an error in the block as this attempt's, with the trace ID and the endpoint that it knows.

        Raises `AttemptFailed`.
        """
        try:
            yield
        except AttemptFailed:
            raise
        except Exception as error:
            raise AttemptFailed(self) from error


class AttemptFailed(Exception):
    """An attempt that failed for the reason in `__cause__`."""

    def __init__(self, attempt: Attempt[Request]) -> None:
        super().__init__(attempt.identity.key)
        self.attempt = attempt
