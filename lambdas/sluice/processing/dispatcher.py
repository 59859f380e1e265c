"""A batch of deliveries: several at once, fair between endpoints, and no call begun that cannot end in time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.delivery import Delivery
from sluice.processing.concurrency_limit import ConcurrencyLimit
from sluice.processing.outcome import Outcome
from sluice.processing.processor import ParsedDelivery, Processor

_NOT_BEGUN = Failure.of(ErrorCode.NOT_BEGUN)
_HELD_BACK = Failure.of(ErrorCode.HELD_BACK)


@dataclass(slots=True)
class _Lane:
    """The deliveries that wait for one endpoint, and the number of those under way."""

    limit: ConcurrencyLimit
    waiting: deque[ParsedDelivery] = field(default_factory=deque)
    under_way: int = 0


_Ended = SimpleQueue[tuple[_Lane | None, Future[list[Outcome]]]]


class Dispatcher:
    """Runs batches on `executor`, `threads` deliveries at once. `needed_ms` is the longest that a delivery may take.

    What it learns of an endpoint is kept from batch to batch.
    """

    def __init__(self, processor: Processor, executor: Executor, *, threads: int, needed_ms: float) -> None:
        self._processor = processor
        self._executor = executor
        self._threads = threads
        self._needed_ms = needed_ms
        self._limits: dict[str | None, ConcurrencyLimit] = {}

    def run(self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]) -> Iterator[list[Outcome]]:
        """Yield the outcomes of each delivery, as they end.

        `remaining_ms` returns the milliseconds that are left to the function.
        """
        lanes = self._lanes(deliveries)
        ended: _Ended = SimpleQueue()
        under_way = 0
        while under_way or any(lane.waiting for lane in lanes):
            for lane, parsed in self._startable(lanes, self._threads - under_way):
                under_way += 1
                if remaining_ms() < self._needed_ms:
                    self._submit(ended, None, self._processor.release, parsed, _NOT_BEGUN)
                else:
                    lane.under_way += 1
                    self._submit(ended, lane, self._processor.process, parsed, remaining_ms)
            ended_lane, future = ended.get()
            outcomes = future.result()
            under_way -= 1
            if ended_lane is not None:
                ended_lane.under_way -= 1
                if ended_lane.limit.learn(outcomes):
                    for parsed in self._held_back(ended_lane):
                        under_way += 1
                        self._submit(ended, None, self._processor.release, parsed, _HELD_BACK)
            yield outcomes

    def _submit(
        self, ended: _Ended, lane: _Lane | None, work: Callable[..., list[Outcome]], *arguments: object
    ) -> None:
        # A callback, because waiting for the first of n futures costs n at each of n ends.
        self._executor.submit(work, *arguments).add_done_callback(lambda future: ended.put((lane, future)))

    def _lanes(self, deliveries: Sequence[Delivery]) -> list[_Lane]:
        lanes: dict[str | None, _Lane] = {}
        # The deliveries with the most receives go first: they probe an endpoint in trouble.
        for delivery in sorted(deliveries, key=lambda one: -one.receive_count):
            parsed = self._processor.parse(delivery)
            limit = self._limits.setdefault(parsed.endpoint_name, ConcurrencyLimit(self._threads))
            lanes.setdefault(parsed.endpoint_name, _Lane(limit)).waiting.append(parsed)
        return list(lanes.values())

    def _startable(self, lanes: list[_Lane], free: int) -> Iterator[tuple[_Lane, ParsedDelivery]]:
        """Up to `free` deliveries to start now, from the lanes in turn: no endpoint takes the share of another."""
        busy = [lane for lane in lanes if lane.waiting or lane.under_way]
        share = max(1, self._threads // max(1, len(busy)))
        while free > 0:
            ready = [lane for lane in busy if lane.waiting and lane.under_way < min(share, lane.limit.calls)]
            if not ready:
                return
            for lane in ready[:free]:
                free -= 1
                yield lane, lane.waiting.popleft()

    def _held_back(self, lane: _Lane) -> list[ParsedDelivery]:
        """Take the deliveries off the lane of an endpoint that only refuses, except for those on their last receive."""
        waiting, lane.waiting = lane.waiting, deque()
        held: list[ParsedDelivery] = []
        for parsed in waiting:
            (lane.waiting if self._processor.is_last_receive(parsed.delivery) else held).append(parsed)
        return held
