"""In-memory fakes of the core's ports, with the semantics of S3 and SQS that the core relies on."""

import functools
import hashlib
import itertools
import json
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.concurrency import Semaphore
from sluice.failures import Failure, Operation, ServiceError
from sluice.inputs.delivery import Delivery
from sluice.keys import ERR
from sluice.ports import (
    LISTED,
    UNASKED_BYTES,
    Admit,
    Attribute,
    Condition,
    Inference,
    ObjectHead,
    ObjectTooLarge,
    PreconditionFailed,
    StoredObject,
)
from sluice.processing.file_failures import FileFailures
from sluice.processing.invoker import Invoker
from sluice.processing.memory import CallMemory, Memory
from sluice.processing.outcome import Outcome
from sluice.processing.outcomes import Outcomes
from sluice.processing.processor import ParsedDelivery, Processor
from sluice.processing.router import Router
from sluice.processing.settlement import Settlement
from sluice.settings import Settings
from tests.support.events import s3_event
from tests.support.virtual_time import run

NEEDED_MS = 80_000  # for a call and its outcome
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

SENDER = "AIDAEXAMPLESENDER0001"
FUNCTION = "AROAEXAMPLEFUNCTION01:split"  # the sender of messages between the functions

SETTINGS = Settings(
    endpoint_names=("wine", "digits"),
    default_endpoint_name="wine",
    input_bucket="input",
    input_location_buckets=("lake",),
    results_bucket="results",
    source_queue_url="https://sqs/request",
    dead_letter_queue_url="https://sqs/dead-letter",
    part_queue_url="https://sqs/part",
    assembly_queue_url="https://sqs/assembly",
    internal_senders=("AROAEXAMPLEFUNCTION01",),
    max_receive_count=3,
    retry_base_seconds=5,
    retry_cap_seconds=900,
    max_body_bytes=1000,
    default_content_type="text/csv",
    read_timeout_seconds=70,
    concurrent_calls=4,
)


TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."
"""What SageMaker says when a container has taken longer than its 60 s."""


def service_error(operation: Operation, code: str, message: str = "it failed", **rest: Any) -> ServiceError:
    return ServiceError(operation, code, message, **rest)


def write_conflict() -> ServiceError:
    """S3's answer to a conditional write while another write of the key is in progress."""
    return service_error(Operation.STORE_RESULT, "ConditionalRequestConflict", "another is in progress", status=409)


@dataclass(frozen=True)
class Call:
    endpoint_name: str
    body: bytes
    parameters: Mapping[str, str]


Answer = Inference | Exception


def _as_new(error: Exception) -> Exception:
    """A service's error as another object, as each call has its own: what is noted in one is not in the next."""
    if not isinstance(error, ServiceError):
        return error
    again = type(error).__new__(type(error), *error.args)
    again.__dict__.update(error.__dict__)
    return again


@dataclass
class FakeEndpoint:
    """An endpoint that returns `answer(call)`, or raises it if it is an exception."""

    answer: Callable[[Call], Answer | Awaitable[Answer]] = lambda call: Inference(b"42 for " + call.body, "text/plain")
    calls: list[Call] = field(default_factory=list)

    async def invoke(
        self,
        endpoint_name: str,
        body: bytes,
        parameters: Mapping[str, str],
        *,
        seconds: float = math.inf,
        admit: Admit | None = None,
    ) -> Inference:
        call = Call(endpoint_name, body, parameters)
        self.calls.append(call)
        answer = self.answer(call)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, Exception):
            raise _as_new(answer)
        if admit is not None and len(answer.body) > UNASKED_BYTES:
            await admit(len(answer.body))
        return answer


@dataclass(frozen=True)
class Stored:
    body: bytes
    content_type: str | None
    metadata: Mapping[str, str]
    etag: str
    version_id: str | None = None

    @property
    def described(self) -> dict[str, Any]:
        return {
            "size": len(self.body),
            "etag": self.etag,
            "version_id": self.version_id,
            "content_type": self.content_type,
            "metadata": self.metadata,
        }


@dataclass
class FakeBucket:
    """A versioned `Bucket` with conditional writes; `fail` may raise before any operation, by its name and key.

    `conflicts` says whether another write of the key is in progress, which fails in the end: a conditional write is
    answered by 409, and nothing is there afterwards.
    """

    objects: dict[str, Stored] = field(default_factory=dict)
    versions: dict[str, list[Stored]] = field(default_factory=dict)  # oldest first, without delete markers
    fail: Callable[[str, str], None] = lambda operation, key: None
    conflicts: Callable[[str], bool] = lambda key: False
    operation: Operation = Operation.STORE_RESULT
    ranges: list[tuple[int, int]] = field(default_factory=list)
    listed: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectHead | None:
        self.fail("head", key)
        stored = self.objects.get(key)
        return ObjectHead(**stored.described) if stored else None

    async def get(self, key: str, *, version_id: str | None = None, max_bytes: int | None = None) -> StoredObject:
        self.fail("get", key)
        stored = self.objects.get(key)
        if stored is None:
            raise service_error(self.operation, "NoSuchKey", "The specified key does not exist.", status=404)
        if max_bytes is not None and len(stored.body) > max_bytes:
            raise ObjectTooLarge(len(stored.body))
        return StoredObject(**stored.described, body=stored.body)

    async def get_range(self, key: str, start: int, end: int, *, etag: str | None) -> bytes:
        stored = self.objects.get(key)
        if stored is None:
            raise service_error(self.operation, "NoSuchKey", "The specified key does not exist.", status=404)
        if etag and stored.etag != etag:
            raise PreconditionFailed
        self.ranges.append((start, end))
        return stored.body[start:end]

    async def list(self, prefix: str, *, start_after: str | None = None) -> list[str]:
        keys = sorted(
            key
            for key in self.objects
            if key.startswith(prefix) and "/" not in key.removeprefix(prefix) and key > (start_after or "")
        )
        if start_after is not None:
            return keys[:LISTED]
        self.listed += 1
        return keys

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str] | None = None,
        condition: Condition | None = None,
    ) -> str:
        self.fail("put_error" if key.endswith(ERR) else "put", key)
        self._check(key, condition)
        etag = hashlib.sha256(body).hexdigest()[:32]
        version_id = f"version-{next(self._numbers)}"
        stored = Stored(body, content_type, dict(metadata or {}), etag, version_id)
        self.objects[key] = stored
        self.versions.setdefault(key, []).append(stored)
        return version_id

    def _check(self, key: str, condition: Condition | None) -> None:
        there = self.objects.get(key)
        if condition is not None and self.conflicts(key):
            raise write_conflict()
        if condition is not None and (there.etag if there else None) != condition.etag:
            raise PreconditionFailed

    async def upload(
        self,
        key: str,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str],
        condition: Condition,
    ) -> str:
        return await self.put(
            key,
            b"".join([piece async for piece in content]),
            content_type=content_type,
            metadata=metadata,
            condition=condition,
        )

    async def delete(self, key: str, *, version_id: str | None = None, condition: Condition | None = None) -> None:
        self.fail("delete", key)
        self._check(key, condition)
        there = self.objects.get(key)
        if version_id is None:
            self.objects.pop(key, None)
            return
        self.versions[key] = [one for one in self.versions[key] if one.version_id != version_id]
        if there is not None and there.version_id == version_id:
            self.objects.pop(key)
            if self.versions[key]:
                self.objects[key] = self.versions[key][-1]

    async def previous(self, key: str, version_id: str) -> ObjectHead | None:
        self.fail("previous", key)
        older = [one for one in self.versions.get(key, []) if _number(one.version_id) < _number(version_id)]
        return ObjectHead(**older[-1].described) if older else None


def _number(version_id: str | None) -> int:
    """Where a version is in the order of versions, also when it was deleted: a listing can begin after it."""
    return int((version_id or "").removeprefix("version-"))


@dataclass
class FakeInputs:
    """The input buckets, as `Buckets`: versioned, with sequencers that rise. `fail` may raise before a GetObject."""

    buckets: dict[str, FakeBucket] = field(default_factory=dict)
    fail: Callable[[str, str], None] = lambda bucket, key: None
    _sequence: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self, name: str) -> FakeBucket:
        def fail(operation: str, key: str) -> None:
            if operation == "get":
                self.fail(name, key)

        if name not in self.buckets:
            self.buckets[name] = FakeBucket(fail=fail, operation=Operation.READ_INPUT)
        return self.buckets[name]

    def drop(
        self,
        key: str,
        body: bytes = b"1,2,3",
        *,
        bucket: str = "input",
        content_type: str = "binary/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Put an object, and return its S3 event notification."""
        number = next(self._sequence)
        etag = hashlib.md5(body).hexdigest()
        self(bucket).objects[key] = Stored(body, content_type, metadata or {}, etag, f"v{number}")
        return s3_event(key, bucket=bucket, etag=etag, version_id=f"v{number}", sequencer=f"{number:016X}")


@dataclass
class FakeQueue:
    """The dead-letter queue and the request queue's visibility."""

    sent: list[tuple[str, Mapping[str, Attribute]]] = field(default_factory=list)
    delays: list[tuple[str, int]] = field(default_factory=list)
    fail_send: Exception | None = None
    fail_delay: Exception | None = None

    async def send(self, body: str, attributes: Mapping[str, Attribute]) -> None:
        if self.fail_send:
            raise self.fail_send
        self.sent.append((body, attributes))

    async def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        if self.fail_delay:
            raise self.fail_delay
        self.delays.append((receipt_handle, seconds))


class Killed(BaseException):
    """Simulates the end of a worker's process; not caught by `except Exception`."""


class Fuse:
    """Kills its worker at the port operation number `blows_at`, before or after that operation takes effect."""

    def __init__(self, blows_at: int | None = None, *, after: bool = False) -> None:
        self.blows_at = blows_at
        self.after = after
        self.passed: list[str] = []
        self._blown = False

    def protect(self, port: Any) -> Any:
        """Wrap `port`, so that each of its operations may kill the worker."""
        return _Fused(port, self)

    async def around(self, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `operation`; raise `Killed` before or after it, if it is the operation number `blows_at`."""
        if self._blown:
            raise Killed  # nothing runs in a killed worker, not even clean-up
        self.passed.append(name)
        blows = self._blown = len(self.passed) == self.blows_at
        if blows and not self.after:
            raise Killed
        try:
            return await operation(*args, **kwargs)
        except GeneratorExit:  # the killed worker's coroutine is dropped
            blows = False
            raise
        finally:
            if blows:
                raise Killed


class _Fused:
    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._fuse.around, name, getattr(self._port, name))

    def __call__(self, name: str) -> Any:
        """A bucket of `Buckets`."""
        return _Fused(self._port(name), self._fuse)


class SyncProcessor:
    """A processor that runs each delivery by itself, in virtual time."""

    def __init__(self, core: Processor) -> None:
        self.core = core
        self.parse = core.parse

    def process(self, parsed: ParsedDelivery) -> list[Outcome]:
        try:
            return run(self.core.process(parsed))
        except BaseExceptionGroup as group:  # of several tasks that were under way when the worker was killed
            if group.subgroup(Killed):
                raise Killed from group
            raise

    def release(self, parsed: ParsedDelivery, failure: Failure) -> list[Outcome]:
        return run(self.core.release(parsed, failure))

    def dead_letter_crashed(self, parsed: ParsedDelivery) -> list[Outcome]:
        return run(self.core.dead_letter_crashed(parsed))


class World:
    """A processor with fakes. `another_worker` creates a separate processor with the same fakes."""

    def __init__(self, settings: Settings = SETTINGS, shared: "World | None" = None, fuse: Fuse | None = None) -> None:
        self.settings = settings
        self.endpoint: FakeEndpoint = shared.endpoint if shared else FakeEndpoint()
        self.inputs: FakeInputs = shared.inputs if shared else FakeInputs()
        self.results: FakeBucket = shared.results if shared else FakeBucket()
        self.queue: FakeQueue = shared.queue if shared else FakeQueue()
        self.now = NOW
        self.slept: list[float] = []
        protect = (fuse or Fuse()).protect
        self.memory = Memory(512)
        results, inputs, queue = protect(self.results), protect(self.inputs), protect(self.queue)
        self.outcomes = outcomes = Outcomes(results, inputs)
        self.invoker = Invoker(
            settings,
            protect(self.endpoint),
            inputs,
            results,
            outcomes,
            memory=CallMemory(self.memory, settings.max_body_bytes),
            slots=Semaphore(settings.concurrent_calls),
            needed_ms=NEEDED_MS,
            utc_now=lambda: self.now,
            sleep=self._sleep,
        )
        router = Router(settings, {"call": self.invoker})
        settlement = Settlement(
            settings,
            router,
            FileFailures(results, outcomes),
            queue,
            queue,
            now=lambda: self.now,
            rng=random.Random(0),
            sleep=self._sleep,
        )
        self.core = Processor(settings, router, outcomes, settlement, now=lambda: self.now)
        self.processor = SyncProcessor(self.core)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def another_worker(self, fuse: Fuse | None = None) -> "World":
        return World(self.settings, self, fuse)

    def deliver(self, body: object, **options: Any) -> Outcome:
        """Deliver a message with one request, and return its outcome."""
        (outcome,) = self.process(delivery(body, **options))
        return outcome

    def process(self, one: Delivery) -> list[Outcome]:
        """Deliver `one`, and return its outcomes."""
        return self.processor.process(self.processor.parse(one))

    def err(self, name: str) -> dict[str, Any]:
        """The `.err` document called `name`."""
        document: dict[str, Any] = json.loads(self.results.objects[name + ".err"].body)
        return document

    def dead_letter(self) -> tuple[str, dict[str, str]]:
        """Body and attribute values of the one message on the dead-letter queue."""
        ((body, attributes),) = self.queue.sent
        return body, {name: attribute.value for name, attribute in attributes.items()}


def delivery(
    body: object,
    *,
    message_id: str = "11111111-1111-4111-8111-111111111111",
    receive_count: int = 1,
    attributes: Mapping[str, str] | None = None,
    trace_header: str | None = None,
    age: timedelta = timedelta(0),
    sender_id: str = SENDER,
) -> Delivery:
    """A delivery of `body`: verbatim if it is text, otherwise as JSON."""
    return Delivery(
        message_id=message_id,
        receipt_handle=f"receipt of {message_id}",
        body=body if isinstance(body, str) else json.dumps(body),
        receive_count=receive_count,
        sent_at=NOW - age,
        trace_header=trace_header,
        attributes={name: {"stringValue": value, "dataType": "String"} for name, value in (attributes or {}).items()},
        sender_id=sender_id,
    )


def with_settings(**changes: Any) -> Settings:
    """`SETTINGS` with changes."""
    return SETTINGS.model_copy(update=changes)
