"""Storing what has been paid for although S3 fails."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sluice.error_codes import FailureClass
from sluice.failures import ServiceError, classify
from sluice.timeouts import STORE_PAUSES

_T = TypeVar("_T")

Sleep = Callable[[float], Awaitable[None]]
"""Waits for some seconds."""


async def retry_transient(store: Callable[[], Awaitable[_T]], sleep: Sleep, remaining_ms: Callable[[], float]) -> _T:
    """Return `await store()`, and retry it while S3 fails: what it stores would otherwise be paid for again.

    No retry is begun that the function has no time for. Raises what `store` raises.
    """
    for pause in STORE_PAUSES:
        try:
            return await store()
        except ServiceError as error:
            if classify(error).failure_class is not FailureClass.TRANSIENT or remaining_ms() < pause * 1000:
                raise
            await sleep(pause)
    return await store()
