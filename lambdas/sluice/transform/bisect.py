"""Calls for many records at once. When the model refuses a group, its halves find the records that it refuses alone."""

import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from sluice.error_codes import ErrorCode
from sluice.failures import Failure, ServiceError
from sluice.processing.concurrency_limit import ConcurrencyLimit
from sluice.transform.answer_format import AnswerError
from sluice.transform.certainty import Trust
from sluice.transform.refusal import Refusal, is_of_a_record, record_failure
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

    A group that was answered with another number of answers may hold records with none and records with several. Some
    of its subgroups then have the right number by chance. So `trust` confirms the answers of each of them.
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
    trust: Trust | None = None
    most_records: int = sys.maxsize  # of a group, as far as refusals have shown it
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

    def forget(self, indices: Iterable[int]) -> None:
        """Drop the answers, and the refusals for how they were answered, of some records: they are called for again."""
        for index in indices:
            self.kept_bytes -= len(self.answers.pop(index, b""))
            refused = self.refused.get(index)
            if refused is not None and refused.failure.code == ErrorCode.ANSWER_MISMATCH:
                del self.refused[index]

    async def answer_alone(self, index: int) -> None:
        """Call for one of the records that are `alone`."""
        refusal = await self._ask([index], is_suspect=False)
        if refusal is not None:
            await self.refuse(index, refusal.failure)

    def _without_alone(self, group: Sequence[int]) -> Sequence[int]:
        return [index for index in group if index not in self.alone] if self.alone else group

    async def answer(self, group: Sequence[int], *, is_suspect: bool = False) -> None:
        """Call for a group. If it is refused, its halves are called for next."""
        group = self._without_alone(group)
        if not group:
            return
        if len(group) > self.most_records:
            self._in_smaller_groups(group, is_suspect=is_suspect)
            return
        refusal = await self._ask(group, is_suspect=is_suspect)
        if refusal is not None:
            await self._divide(group, refusal)

    async def _ask(self, group: Sequence[int], *, is_suspect: bool) -> Refusal | None:
        """Call for a group, and keep its answers. Returns why it was refused, or None."""
        self.under_way.update(group)
        try:
            found = await self.paid(lambda: self.call(group))
        except AnswerError as error:
            is_alone = len(group) == 1
            if is_alone and self.trust is not None:
                self.trust.check_alone(error, is_suspect=is_suspect)
            return Refusal(record_failure(error), is_suspect or (error.found is not None and not is_alone))
        except ServiceError as error:
            return Refusal(record_failure(error), is_suspect)
        finally:
            self.under_way.difference_update(group)
        if self.trust is not None and len(group) > 1 and (is_suspect or self.trust.doubts(found)):
            self.under_way.update(group)
            self._halves.append(partial(self._confirm, self.trust, group, found, is_suspect=is_suspect))
        else:
            self._keep_all(group, found)
        return None

    async def _confirm(self, trust: Trust, group: Sequence[int], found: Sequence[bytes], *, is_suspect: bool) -> None:
        """Take the answers of a group if they are those to its records alone. Else the others are called for again."""
        *others, last = group
        try:
            answer, are_certain = await trust.confirm(group, found, self.paid, is_suspect=is_suspect)
        except (AnswerError, ServiceError) as error:
            await self.refuse(last, record_failure(error))
            are_certain = False
        else:
            self.keep(last, answer)
        finally:
            self.under_way.difference_update(group)
        if are_certain:
            self._keep_all(others, found[:-1])
        elif len(others) == 1:
            self._halves.append(partial(self.answer, others, is_suspect=True))
        else:
            reason = Failure.of(ErrorCode.ANSWER_MISMATCH, "its answer in a group is not the one that it has alone")
            self._halves.append(partial(self._bisect, others, Refusal(reason, is_suspect=True)))

    def _keep_all(self, group: Sequence[int], answers: Sequence[bytes]) -> None:
        for index, answer in zip(group, answers, strict=True):
            self.keep(index, answer)

    async def _divide(self, group: Sequence[int], refusal: Refusal) -> None:
        """Plan the halves of a group that was refused; a single record is refused."""
        if len(group) == 1:
            await self.refuse(group[0], refusal.failure)
        else:
            self._halves.append(partial(self._bisect, group, refusal))

    async def _bisect(self, group: Sequence[int], refusal: Refusal) -> None:
        """Call for the left half of a group that was refused; then it is known what to do with the right one.

        Both at once would take less time, and more calls than the bound: if the left half is answered, the right one
        holds the record for which the group was refused, and is not called for as a whole. If the left half is refused,
        too, both are gone through side by side.
        """
        sent, group = len(group), self._without_alone(group)
        if len(group) < sent:  # one of the others may be the reason, whatever is answered of these
            refusal = replace(refusal, answered=sys.maxsize)
        if len(group) < 2:
            await self.answer(group, is_suspect=refusal.is_suspect)
            return
        if len(group) > self.most_records:
            self._in_smaller_groups(group, is_suspect=refusal.is_suspect)
            return
        middle = len(group) // 2
        left, right = group[:middle], group[middle:]
        of_left = await self._ask(left, is_suspect=refusal.is_suspect)
        if of_left is None and is_of_a_record(refusal.failure):
            refusal = replace(refusal, answered=max(refusal.answered, len(left)))
            self._halves.append(partial(self._bisect if len(right) > 1 else self._answer_last, right, refusal))
            return
        self._halves.append(partial(self.answer, right, is_suspect=refusal.is_suspect))
        if of_left is not None:
            await self._divide(left, of_left)

    async def _answer_last(self, group: Sequence[int], refusal: Refusal) -> None:
        """Call for the only record that is left of a group that was refused.

        If it is answered, too, none of the records was the reason: the container takes fewer of them at a time.
        """
        group = self._without_alone(group)
        if not group:
            return
        of_last = await self._ask(group, is_suspect=refusal.is_suspect)
        if of_last is None:
            self.most_records = min(self.most_records, refusal.answered)
        else:
            await self._divide(group, of_last)

    def _in_smaller_groups(self, group: Sequence[int], *, is_suspect: bool) -> None:
        """Plan calls for a group that is larger than the container takes."""
        for start in reversed(range(0, len(group), self.most_records)):
            few = group[start : start + self.most_records]
            self._halves.append(partial(self.answer, few, is_suspect=is_suspect))


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
