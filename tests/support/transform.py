"""A complete transform with fakes: redeliveries, killed functions, and a model that rejects records."""

import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sluice import keys
from sluice.concurrency import Semaphore, spawn
from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, DroppedObject, TransformPart, TransformRetry
from sluice.processing.file_failures import FileFailures
from sluice.processing.memory import Memory
from sluice.processing.outcome import Outcome
from sluice.processing.outcomes import Outcomes
from sluice.processing.processor import Processor
from sluice.processing.router import Router
from sluice.processing.settlement import Settlement
from sluice.settings import Settings
from sluice.transform.assembler import Assembler
from sluice.transform.part import PartHandler
from sluice.transform.splitter import Splitter
from tests.support.fakes import (
    FUNCTION,
    NOW,
    FakeBucket,
    FakeEndpoint,
    FakeInputs,
    FakeQueue,
    Fuse,
    SyncProcessor,
    delivery,
    with_settings,
)
from tests.support.virtual_time import run

_MOST_DELIVERIES = 20_000


class FakeFiles:
    """`Buckets` that hold the dropped files, and the results bucket."""

    def __init__(self, inputs: FakeInputs, results: FakeBucket) -> None:
        self._inputs = inputs
        self._results = results

    def __call__(self, name: str) -> FakeBucket:
        return self._results if name == "results" else self._inputs(name)


@dataclass
class FakeSender:
    """A queue that keeps messages until they are acknowledged."""

    bodies: list[str] = field(default_factory=list)

    async def send(self, bodies: Iterable[str]) -> None:
        self.bodies.extend(bodies)


async def _no_sleep(seconds: float) -> None:
    pass


class Transforms:
    """The three functions and their queues."""

    def __init__(self, **settings: Any) -> None:
        self.settings: Settings = with_settings(max_body_bytes=1 << 20, **settings)
        self.endpoint, self.inputs, self.results = FakeEndpoint(), FakeInputs(), FakeBucket()
        self.files, self.dead_letters = FakeFiles(self.inputs, self.results), FakeQueue()
        self.remaining_ms: Callable[[], float] = lambda: 90_000
        self.memory = Memory(512)
        self.runs = 0
        self.splits, self.requests, self.assemblies = FakeSender(), FakeSender(), FakeSender()

    def drop(self, key: str, body: bytes, **options: Any) -> dict[str, Any]:
        """Drop a file, and queue its S3 event."""
        event = self.inputs.drop(key, body, **options)
        self.splits.bodies.append(json.dumps(event))
        return event

    def retry(self, key: str) -> str:
        """Queue the retry of the newest version of a file, and return the message."""
        stored = self.inputs("input").objects[key]
        number = (stored.version_id or "").removeprefix("v")
        file = DroppedObject("input", key, len(stored.body), stored.version_id, f"{int(number):016X}", stored.etag)
        self.splits.bodies.append(body_of(TransformRetry(file)))
        return self.splits.bodies[-1]

    def at_once(self, workers: int) -> None:
        """Deliver the parts that wait, and those that they send, with so many of them under way at a time."""

        async def work(name: str) -> None:
            while self.requests.bodies:
                body = self.requests.bodies.pop(0)
                core = self.processor().core
                parsed = core.parse(delivery(body, message_id=body, sender_id=FUNCTION), self.remaining_ms)
                if not all(one.acknowledged for one in await core.process(parsed)):
                    self.requests.bodies.append(body)

        async def main() -> None:
            for task in [spawn(work(f"{number}")) for number in range(workers)]:
                await task

        run(main())

    def redrive(self) -> None:
        """Send the dead letters again, as `sluice dlq redrive` does."""
        sent = [body for body, _ in self.dead_letters.sent]
        self.dead_letters.sent.clear()
        for body in dict.fromkeys(sent):
            (request,) = parse(body)
            again = body
            if isinstance(request, TransformPart | Assembly | TransformRetry):
                again = body_of(TransformRetry(request.file))
            if again not in self.splits.bodies:
                self.splits.bodies.append(again)

    def processor(self, fuse: Fuse | None = None) -> SyncProcessor:
        """A function with the handlers of all three functions."""
        protect = (fuse or Fuse()).protect
        files, results = protect(self.files), protect(self.results)
        requests, assemblies, dead = protect(self.requests), protect(self.assemblies), protect(self.dead_letters)
        outcomes = Outcomes(results, files)
        router = Router(
            self.settings,
            {
                "file": Splitter(
                    self.settings,
                    files,
                    results,
                    outcomes,
                    part_queue=requests,
                    assembly_queue=assemblies,
                    utc_now=lambda: NOW,
                ),
                "part": PartHandler(
                    self.settings,
                    protect(self.endpoint),
                    files,
                    results,
                    part_queue=requests,
                    assembly_queue=assemblies,
                    needed_ms=80_000,
                    memory=self.memory,
                    slots=Semaphore(self.settings.concurrent_calls),
                    utc_now=lambda: NOW,
                    rng=random.Random(0),
                    sleep=_no_sleep,
                ),
                "assembly": Assembler(files, results, outcomes),
            },
        )
        settlement = Settlement(
            self.settings,
            router,
            FileFailures(results, outcomes),
            dead,
            dead,
            now=lambda: NOW,
            rng=random.Random(0),
            sleep=_no_sleep,
        )
        return SyncProcessor(Processor(self.settings, router, outcomes, settlement, now=lambda: NOW))

    def process(self, body: str, *, fuse: Fuse | None = None, **options: Any) -> list[Outcome]:
        """Process one delivery, by default of a message that a function has sent."""
        options.setdefault("sender_id", FUNCTION)
        one = self.processor(fuse)
        return one.process(one.parse(delivery(body, **options), self.remaining_ms))

    def run(self, choose: Callable[[int], int] = lambda waiting: 0, *, first_receive: int = 3) -> list[Outcome]:
        """Deliver messages until the queues are empty. `choose` selects one of the waiting messages by index.

        By default each delivery is its message's last receive. A message that is not acknowledged goes to the end of
        its queue. Raises `AssertionError` if the queues do not become empty.
        """
        self.runs += 1
        outcomes: list[Outcome] = []
        receives: Counter[str] = Counter()
        while waiting := [(queue, body) for queue in self._queues() for body in queue.bodies]:
            assert len(outcomes) < _MOST_DELIVERIES, "the queues do not become empty"
            queue, body = waiting[choose(len(waiting))]
            # A message that is sent again, in another run, has another message ID.
            message_id = f"{self.runs}-{zlib.crc32(body.encode())}"
            receive_count = min(3, first_receive + receives[body])
            # Messages of a later run of the queues are sent later.
            age = timedelta(seconds=1 - self.runs)
            ended = self.process(body, receive_count=receive_count, message_id=message_id, age=age)
            outcomes += ended
            queue.bodies.remove(body)
            if not all(outcome.acknowledged for outcome in ended):
                receives[body] += 1
                queue.bodies.append(body)
        return outcomes

    def _queues(self) -> list[FakeSender]:
        return [self.splits, self.requests, self.assemblies]

    def out(self, key: str) -> bytes:
        """The assembled answers."""
        return self.results.objects[key + keys.OUT].body

    def errors(self, key: str) -> list[dict[str, Any]]:
        """The assembled errors."""
        stored = self.results.objects.get(key + keys.ERRORS)
        return [json.loads(line) for line in stored.body.splitlines()] if stored else []

    def summary(self, key: str) -> dict[str, Any]:
        """The summary."""
        found: dict[str, Any] = json.loads(self.results.objects[key + keys.SUMMARY].body)
        return found
