"""Storing what has been paid for although S3 fails."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sluice.concurrency import timeout
from sluice.error_codes import FailureClass
from sluice.failures import Operation, ServiceError, classify
from sluice.timeouts import SETTLE_SECONDS, STORE_PAUSES

_LEAST_SECONDS = 1.0  # one try, however little time is left
_MOST_SECONDS = 900.0  # of a function

_T = TypeVar("_T")

Sleep = Callable[[float], Awaitable[None]]
"""Waits for some seconds."""


async def retry_transient(store: Callable[[], Awaitable[_T]], sleep: Sleep, remaining_ms: Callable[[], float]) -> _T:
    """Return `await store()`, and retry it while S3 fails: what it stores would otherwise be paid for again.

    It ends while the function has time left to return or to dead-letter the message. Raises what `store` raises, and
    `ServiceError` when there was no response in time.
    """
    seconds = min(max(_LEAST_SECONDS, remaining_ms() / 1000 - SETTLE_SECONDS), _MOST_SECONDS)
    try:
        with timeout(seconds):
            for pause in STORE_PAUSES:
                try:
                    return await store()
                except ServiceError as error:
                    if classify(error).failure_class is not FailureClass.TRANSIENT or remaining_ms() < pause * 1000:
                        raise
                    await sleep(pause)
            return await store()
    except TimeoutError as error:
        raise ServiceError(Operation.STORE_RESULT, "TimeoutError", f"no response within {seconds:.0f} s") from error
