"""Calls for many records at once. When the model refuses a group, its halves find the records that it refuses alone."""

import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sluice.error_codes import ErrorCode, FailureClass
from sluice.failures import Failure, ServiceError, classify
from sluice.processing.concurrency_limit import ConcurrencyLimit
from sluice.transform.answer_format import AnswerError
from sluice.transform.side_by_side import SideBySide, Source, Work

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


def _one_by_one() -> SideBySide:
    return SideBySide(lambda: 1, ConcurrencyLimit(1), random.Random(0))  # noqa: S311 - jitter


@dataclass(slots=True)
class Calls:
    """The calls for a part's records: answers and refusals by index, and the number of calls that were made.

    `call` sends the records of the given indices together, and returns an answer for each. It raises what the failure
    table classifies, or `AnswerError`. After `enough_bytes` of answers or `enough_refused` refusals no call is begun.
    When `patience` records were refused and none was answered, `others_answered` says whether the endpoint has answered
    other records of the file, so that it is not at fault. After the first refusal, `others_gave_up` says whether so
    many parts of the file have found no answer that one refusal is enough. `works` is set once it has answered one.
    """

    call: Callable[[Sequence[int]], Awaitable[Sequence[bytes]]]
    side_by_side: SideBySide = field(default_factory=_one_by_one)
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
    alone: set[int] = field(default_factory=set)  # records that are sent alone, and left out of the groups they are in
    under_way: set[int] = field(default_factory=set)  # records that are being called for
    _halves: list[Work] = field(default_factory=list)  # of groups that were refused: what is to be called for next

    async def run(self, groups: Iterable[Sequence[int]]) -> None:
        """Answer every record of `groups`, or refuse it, but only after it was sent alone. No group is empty.

        For k bad ones of n records in a group, at most 2·k·log₂(n/k) + 2·k calls are made. Raises the first error that
        is not the records' own: capacity, configuration, transient. Raises `NothingAnswered`, and `BudgetReached` when
        the limit of answers or refusals is reached with some records left.
        """
        await self.run_source(_Groups(self, groups))

    async def run_source(self, source: Source) -> None:
        """Run the work of `source`, as `run` does."""
        try:
            await self.side_by_side.run(source)
        finally:
            self._halves.clear()

    def next_half(self) -> Work | None:
        """What is to be called for next of groups that were refused.

        The halves go before new groups, the last ones first: so there are never more of them than a few for each call.
        """
        return self._halves.pop() if self._halves else None

    def check_budget(self) -> None:
        """Raises `BudgetReached` when no call may be begun."""
        if self.kept_bytes > self.enough_bytes or len(self.refused) >= self.enough_refused:
            raise BudgetReached

    def may_begin(self, under_way: int) -> bool:
        """Whether to begin another call: not before it is known whether the endpoint answers anything at all."""
        return self.works or not under_way or len(self.refused) + under_way < self.patience

    async def paid(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """The result of a call. It is counted unless it could not be begun. Raises what `call` raises."""
        try:
            found = await call()
        except (ServiceError, AnswerError):
            self.made += 1
            raise
        self.made += 1
        return found

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

    async def answer_alone(self, index: int) -> None:
        """Call for one of the records that are `alone`."""
        refusal = await self._ask([index])
        if refusal is not None:
            await self.refuse(index, refusal)

    def _without_alone(self, group: Sequence[int]) -> Sequence[int]:
        return [index for index in group if index not in self.alone] if self.alone else group

    async def answer(self, group: Sequence[int]) -> None:
        """Call for a group. If it is refused, its halves are called for next."""
        group = self._without_alone(group)
        if not group:
            return
        refusal = await self._ask(group)
        if refusal is not None:
            await self._divide(group, refusal)

    async def _ask(self, group: Sequence[int]) -> Failure | None:
        """Call for a group, and keep its answers. Returns why it was refused, or None."""
        self.under_way.update(group)
        try:
            found = await self.paid(lambda: self.call(group))
        except (ServiceError, AnswerError) as error:
            return record_failure(error)
        finally:
            self.under_way.difference_update(group)
        for index, answer in zip(group, found, strict=True):
            self.keep(index, answer)
        return None

    async def _divide(self, group: Sequence[int], failure: Failure) -> None:
        """Plan the halves of a group that was refused; a single record is refused."""
        if len(group) == 1:
            await self.refuse(group[0], failure)
        else:
            self._halves.append(partial(self._bisect, group, failure))

    async def _bisect(self, group: Sequence[int], failure: Failure) -> None:
        """Call for the left half of a group that was refused; then it is known what to do with the right one.

        Both at once would take less time, and more calls than the bound: if the left half is answered, the right one
        holds the record for which the group was refused, and is not called for as a whole. If the left half is refused,
        too, both are gone through side by side.
        """
        group = self._without_alone(group)
        if len(group) < 2:
            await self.answer(group)
            return
        middle = len(group) // 2
        left, right = group[:middle], group[middle:]
        refusal = await self._ask(left)
        if refusal is None and len(right) > 1 and _is_of_a_record(failure):
            self._halves.append(partial(self._bisect, right, failure))
            return
        self._halves.append(partial(self.answer, right))
        if refusal is not None:
            await self._divide(left, refusal)


@dataclass(slots=True)
class _Groups:
    """The `Source` of groups that are known beforehand."""

    calls: Calls
    groups: Iterable[Sequence[int]]

    def __post_init__(self) -> None:
        self.groups = iter(self.groups)

    def next(self, under_way: int) -> Work | None:  # noqa: ARG002 - as in `Source`
        half = self.calls.next_half()
        if half is not None:
            self.calls.check_budget()
            return half
        group = next(iter(self.groups), None)
        if group is None:
            return None
        self.calls.check_budget()
        return partial(self.calls.answer, list(group))


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
    # may pass, and so may other records. What is retried a few times is then some record's, too: one that ends the
    # model's process must not cost the file.
    if failure.of_endpoint and (error.of_record or not failure.is_retried(error.receive_count)):
        return failure
    raise error
