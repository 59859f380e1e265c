"""Finds the AnswerFormat of a file: what a container answers to its first records alone, and to them together."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sluice.concurrency import now
from sluice.error_codes import ErrorCode
from sluice.failures import ServiceError
from sluice.ports import Inference
from sluice.transform.answer_format import NONE, AnswerError, AnswerFormat
from sluice.transform.bisect import Calls
from sluice.transform.evidence import format_of, in_no_order
from sluice.transform.patience import IN_ORDER
from sluice.transform.refusal import record_failure
from sluice.transform.side_by_side import Work

_NEEDED = 2  # records that are answered alone, and refusals of them together
_MOST_ALIKE = 4  # records that are answered alone while their answers are equal, which show no order
_LOOKED_AT = 1000  # records, of which the second one to be tried has another length than the first
_FIRST = IN_ORDER  # records of which two are to be answered; after these, only one
_MOST_BYTES = 512 * 1024  # of answers to further records while others take long
_SLOW_SECONDS = 0.25  # that a call takes until others are begun beside it


@dataclass(slots=True)
class Probe:
    """The evidence for a format, and what is called for next to find it.

    `ask` sends the records of the given indices together, and `sent` returns what is sent for one. `indices` are all of
    them, in the order in which they are tried. A request has at most `most_bytes`. `alone` holds the answers to single
    records, of which the first `known` were paid for before. `keep` takes such an answer, and `settle` the format, when
    it is found.

    A call that takes long leaves room for others: meanwhile further records are sent alone, which is always right.
    """

    calls: Calls
    ask: Callable[[Sequence[int]], Awaitable[Inference]]
    sent: Callable[[int], bytes]
    indices: Sequence[int]
    most_bytes: int
    alone: Mapping[int, Inference]
    known: int
    keep: Callable[[int, Inference], Awaitable[None]]
    settle: Callable[[AnswerFormat], Awaitable[None]]
    ended: bool = False  # whether the format is found, or every record was refused
    under_way: dict[int, bytes] = field(default_factory=dict)  # what is sent for single records, by index
    _turn: Iterator[int] = field(init=False)
    _further: Iterator[int] = field(init=False)
    _tried: set[int] = field(default_factory=set)
    _candidate: int | None = None
    _group_refused: int = 0
    _group_under_way: bool = False
    _found: AnswerFormat | None = None
    _slow_at: float | None = None

    def __post_init__(self) -> None:
        self._turn = iter(self._of_other_length(self.indices))
        self._further = iter(sorted(self.indices))
        self._tried |= self.alone.keys()
        self.calls.works = self.calls.works or bool(self.alone)

    def next(self, under_way: int) -> Work | float | None:
        """The work to begin now, or the time at which to ask again, as `Source` returns it."""
        if self.ended or not self.calls.may_begin(under_way):
            return None
        work = self._next()
        if work is not None:
            self._slow_at = now() + _SLOW_SECONDS
            return work
        if self.ended or self._slow_at is None or now() < self._slow_at:
            return self._slow_at
        return self._further_alone()

    @property
    def is_at_second_try(self) -> bool:
        """Whether the records were refused together once."""
        return self._group_refused > 0

    @property
    def _needed(self) -> int:
        """How many records are to be answered alone."""
        are_alike = len({one.body for one in self.alone.values()}) == 1
        return _MOST_ALIKE if are_alike and len(self.alone) >= _NEEDED else _NEEDED

    def _next(self) -> Work | None:
        if self._found is not None:
            self.ended = True
            return partial(self.settle, self._found)
        if self._group_under_way:
            return None
        needed = self._needed
        if len(self.alone) + len(self.under_way) < needed and (index := self._next_candidate()) is not None:
            return self._alone(index)
        if self.alone and (len(self.alone) >= needed or not self.under_way):
            return self._together()
        self.ended = not self.under_way  # every record was refused
        return None

    def _of_other_length(self, indices: Sequence[int]) -> Sequence[int]:
        """`indices`, of which the second has another length than the first, if there is one: containers sort by it."""
        first, *others = indices
        length = len(self.sent(first))
        # In the order of the file: neighbours are more often alike in all but their length.
        second = next((one for one in sorted(others)[:_LOOKED_AT] if len(self.sent(one)) != length), None)
        return indices if second is None else [first, second, *(one for one in others if one != second)]

    def _next_candidate(self) -> int | None:
        """The next record that is tried: another one than those that are answered, or under way.

        Only the first few are tried, or more until one of them is answered.
        """
        if self.alone and len(self._tried) >= _FIRST:
            return None
        answered = {self.sent(index) for index in self.alone}
        while True:
            if self._candidate is None or self._candidate in self._tried or self.sent(self._candidate) in answered:
                self._candidate = next(self._turn, None)
                if self._candidate is None:
                    return None
            elif self.sent(self._candidate) in self.under_way.values():
                return None  # if that one is refused, this one is tried, too
            else:
                return self._candidate

    def _further_alone(self) -> Work | None:
        """A further record, while others take long. Each answer is kept in memory until the format is known."""
        if sum(len(one.body) for one in self.alone.values()) > _MOST_BYTES:
            return None
        # In order, so that the last ones can be given away; but after a refusal, those that are tried anyway.
        in_order = self.calls.works or not self.calls.refused
        further = self._further if in_order else iter(self.indices)
        index = next((index for index in further if index not in self._tried), None)
        return None if index is None else self._alone(index)

    def _alone(self, index: int) -> Work:
        self._tried.add(index)
        self.under_way[index] = self.sent(index)
        return partial(self._ask_alone, index)

    async def _ask_alone(self, index: int) -> None:
        try:
            inference = await self.calls.paid(lambda: self._answered([index]))
        except (ServiceError, AnswerError) as error:
            failure = record_failure(error)
            del self.under_way[index]
            await self.calls.refuse(index, failure)
            return
        del self.under_way[index]
        self.calls.works = True
        await self.keep(index, inference)

    async def _answered(self, indices: Sequence[int]) -> Inference:
        inference = await self.ask(indices)
        if not inference.body.strip():
            raise AnswerError("the answer is empty")
        return inference

    def _together(self) -> Work | None:
        first, *others = self.alone
        unlike = [index for index in others if self.alone[index].body != self.alone[first].body]
        group = in_no_order(first, *(unlike or others)[:1])
        if sum(len(self.sent(index)) + 1 for index in group) > self.most_bytes:
            self._found = NONE
            return self._next()
        self._group_under_way = True
        return partial(self._ask_together, group)

    async def _ask_together(self, group: Sequence[int]) -> None:
        """Compare the answer to a group. It may be refused once, which may have another cause than that it is a group.

        Unless that took long: a group that timed out would do so again, and the function may have no time for it.
        """
        try:
            together = await self.calls.paid(lambda: self.ask(group))
        except ServiceError as error:
            failure = record_failure(error)  # raises it, unless the model has refused them together
            self._group_under_way = False
            self._group_refused += 1
            if failure.code == ErrorCode.MODEL_TIMEOUT or self._group_refused == _NEEDED:
                self._found = NONE
            return
        self._found = format_of([self.alone[index] for index in group], together)
