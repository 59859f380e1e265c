"""When a part stops that has no answer: a model that is broken must not be paid for each record of a file.

What refuses some records often refuses their neighbours, too. So the records that are tried until one is answered come
from all over the part, and each delivery tries others than those before it. This holds however records are sent.
"""

import math
import zlib
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.requests import TransformPart
from sluice.ports import Bucket
from sluice.processing.attempt import Attempt
from sluice.processing.prefetch import prefetch
from sluice.transform.bisect import PATIENCE
from sluice.transform.progress import count, succeeded

_WITH_ALL = 4 * PATIENCE  # of a part that is the whole file, so that no other part can answer
_AGAIN = PATIENCE // 4  # of a part that was returned to its queue: a broken model costs this at each receive

_GIVEN_UP = _WITH_ALL // PATIENCE  # parts: as many records as in a file of one part
IN_ORDER = 8  # records that are tried in their order; after these, others from all over the part


@dataclass(frozen=True, slots=True)
class Patience:
    """How many records of a part are refused before it stops, if the endpoint has not answered any of the file.

    `again` is the number of deliveries before this one, if one of them has found no answer: then no group of records is
    sent before a record was answered alone. `offset` is different for each retry of a file, which does not know what
    the runs before it have tried.
    """

    most: int = PATIENCE
    again: int = 0
    offset: int = 0

    def order(self, indices: Sequence[int]) -> list[int]:
        """`indices` in the order in which they are tried: the first ones, then each other one once, from all over."""
        first, rest = list(indices[:IN_ORDER]), indices[IN_ORDER:]
        step = max(1, int(len(rest) * (math.sqrt(5) - 1) / 2))  # so that any number of them are evenly spread
        while rest and math.gcd(step, len(rest)) > 1:
            step += 1
        order = first + [rest[(self.offset + number) * step % len(rest)] for number in range(1, len(rest) + 1)]
        tried = self.again
        if tried and len(order) > PATIENCE:
            tried = PATIENCE + (tried - 1) * _AGAIN
        start = tried % max(1, len(order))
        return order[start:] + order[:start]


async def patience(results: Bucket, attempt: Attempt[TransformPart]) -> Patience:
    """The patience of a delivery.

    Calls are made side by side, so that it must be known before the first of them whether one is enough. Raises
    `ServiceError`.
    """
    part, before = attempt.request, attempt.delivery.receive_count - 1
    offset = zlib.crc32(part.run.id.encode()) if part.run is not None and part.run.retries else 0
    if part.is_whole:
        return Patience(_WITH_ALL, offset=offset)
    given_up = await _given_up(results, attempt)
    most = _AGAIN if before else PATIENCE
    is_again = part.run is None or keys.part_position(part.start) in given_up
    return Patience(1 if len(given_up) >= _GIVEN_UP else most, before if is_again else 0, offset)


async def have_given_up(results: Bucket, attempt: Attempt[TransformPart]) -> bool:
    """Whether several parts of the run have found no answer, so that the others try one record at each receive.

    Raises `ServiceError`.
    """
    return len(await _given_up(results, attempt)) >= _GIVEN_UP


async def give_up(results: Bucket, attempt: Attempt[TransformPart]) -> None:
    """Note for the other parts of the run that a part has found no answer. Raises `ServiceError`."""
    part = attempt.request
    if part.run is not None and not part.is_whole:
        prefix = keys.given_up_prefix(keys.folder_of_part(attempt.identity.name), part.run.id)
        await results.put(prefix + keys.part_position(part.start), b"", content_type=None)


async def _given_up(results: Bucket, attempt: Attempt[TransformPart]) -> set[str]:
    """The positions of the parts of the run that have found no answer."""
    if (run := attempt.request.run) is None:
        return set()
    prefix = keys.given_up_prefix(keys.folder_of_part(attempt.identity.name), run.id)
    names = await results.list(keys.folder_of_part(attempt.identity.name), start_after=prefix)
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


async def has_answers(results: Bucket, folder: str) -> bool:
    """Whether a stored part of a dataset has an answered record. Raises `ServiceError`."""
    return (await _counted(results, folder))[0]


async def is_at_fault(results: Bucket, folder: str, refused: int) -> bool:
    """Whether a part with `refused` refusals and no answer must stop: the whole file has no answer, and many refusals.

    Raises `ServiceError`.
    """
    answered, failed = await _counted(results, folder)
    return not answered and failed + refused >= PATIENCE


async def _counted(results: Bucket, folder: str) -> tuple[bool, int]:
    """Whether a stored part has an answered record, and how many failed in the parts before it."""
    names = [name for _, _, name in keys.stored_parts(await results.list(folder))]
    failed = 0
    async with aclosing(prefetch(results.head, names)) as heads:
        async for head in heads:
            if head is not None:
                if succeeded(head.metadata):
                    return True, failed
                failed += count(head.metadata, "failed")
    return False, failed


def failure_of_part(failure: Failure) -> Failure:
    """The failure of a part that stops, while another part may be answered; `failure` is that of one of its records."""
    code = ErrorCode.NOTHING_ANSWERED
    return Failure(
        code.failure_class,
        code,
        f"{code.reason}; the last reason: {failure.code}: {failure.message}",
        original_status_code=failure.original_status_code,
        original_message=failure.original_message,
        log_stream_arn=failure.log_stream_arn,
    )
