"""Calls for many records at once. When the model refuses a group, its halves find the records that it refuses alone."""

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sluice.concurrency import sleep
from sluice.error_codes import ErrorCode, FailureClass
from sluice.failures import Failure, ServiceError, classify
from sluice.transform.answer_format import AnswerError

_PAUSES = (0.1, 0.3, 0.9)  # seconds
PATIENCE = 16  # records that are refused alone before one is answered, after which the endpoint may be at fault

_T = TypeVar("_T")


class BudgetReached(Exception):
    """The answers, or the refusals, in memory have reached their limit."""


class NothingAnswered(Exception):
    """Many records were refused alone, and none was answered. `failure` is the reason of the last of them."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Refused:
    """A record without an answer, and the reason."""

    failure: Failure


async def _nobody() -> bool:
    return False


@dataclass(slots=True)
class Calls:
    """The calls for a part's records: answers and refusals by index, and the number of calls that were made.

    `call` sends the records of the given indices together, and returns an answer for each. It raises what the failure
    table classifies, or `AnswerError`. After `enough_bytes` of answers or `enough_refused` refusals no call is made.
    When `patience` records were refused and none was answered, `others_answered` says whether the endpoint has answered
    other records of the file, so that it is not at fault. After the first refusal, `others_gave_up` says whether so
    many parts of the file have found no answer that one refusal is enough. `works` is set once it has answered one.
    """

    call: Callable[[Sequence[int]], Awaitable[Sequence[bytes]]]
    sleep: Callable[[float], Awaitable[None]] = sleep
    enough_bytes: int = sys.maxsize
    enough_refused: int = sys.maxsize
    patience: int = PATIENCE
    others_answered: Callable[[], Awaitable[bool]] = _nobody
    others_gave_up: Callable[[], Awaitable[bool]] = _nobody
    answers: dict[int, bytes] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)
    made: int = 0
    kept_bytes: int = 0
    works: bool = False  # whether the endpoint has answered a record of the file

    async def run(self, groups: Iterable[Sequence[int]]) -> None:
        """Answer every record of `groups`, or refuse it, but only after it was sent alone. No group is empty.

        For k bad ones of n records in a group, at most 2·k·log₂(n/k) + 2·k calls are made. Raises the first error that
        is not the records' own: capacity, configuration, transient. Raises `NothingAnswered`, and `BudgetReached` when
        the limit of answers or refusals is reached with some records left.
        """
        for group in groups:
            await self._answer(list(group))

    async def paid(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """The result of a call, which is counted, and is made again after a pause if that can help.

        It is not made again if it is the first call of the part. Raises what `call` raises, and `BudgetReached`.
        """
        if self.kept_bytes > self.enough_bytes or len(self.refused) >= self.enough_refused:
            raise BudgetReached
        for pause in _PAUSES:
            try:
                return await self._counted(call)
            except ServiceError as error:
                if self.made == 1 or not classify(error).failure_class.retryable:
                    raise
                await self.sleep(pause)
        return await self._counted(call)

    def keep(self, index: int, answer: bytes) -> None:
        """Take a record's answer."""
        self.answers[index] = answer
        self.kept_bytes += len(answer)
        self.works = True

    async def refuse(self, index: int, failure: Failure) -> None:
        """Take the refusal of a record that was sent alone. Raises `NothingAnswered`."""
        self.refused[index] = Refused(failure)
        if not self.works and len(self.refused) == 1 and await self.others_gave_up():
            self.patience = 1
        if not self.works and len(self.refused) >= self.patience:
            self.works = await self.others_answered()
            if not self.works:
                raise NothingAnswered(failure)

    async def _answer(self, group: list[int]) -> bool:
        """Answer a group. Returns whether none of its records was refused."""
        try:
            found = await self.paid(lambda: self.call(group))
        except (ServiceError, AnswerError) as error:
            failure = record_failure(error)
        else:
            for index, answer in zip(group, found, strict=True):
                self.keep(index, answer)
            return True
        if len(group) == 1:
            await self.refuse(group[0], failure)
        else:
            await self._bisect(group, failure)
        return False

    async def _bisect(self, group: list[int], failure: Failure) -> None:
        """Answer the halves of a group that was refused."""
        middle = len(group) // 2
        left, right = group[:middle], group[middle:]
        all_answered = await self._answer(left)
        if all_answered and len(right) > 1 and _is_of_a_record(failure):
            await self._bisect(right, failure)  # It holds the record for which the group was refused.
        else:
            await self._answer(right)

    async def _counted(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call, and count the call unless it could not be begun."""
        try:
            found = await call()
        except (ServiceError, AnswerError):
            self.made += 1
            raise
        self.made += 1
        return found


def _is_of_a_record(failure: Failure) -> bool:
    """Whether a group was refused for one of its records, rather than for its size or for how it was answered."""
    return failure.failure_class is FailureClass.MODEL and failure.code not in {
        ErrorCode.MODEL_TIMEOUT,
        ErrorCode.ANSWER_MISMATCH,
    }


def record_failure(error: ServiceError | AnswerError) -> Failure:
    """The failure, when it may be that of single records; otherwise raises `error`."""
    if isinstance(error, AnswerError):
        return Failure.of(ErrorCode.ANSWER_MISMATCH, str(error))
    failure = classify(error)
    # InvokeEndpoint finds a request invalid, for example, when it is over the endpoint's payload limit: smaller groups
    # may pass, and so may other records.
    if failure.failure_class in {FailureClass.MODEL, FailureClass.INVALID} and failure.of_endpoint:
        return failure
    raise error
