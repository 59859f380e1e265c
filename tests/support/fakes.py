"""In-memory fakes of the core's ports, with the semantics of S3 and SQS that the core relies on."""

import functools
import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.failures import Operation, ServiceError
from sluice.inputs.delivery import Delivery
from sluice.ports import (
    Attribute,
    Inference,
    InputObject,
    ObjectTooLarge,
    ObjectVersion,
    PreconditionFailed,
    StoredObject,
)
from sluice.processing.invoker import Invoker
from sluice.processing.outcome import Outcome
from sluice.processing.processor import Processor
from sluice.settings import Settings
from tests.support.events import s3_event

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

SETTINGS = Settings(
    endpoint_names=("wine", "digits"),
    default_endpoint_name="wine",
    input_bucket="input",
    input_location_buckets=("lake",),
    results_bucket="results",
    source_queue_url="https://sqs/request",
    dead_letter_queue_url="https://sqs/dead-letter",
    request_queue_url="https://sqs/request",
    assembly_queue_url="https://sqs/assembly",
    max_receive_count=3,
    retry_base_seconds=5,
    retry_cap_seconds=900,
    max_body_bytes=1000,
    default_content_type="text/csv",
    read_timeout_seconds=70,
    threads=4,
)


def service_error(operation: Operation, code: str, message: str = "it failed", **rest: Any) -> ServiceError:
    return ServiceError(operation, code, message, **rest)


@dataclass(frozen=True)
class Call:
    endpoint_name: str
    body: bytes
    parameters: Mapping[str, str]


@dataclass
class FakeEndpoint:
    """An endpoint that returns `answer(call)`, or raises it if it is an exception."""

    answer: Callable[[Call], Inference | Exception] = lambda call: Inference(b"42 for " + call.body, "text/plain")
    calls: list[Call] = field(default_factory=list)

    def invoke(self, endpoint_name: str, body: bytes, parameters: Mapping[str, str]) -> Inference:
        call = Call(endpoint_name, body, parameters)
        self.calls.append(call)
        answer = self.answer(call)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(frozen=True)
class Stored:
    body: bytes
    content_type: str | None
    metadata: Mapping[str, str]
    etag: str
    version_id: str | None = None


@dataclass
class FakeBucket:
    """`Results` with conditional writes. `fail` gets the name and key of each operation, and may raise before it."""

    objects: dict[str, Stored] = field(default_factory=dict)
    fail: Callable[[str, str], None] = lambda operation, key: None

    def head(self, key: str) -> StoredObject | None:
        self.fail("head", key)
        stored = self.objects.get(key)
        return StoredObject(stored.etag, stored.metadata) if stored else None

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str],
        replaces: StoredObject | None,
    ) -> None:
        self.fail("put", key)
        existing = self.objects.get(key)
        if (existing.etag if existing else None) != (replaces.etag if replaces else None):
            raise PreconditionFailed
        self._write(key, body, content_type, metadata)

    def put_error(self, key: str, document: bytes) -> None:
        self.fail("put_error", key)
        self._write(key, document, "application/json", {})

    def delete(self, key: str) -> None:
        self.fail("delete", key)
        self.objects.pop(key, None)

    def _write(self, key: str, body: bytes, content_type: str | None, metadata: Mapping[str, str]) -> None:
        self.objects[key] = Stored(body, content_type, dict(metadata), f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@dataclass
class FakeInputs:
    """`Inputs` with versioned buckets and increasing sequencers."""

    objects: dict[tuple[str, str], Stored] = field(default_factory=dict)
    fail: Callable[[str, str], None] = lambda bucket, key: None
    _sequence: Iterator[int] = field(default_factory=lambda: itertools.count(1))

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
        self.objects[bucket, key] = Stored(body, content_type, metadata or {}, etag, f"v{number}")
        return s3_event(key, bucket=bucket, etag=etag, version_id=f"v{number}", sequencer=f"{number:016X}")

    def get(self, bucket: str, key: str, *, max_bytes: int) -> InputObject:
        self.fail(bucket, key)
        stored = self.objects.get((bucket, key))
        if stored is None:
            raise service_error(Operation.READ_INPUT, "NoSuchKey", "The specified key does not exist.", status=404)
        if len(stored.body) > max_bytes:
            raise ObjectTooLarge(len(stored.body))
        return InputObject(stored.body, stored.content_type, _version(stored), stored.metadata)

    def current(self, bucket: str, key: str) -> ObjectVersion | None:
        stored = self.objects.get((bucket, key))
        return _version(stored) if stored else None


def _version(stored: Stored) -> ObjectVersion:
    return ObjectVersion(stored.version_id, stored.etag)


@dataclass
class FakeQueue:
    """The dead-letter queue and the request queue's visibility."""

    sent: list[tuple[str, Mapping[str, Attribute]]] = field(default_factory=list)
    delays: list[tuple[str, int]] = field(default_factory=list)
    fail_send: Exception | None = None
    fail_delay: Exception | None = None

    def send(self, body: str, attributes: Mapping[str, Attribute]) -> None:
        if self.fail_send:
            raise self.fail_send
        self.sent.append((body, attributes))

    def delay(self, receipt_handle: str, seconds: int) -> None:
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

    def protect(self, port: Any) -> Any:
        """Wrap `port`, so that each of its operations may kill the worker."""
        return _Fused(port, self)

    def around(self, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `operation`; raise `Killed` before or after it, if it is the operation number `blows_at`."""
        self.passed.append(name)
        blows = len(self.passed) == self.blows_at
        if blows and not self.after:
            raise Killed
        try:
            return operation(*args, **kwargs)
        finally:
            if blows:
                raise Killed


class _Fused:
    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._fuse.around, name, getattr(self._port, name))


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
        results, queue = protect(self.results), protect(self.queue)
        self.invoker = Invoker(
            settings,
            protect(self.endpoint),
            protect(self.inputs),
            results,
            now=lambda: self.now,
            sleep=self.slept.append,
        )
        self.processor = Processor(
            settings, self.invoker, results, queue, queue, now=lambda: self.now, rng=random.Random(0)
        )

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
    )


def with_settings(**changes: Any) -> Settings:
    """`SETTINGS` with changes."""
    return SETTINGS.model_copy(update=changes)
