"""Storing outcomes, for all kinds of requests."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sluice import keys
from sluice.error_codes import FailureClass
from sluice.failures import Operation, ServiceError, classify
from sluice.ports import Bucket, Condition, ObjectHead, PreconditionFailed
from sluice.processing.outcome import Outcome
from sluice.timeouts import STORE_PAUSES

_TRIES = 5  # Each conflict means that the write of another delivery succeeded, so there are few.

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


async def conditional_write(
    results: Bucket,
    key: str,
    write: Callable[[Condition], Awaitable[None]],
    settled_by: Callable[[ObjectHead], Awaitable[Outcome | None]],
    stored: ObjectHead | None,
) -> Outcome | None:
    """Write `key` on the condition that it still holds `stored`; after a conflict look at what is there, and repeat.

    `settled_by` returns the outcome when an object that is there settles the request. That outcome is returned; None is
    returned when the object was written. Raises `ServiceError`.
    """
    for _ in range(_TRIES):
        try:
            await write(Condition.replacing(stored))
        except PreconditionFailed:
            stored = await results.head(key)
            if stored is not None and (outcome := await settled_by(stored)) is not None:
                return outcome
        else:
            return None
    raise ServiceError(
        Operation.STORE_RESULT, "ConditionalRequestConflict", f"{_TRIES} conditional writes found another object"
    )


async def clear_failure(results: Bucket, name: str) -> None:
    """Remove the `.err` of an earlier attempt, if there is one. A delete of no object would leave a delete marker."""
    key = name + keys.ERR
    if await results.head(key) is not None:
        await results.delete(key)
