"""Storing although S3 fails, or another delivery stores the same at the same time."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from sluice.concurrency import timeout
from sluice.error_codes import FailureClass
from sluice.failures import Operation, ServiceError, classify
from sluice.ports import Bucket, Condition, PreconditionFailed
from sluice.timeouts import SETTLE_SECONDS, STORE_PAUSES

_LEAST_SECONDS = 1.0  # one try, however little time is left
_MOST_SECONDS = 900.0  # of a function

TRIES = 5
"""How often a conditional write is tried. Another write was faster each time, or is in progress, so there are few."""

_CONFLICT = "ConditionalRequestConflict"  # S3's code

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


async def write_once(
    results: Bucket, key: str, body: bytes, *, content_type: str | None, metadata: Mapping[str, str] | None = None
) -> bool:
    """Write an object that is written once, by whichever delivery is the first.

    Returns whether this call has written it; else it is there. Raises `ServiceError`.
    """
    for _ in range(TRIES):
        write = results.put(key, body, content_type=content_type, metadata=metadata, condition=Condition())
        if await was_in_time(write):
            return True
        if await results.head(key) is not None:
            return False
    raise conflict()


async def was_in_time(write: Awaitable[object]) -> bool:
    """Make a conditional write. Returns whether it succeeded; False if another one was faster, or is in progress.

    Raises `ServiceError` when it failed for another reason.
    """
    try:
        await write
    except (PreconditionFailed, ServiceError) as error:
        if not is_overtaken(error):
            raise
        return False
    return True


def conflict() -> ServiceError:
    """The error of a write that others were faster than at each try. It has the code of S3's own conflicts (409)."""
    return ServiceError(Operation.STORE_RESULT, _CONFLICT, "other writes were faster than each of several tries")


def is_overtaken(error: Exception) -> bool:
    """Whether a conditional write failed because of another write, which has succeeded (412) or is in progress (409).

    Nobody knows what the other one comes to: whoever wants to write must look what is there, and write again.
    """
    return isinstance(error, PreconditionFailed) or (isinstance(error, ServiceError) and error.code == _CONFLICT)
