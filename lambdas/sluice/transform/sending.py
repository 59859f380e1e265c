"""What a part calls for, in its order: what finds the format, the halves of refused groups, then group after group.

Until a record is answered, single records from all over the part are tried before the others.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from sluice.concurrency import now
from sluice.inputs.requests import TransformPart
from sluice.transform.bisect import BudgetReached, Calls
from sluice.transform.cost import CallCosts
from sluice.transform.division import Division, divided
from sluice.transform.memory import ENOUGH_ANSWERED, AnswerMemory
from sluice.transform.patience import IN_ORDER, Patience
from sluice.transform.probe import Probe
from sluice.transform.records import payloads
from sluice.transform.side_by_side import Work as Call
from sluice.transform.work import Work

_SLOW_SECONDS = 0.25  # that a call of unknown cost takes until others are begun beside it


class Sending:
    """The `Source` of a part's calls. `give` sends parts to other functions. A call has at most `most_bytes`.

    When the cost of the calls is known, and there is more work than one function should do, the last lines are given to
    other functions. Only then, and once: an endpoint that does not answer makes no further messages.
    """

    def __init__(
        self,
        work: Work,
        calls: Calls,
        costs: CallCosts,
        *,
        memory: AnswerMemory,
        division: Division,
        give: Callable[[list[TransformPart]], Awaitable[None]],
        patience: Patience,
        most_bytes: int,
    ) -> None:
        self._work = work
        self._calls = calls
        self.probe: Probe | None = None  # until the format of the file is known
        self._costs = costs
        self._memory = memory
        self._division = division
        self._give = give
        self.patience = patience
        self._endpoint_name = name = work.invocation.endpoint_name
        # Not a method: the groups that are formed with it would refer to this object, and it to them.
        self._sendable: Callable[[], int] = lambda: min(most_bytes, costs.sendable(name))
        self._groups: Iterator[list[int]] | None = None
        self._group: list[int] | None = None  # the next one, if it has been formed
        self._order: Iterator[int] | None = None  # in which single records are tried
        self._alone: int | None = None  # the next of them, if it has been chosen
        self._reached = 0  # the index after the last line that was called for
        self._sizes: list[int] = []  # of what is still to be sent for each line
        self._expected: dict[int, int] = {}  # bytes of answers, of each group that is under way
        self._is_divided = False  # or it was decided that it is not
        self._divides = False
        self._slow_at: float | None = None

    @property
    def single(self) -> bool:
        """Whether each record is sent alone."""
        divided_by = self._work.answer_format
        return self._work.options.batch_strategy == "SingleRecord" or not (divided_by and divided_by.holds_several)

    def next(self, under_way: int) -> Call | float | None:
        """As `Source.next`. Raises `BudgetReached`."""
        if self._work.answer_format is None:
            return self.probe.next(under_way) if self.probe else None
        if not self._calls.may_begin(under_way) or (self._memory.is_over and under_way and not self._has_progress):
            return None
        alone = self._next_alone()
        half = self._calls.next_half() if alone is None else None
        if half is not None:
            self._check_budget()
            return half
        group = [alone] if alone is not None else None if self._divides else self._next_group()
        if group is None:
            return None
        self._check_budget()
        is_known = self._costs.is_known(self._endpoint_name)
        if not self._is_divided and is_known and self._calls.answers:
            self._is_divided = True
            pieces = self._for_others(group)
            self._divides = bool(pieces)
            if pieces:
                return partial(self._divide, pieces)
        if under_way and not is_known and self._slow_at is not None and now() < self._slow_at:
            return self._slow_at
        expected = self._costs.answer_bytes(self._endpoint_name, sum(self._work.sizes[index] for index in group))
        if under_way and sum(self._expected.values()) + expected > ENOUGH_ANSWERED:
            return None
        self._slow_at = self._slow_at or now() + _SLOW_SECONDS
        self._reached = max(self._reached, group[-1] + 1)
        self._expected[group[0]] = expected
        if alone is None:
            self._group = None
            return partial(self._answer, group)
        self._alone = None
        self._calls.alone.add(alone)
        return partial(self._answer_alone, alone)

    async def _answer(self, group: list[int]) -> None:
        await self._calls.answer(group)
        del self._expected[group[0]]

    async def _answer_alone(self, index: int) -> None:
        await self._calls.answer_alone(index)
        del self._expected[index]

    def _next_alone(self) -> int | None:
        """The next record that is tried until one is answered, if it is tried before the others.

        That begins with a refusal, or with several if records are sent in groups, some of which are usually answered.
        """
        calls = self._calls
        enough = 1 if self.single else IN_ORDER
        if calls.works or not (self.patience.again or len(calls.refused) >= enough):
            return None
        if self._order is None:
            self._order = iter(self.patience.order([index for index, size in enumerate(self._work.sizes) if size]))
        done = calls.refused.keys() | calls.under_way
        if self._alone is None or self._alone in done:
            self._alone = next((index for index in self._order if index not in done), None)
        return self._alone

    def _check_budget(self) -> None:
        self._calls.check_budget()
        if self._memory.is_over and self._has_progress:
            raise BudgetReached

    def restart(self) -> None:
        """Form other groups of what is left, because the format of the answers has changed."""
        self.probe = self._groups = self._group = self._order = self._alone = None
        self._reached = 0
        self._expected.clear()
        self._calls.alone.clear()
        self._calls.under_way.clear()
        self._divides = False

    @property
    def _has_progress(self) -> bool:
        """Whether a record is answered or refused.

        Until then, calls are made one after another if there is no memory for more: a part that ended without any would
        be received again, and make the same calls, without end.
        """
        return bool(self._calls.answers or self._calls.refused)

    def _next_group(self) -> list[int] | None:
        if self._groups is None:
            done = self._calls.answers.keys() | self._calls.refused.keys()
            done |= self.probe.under_way.keys() if self.probe else set()
            self._reached = max(self._reached, max(done, default=-1) + 1)
            self._sizes = [0 if index in done else size for index, size in enumerate(self._work.sizes)]
            calls = self._calls  # not this object, to which the groups would refer
            self._groups = payloads(self._sizes, self._sendable, lambda: calls.most_records, single=self.single)
        while True:
            group = next(self._groups, None) if self._group is None else self._group
            if group is None:
                return None
            # Some may have been given away, or sent alone, since the group was formed.
            count, alone = len(self._work.lines), self._calls.alone
            if group[-1] >= count or (alone and not alone.isdisjoint(group)):
                group = [index for index in group if index < count and index not in alone]
            self._group = group or None
            if group:
                return group

    def parts_of(self, lines: range) -> list[TransformPart]:
        """Lines that are left, as the parts that go on with them."""
        if self._work.answer_format is None:
            return [self._work.part_of(lines, and_rest=True)]
        return [self._work.part_of(one, and_rest=True) for one in self._divided(lines)]

    def _divided(self, lines: range) -> list[range]:
        seconds = self._seconds(lines)
        pieces = self._division.pieces(self._work.part_of(lines, and_rest=True), seconds)
        return divided(self._work, lines, pieces, single=self.single)

    def _seconds(self, lines: range) -> float:
        """How long the calls for some lines take, one after another."""
        sizes = self._work.sizes[lines.start : lines.stop]
        sent = sum(sizes)
        calls = sum(map(bool, sizes)) if self.single else -(-sent // self._sendable())
        return self._costs.seconds(self._endpoint_name, calls, sent)

    def _for_others(self, group: list[int]) -> list[range]:
        """The lines to give to other functions. The group that is formed already stays."""
        if self._work.options.split_type == "None":
            return []
        pieces = self._divided(range(max(self._reached, group[0]), len(self._work.lines)))
        return [one for one in pieces[1:] if one.start > group[-1]]

    async def _divide(self, pieces: list[range]) -> None:
        await self._give([self._work.part_of(one, and_rest=True) for one in pieces])
        first = pieces[0].start
        self._work.give_away(first)
        del self._sizes[first:]  # `payloads` reads them as it goes
        self._divides = False
