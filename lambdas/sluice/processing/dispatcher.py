"""A batch of deliveries: several at a time, fair between endpoints, and no call begun that can't end in time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from sluice.failures import Failure, FailureClass
from sluice.inputs.delivery import Delivery
from sluice.processing.concurrency_limit import ConcurrencyLimit
from sluice.processing.outcome import Outcome
from sluice.processing.processor import ParsedDelivery, Processor

# What storing an outcome may take after the model's answer: S3 and SQS calls with a retry, in milliseconds.
SETTLE_MS = 5_000

_NOT_BEGUN = Failure(
    FailureClass.TRANSIENT,
    "NotBegun",
    "less time was left to the function than one call may take; lower batch_size or raise function_timeout_seconds",
)
_HELD_BACK = Failure(
    FailureClass.CAPACITY,
    "HeldBack",
    "the endpoint refused the calls before this one, so it was not called; its own errors are in the log",
)


@dataclass(slots=True)
class _Lane:
    """The deliveries for one endpoint that wait, and how many are under way."""

    limit: ConcurrencyLimit
    waiting: deque[ParsedDelivery] = field(default_factory=deque)
    under_way: int = 0


_Ended = SimpleQueue[tuple[_Lane | None, Future[list[Outcome]]]]


class Dispatcher:
    """Runs batches over `executor`, `threads` at a time. `call_ms` is the longest that one call may take.

    What it learns of an endpoint it keeps from batch to batch.
    """

    def __init__(self, processor: Processor, executor: Executor, *, threads: int, call_ms: float) -> None:
        self._processor = processor
        self._executor = executor
        self._threads = threads
        self._needed_ms = call_ms + SETTLE_MS
        self._limits: dict[str | None, ConcurrencyLimit] = {}

    def run(self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]) -> Iterator[list[Outcome]]:
        """The outcomes of each delivery, as they end. `remaining_ms` is Lambda's own clock, in milliseconds."""
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
        # Told of by callback: to wait for the first of n futures costs n, at each of n ends.
        self._executor.submit(work, *arguments).add_done_callback(lambda future: ended.put((lane, future)))

    def _lanes(self, deliveries: Sequence[Delivery]) -> list[_Lane]:
        lanes: dict[str | None, _Lane] = {}
        # Those that have come back most often go first: it is they that probe an endpoint in trouble.
        for delivery in sorted(deliveries, key=lambda one: -one.receive_count):
            parsed = self._processor.parse(delivery)
            limit = self._limits.setdefault(parsed.endpoint_name, ConcurrencyLimit(self._threads))
            lanes.setdefault(parsed.endpoint_name, _Lane(limit)).waiting.append(parsed)
        return list(lanes.values())

    def _startable(self, lanes: list[_Lane], free: int) -> Iterator[tuple[_Lane, ParsedDelivery]]:
        """Up to `free` deliveries to start now, from the lanes in turn: no endpoint takes the others' share."""
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
        """Take off the lane what waits for an endpoint that only refuses. Who is here for the last time stays."""
        waiting, lane.waiting = lane.waiting, deque()
        held: list[ParsedDelivery] = []
        for parsed in waiting:
            (lane.waiting if self._processor.is_last_receive(parsed.delivery) else held).append(parsed)
        return held
