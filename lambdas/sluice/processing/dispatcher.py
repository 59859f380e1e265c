"""A batch of deliveries: several at once, fair between endpoints, and no call begun that cannot end in time."""

from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.concurrency import Queue, Task, spawn
from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.delivery import Delivery
from sluice.inputs.target import Target
from sluice.processing.concurrency_limit import ConcurrencyLimit, ConcurrencyLimits
from sluice.processing.outcome import Outcome
from sluice.processing.processor import ParsedDelivery, Processor

_NOT_BEGUN = Failure.of(ErrorCode.NOT_BEGUN)
_HELD_BACK = Failure.of(ErrorCode.HELD_BACK)


@dataclass(slots=True)
class _Lane:
    """The deliveries that wait for one target, or call none, and the number of those under way.

    `turn` is the number of starts in the batch when one of them was started last.
    """

    target: Target | None
    limit: ConcurrencyLimit
    waiting: deque[ParsedDelivery] = field(default_factory=deque)
    under_way: int = 0
    turn: int = 0

    @property
    def endpoint_name(self) -> str | None:
        """The endpoint, whose share all of its lanes have together."""
        return self.target.endpoint_name if self.target else None


_Ended = Queue[tuple[_Lane | None, Task[list[Outcome]]]]


class Dispatcher:
    """Runs batches, `concurrency` deliveries at once. `needed_ms` is the longest that a call and its outcome may take.

    What it learns of a target is kept from batch to batch.
    """

    def __init__(self, processor: Processor, *, concurrency: int, needed_ms: float) -> None:
        self._processor = processor
        self._concurrency = concurrency
        self._needed_ms = needed_ms
        self.limits = ConcurrencyLimits(concurrency)  # of the targets that were called

    async def run(
        self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]
    ) -> AsyncIterator[list[Outcome]]:
        """Yield the outcomes of each delivery, as they end.

        `remaining_ms` returns the milliseconds that are left to the function.
        """
        lanes = self._lanes(deliveries, remaining_ms)
        ended: _Ended = Queue()
        under_way = 0
        while under_way or any(lane.waiting for lane in lanes):
            for lane, parsed in self._startable(lanes, self._concurrency - under_way):
                under_way += 1
                if remaining_ms() < self._needed_ms:
                    _start(ended, None, self._processor.release(parsed, _NOT_BEGUN))
                else:
                    lane.under_way += 1
                    _start(ended, lane, self._processor.process(parsed))
            ended_lane, task = await ended.get()
            outcomes = task.result()
            under_way -= 1
            if ended_lane is not None:
                ended_lane.under_way -= 1
                if self._learn(ended_lane, outcomes):
                    for parsed in self._held_back(ended_lane):
                        under_way += 1
                        _start(ended, None, self._processor.release(parsed, _HELD_BACK))
            yield outcomes

    def _lanes(self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]) -> list[_Lane]:
        lanes: dict[Target | None, _Lane] = {}
        # The deliveries with the most receives go first: they probe an endpoint in trouble.
        for delivery in sorted(deliveries, key=lambda one: -one.receive_count):
            parsed = self._processor.parse(delivery, remaining_ms)
            if parsed.target not in lanes:
                lanes[parsed.target] = _Lane(parsed.target, self.limits.of(parsed.target))
            lanes[parsed.target].waiting.append(parsed)
        return list(lanes.values())

    def _learn(self, lane: _Lane, outcomes: list[Outcome]) -> bool:
        """Adjust the limits. Returns True when the target of the lane failed although its limit was one call.

        The metadata of an object may have named another endpoint: its outcome is that endpoint's.
        """
        own = [one for one in outcomes if one.endpoint_name in {None, lane.endpoint_name}]
        for name in {one.endpoint_name for one in outcomes if one.endpoint_name and one not in own}:
            others = [one for one in outcomes if one.endpoint_name == name]
            if any(one.model_latency is not None or (one.failure and one.failure.of_endpoint) for one in others):
                self.limits.of(Target(name)).learn(others)
        return lane.limit.learn(own)

    def _startable(self, lanes: list[_Lane], free: int) -> Iterator[tuple[_Lane, ParsedDelivery]]:
        """Up to `free` deliveries to start now, from the lanes in turn: no endpoint takes the share of another."""
        busy = [lane for lane in lanes if lane.waiting or lane.under_way]
        under_way: Counter[str | None] = Counter()
        for lane in busy:
            under_way[lane.endpoint_name] += lane.under_way
        share = max(1, self._concurrency // max(1, len(under_way)))
        while free > 0:
            ready = [
                lane
                for lane in busy
                if lane.waiting and lane.under_way < lane.limit.calls and under_way[lane.endpoint_name] < share
            ]
            if not ready:
                return
            # The one whose turn was the longest ago; else the last of many lanes would wait for all others.
            lane = min(ready, key=lambda one: one.turn)
            lane.turn = 1 + max(one.turn for one in busy)
            under_way[lane.endpoint_name] += 1
            free -= 1
            yield lane, lane.waiting.popleft()

    def _held_back(self, lane: _Lane) -> list[ParsedDelivery]:
        """Take the deliveries off the lane of an endpoint that only refuses, except for those on their last receive."""
        waiting, lane.waiting = lane.waiting, deque()
        held: list[ParsedDelivery] = []
        for parsed in waiting:
            (lane.waiting if self._processor.is_last_receive(parsed.delivery) else held).append(parsed)
        return held


def _start(ended: _Ended, lane: _Lane | None, work: Coroutine[Any, Any, list[Outcome]]) -> None:
    # A callback, because waiting for the first of n tasks costs n at each of n ends.
    spawn(work).add_done_callback(lambda task: ended.put((lane, task)))
