"""Storing outcomes, for all kinds of requests."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sluice import keys
from sluice.error_codes import FailureClass
from sluice.failures import Operation, ServiceError, classify
from sluice.inputs.identity import is_newer
from sluice.inputs.requests import Request
from sluice.ports import Bucket, Condition, ObjectHead, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome
from sluice.processing.result import SEQUENCER, owner_of
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


async def clear_failure(results: Bucket, attempt: Attempt[Request]) -> None:
    """Remove the `.err` that an earlier attempt at the request left, or an older version of its object.

    That of another request or of a newer version stays. A delete of no object would leave a delete marker.
    """
    key = attempt.identity.name + keys.ERR
    stored = await results.head(key)
    if stored is not None and _may_replace(stored, attempt):
        await results.delete(key)


def _may_replace(stored: ObjectHead, attempt: Attempt[Request]) -> bool:
    if owner_of(stored) in {None, attempt.identity.key}:
        return True
    upload = attempt.request.upload
    return upload is not None and not is_newer(stored.metadata.get(SEQUENCER), upload.sequencer)
