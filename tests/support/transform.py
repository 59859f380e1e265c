"""A complete transform with fakes: redeliveries, killed functions, and a model that rejects records."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.failures import Operation
from sluice.ports import ObjectHead, ObjectVersion, PreconditionFailed, StoredObject
from sluice.processing.outcome import Outcome
from sluice.processing.processor import Processor
from sluice.processing.router import Router
from sluice.settings import Settings
from sluice.transform.assembler import Assembler
from sluice.transform.memory import Memory
from sluice.transform.part import PartHandler
from sluice.transform.splitter import Splitter
from tests.support.fakes import (
    NOW,
    FakeBucket,
    FakeEndpoint,
    FakeInputs,
    FakeQueue,
    Fuse,
    Stored,
    delivery,
    service_error,
    with_settings,
)

_MOST_DELIVERIES = 20_000


@dataclass
class FakeFiles:
    """`Files` with the objects of the fake inputs and results."""

    inputs: FakeInputs
    results: FakeBucket
    reads: list[tuple[int, int]] = field(default_factory=list)

    def _stored(self, bucket: str, key: str) -> Stored | None:
        return self.results.objects.get(key) if bucket == "results" else self.inputs.objects.get((bucket, key))

    def head(self, bucket: str, key: str) -> ObjectHead:
        stored = self._stored(bucket, key)
        if stored is None:
            raise service_error(Operation.READ_INPUT, "404", "Not Found", status=404)
        version = ObjectVersion(stored.version_id, stored.etag)
        return ObjectHead(len(stored.body), stored.content_type, version, stored.metadata)

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str | None) -> bytes:
        stored = self._stored(bucket, key)
        if stored is None or (etag and stored.etag != etag):
            raise PreconditionFailed
        self.reads.append((start, end))
        return stored.body[start:end]


@dataclass
class FakeParts:
    """`Parts` with the objects of the results bucket."""

    bucket: FakeBucket
    listed: int = 0

    def names(self, folder: str) -> list[str]:
        self.listed += 1
        return sorted(key for key in self.bucket.objects if key.startswith(folder))

    def names_from(self, folder: str, name: str) -> list[str]:
        return sorted(key for key in self.bucket.objects if key.startswith(folder) and key > folder + name)[:100]

    def describe(self, keys: Iterable[str]) -> Iterator[Mapping[str, str]]:
        for key in keys:
            stored = self.bucket.objects[key]
            yield {**stored.metadata, "content-type": stored.content_type or ""}

    def read(self, keys: Iterable[str]) -> Iterator[bytes]:
        return (self.bucket.objects[key].body for key in keys)

    def assemble(
        self,
        key: str,
        content: Iterable[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str],
        replaces: StoredObject | None,
    ) -> None:
        self.bucket.put(key, b"".join(content), content_type=content_type, metadata=metadata, replaces=replaces)


@dataclass
class FakeSender:
    """A queue that keeps messages until they are acknowledged."""

    bodies: list[str] = field(default_factory=list)

    def send(self, bodies: Iterable[str]) -> None:
        self.bodies.extend(bodies)


class Transforms:
    """The three functions and their queues."""

    def __init__(self, **settings: Any) -> None:
        self.settings: Settings = with_settings(max_body_bytes=1 << 20, **settings)
        self.endpoint, self.inputs, self.results = FakeEndpoint(), FakeInputs(), FakeBucket()
        self.files, self.dead_letters = FakeFiles(self.inputs, self.results), FakeQueue()
        self.parts = FakeParts(self.results)
        self.remaining_ms: Callable[[], float] = lambda: 90_000
        self.memory = Memory(512)
        self.splits, self.requests, self.assemblies = FakeSender(), FakeSender(), FakeSender()

    def drop(self, key: str, body: bytes, **options: Any) -> dict[str, Any]:
        """Drop a file, and queue its S3 event."""
        event = self.inputs.drop(key, body, **options)
        self.splits.bodies.append(json.dumps(event))
        return event

    def processor(self, fuse: Fuse | None = None) -> Processor:
        """A function with the handlers of all three functions."""
        protect = (fuse or Fuse()).protect
        files, results, parts = protect(self.files), protect(self.results), protect(self.parts)
        requests, assemblies, dead = protect(self.requests), protect(self.assemblies), protect(self.dead_letters)
        router = Router(
            self.settings,
            {
                "file": Splitter(self.settings, files, parts=parts, requests=requests, assemblies=assemblies),
                "part": PartHandler(
                    self.settings,
                    protect(self.endpoint),
                    files,
                    results=results,
                    parts=parts,
                    requests=requests,
                    assemblies=assemblies,
                    needed_ms=80_000,
                    memory=self.memory,
                    now=lambda: NOW,
                    sleep=lambda seconds: None,
                ),
                "assembly": Assembler(results, parts),
            },
        )
        return Processor(self.settings, router, results, dead, dead, now=lambda: NOW, rng=random.Random(0))

    def process(self, body: str, *, fuse: Fuse | None = None, **options: Any) -> list[Outcome]:
        """Process one delivery."""
        one = self.processor(fuse)
        return one.process(one.parse(delivery(body, **options)), self.remaining_ms)

    def run(self, choose: Callable[[int], int] = lambda waiting: 0) -> list[Outcome]:
        """Deliver messages until the queues are empty. `choose` selects one of the waiting messages by index.

        Raises `AssertionError` if the queues do not become empty.
        """
        outcomes: list[Outcome] = []
        while waiting := [(queue, body) for queue in self._queues() for body in queue.bodies]:
            assert len(outcomes) < _MOST_DELIVERIES, "the queues do not become empty"
            queue, body = waiting[choose(len(waiting))]
            ended = self.process(body, receive_count=3)
            outcomes += ended
            if all(outcome.acknowledged for outcome in ended):
                queue.bodies.remove(body)
        return outcomes

    def _queues(self) -> list[FakeSender]:
        return [self.splits, self.requests, self.assemblies]

    def out(self, key: str) -> bytes:
        """The assembled results."""
        return self.results.objects[f"{key}.out"].body

    def errors(self, key: str) -> list[dict[str, Any]]:
        """The assembled errors."""
        stored = self.results.objects.get(f"{key}.errors.jsonl")
        return [json.loads(line) for line in stored.body.splitlines()] if stored else []

    def summary(self, key: str) -> dict[str, Any]:
        """The summary."""
        found: dict[str, Any] = json.loads(self.results.objects[f"{key}.summary.json"].body)
        return found
