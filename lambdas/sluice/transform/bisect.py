"""Calls for many records at once. When the model refuses a group, its halves find the records that it refuses alone."""

import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sluice.concurrency import sleep
from sluice.error_codes import ErrorCode, FailureClass
from sluice.failures import Failure, ServiceError, classify
from sluice.transform.records import AnswerError

_PAUSES = (0.1, 0.3, 0.9)  # seconds
_EXTRA_CALLS = 32  # for each group of records, besides what bisecting it for a few refused ones needs
_PATIENCE = 8  # refusals in a row, over what finding one record takes, after which the endpoint is taken to be at fault


class BudgetReached(Exception):
    """The answers, or the refusals, in memory have reached their limit."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record without an answer, and the reason."""

    failure: Failure


@dataclass(slots=True)
class Calls:
    """The calls for a part's records: answers and refusals by index, and the number of calls that were made.

    `call` sends the records of the given indices together, and returns an answer for each. It raises what the failure
    table classifies, or `AnswerError`. After `enough_bytes` of answers or `enough_refused` refusals no call is made.
    """

    call: Callable[[Sequence[int]], Awaitable[Sequence[bytes]]]
    sleep: Callable[[float], Awaitable[None]] = sleep
    enough_bytes: int = sys.maxsize
    enough_refused: int = sys.maxsize
    answers: dict[int, bytes] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)
    made: int = 0
    kept_bytes: int = 0
    _refused_in_a_row: int = 0

    async def run(self, groups: Iterable[Sequence[int]]) -> None:
        """Answer or refuse every record of `groups`. No group is empty.

        Raises the first error that is not the records' own: capacity, configuration, transient, or the refusal of all
        records, for which the endpoint is taken to be at fault. Raises `BudgetReached` when the limit of answers or
        refusals is reached with some records left.
        """
        every = 0
        for group in groups:
            every += len(group)
            budget = _EXTRA_CALLS + 8 * max(1, math.ceil(math.log2(len(group))))
            await self._answer(list(group), [budget])
        if every > 1 and len(self.refused) == every:
            raise next(iter(self.refused.values())).failure

    async def _answer(self, group: list[int], left: list[int]) -> None:
        """Answer a group. `left` holds the number of calls that are left to the group that it is a part of."""
        try:
            found = await self._call(group)
        except (ServiceError, AnswerError) as error:
            failure = _record_failure(error, len(group))
        else:
            self.answers.update(zip(group, found, strict=True))
            self.kept_bytes += sum(map(len, found))
            self._refused_in_a_row = 0
            return
        self._refused_in_a_row += 1
        if (
            not self.answers
            and self._refused_in_a_row > _PATIENCE + 2 * math.ceil(math.log2(len(group) + 1))
            and len(group) > 1
        ):
            raise failure
        if len(group) == 1:
            self.refused[group[0]] = Refused(failure)
            return
        if left[0] <= 0:
            alone = f"{failure.message} (one of {len(group)} records that were not tested singly: too many are refused)"
            self.refused.update(dict.fromkeys(group, Refused(_renamed(failure, alone))))
            return
        left[0] -= 2
        middle = len(group) // 2
        await self._answer(group[:middle], left)
        await self._answer(group[middle:], left)

    async def _call(self, group: list[int]) -> Sequence[bytes]:
        """Call, and retry after a pause if a retry can help and other calls of this part have been paid for."""
        if self.kept_bytes > self.enough_bytes or len(self.refused) >= self.enough_refused:
            raise BudgetReached
        for pause in _PAUSES:
            try:
                return await self._counted(group)
            except ServiceError as error:
                if self.made == 1 or not classify(error).failure_class.retryable:
                    raise
                await self.sleep(pause)
        return await self._counted(group)

    async def _counted(self, group: list[int]) -> Sequence[bytes]:
        """Call, and count the call unless it could not be begun."""
        try:
            found = await self.call(group)
        except (ServiceError, AnswerError):
            self.made += 1
            raise
        self.made += 1
        return found


def _record_failure(error: ServiceError | AnswerError, count: int) -> Failure:
    """The failure, when it may be that of single records; otherwise raises `error`."""
    if isinstance(error, AnswerError):
        return Failure.of(ErrorCode.ANSWER_MISMATCH, str(error))
    failure = classify(error)
    # The group may be over the endpoint's payload limit: smaller groups may pass.
    too_large = failure.failure_class is FailureClass.INVALID and count > 1
    if failure.failure_class is FailureClass.MODEL or too_large:
        return failure
    raise error


def _renamed(failure: Failure, message: str) -> Failure:
    return Failure(
        failure.failure_class,
        failure.code,
        message,
        original_status_code=failure.original_status_code,
        original_message=failure.original_message,
        log_stream_arn=failure.log_stream_arn,
        of_endpoint=failure.of_endpoint,
    )
