"""The ports of one worker: each operation takes virtual time, may fail, and may be the last one of the worker."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from itertools import islice
from typing import TypeVar, cast

from sluice.concurrency import Future
from sluice.failures import Operation, ServiceError
from sluice.ports import (
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
from sluice.timeouts import AWS_CALL_SECONDS
from tests.simulation.faults import Fate
from tests.simulation.log import client_in
from tests.simulation.s3 import S3Error, SimulatedBucket
from tests.simulation.services import Services
from tests.simulation.sqs import SimulatedQueue
from tests.simulation.worker import Worker

_T = TypeVar("_T")
_SEND_BATCH = 10


class Caller:
    """Makes the calls of a worker. A call takes effect in the service, whether or not its worker is alive then."""

    def __init__(self, services: Services, worker: Worker) -> None:
        self.services = services
        self.worker = worker

    async def call(self, service: str, operation: Operation, name: str, subject: str, act: Callable[[], _T]) -> _T:
        """Let `act` happen in the service, and return its result. Raises what it raises, and `ServiceError`."""
        worker, scheduler = self.worker, self.services.scheduler
        worker.check()
        fate = self.services.faults.of_operation(service, name, subject, scheduler.time, kill_rate=worker.kill_rate)
        if fate.kill == "before":
            worker.die(f"before {name} {subject}")
            worker.check()
        future: Future[_T] = Future()

        def arrive() -> None:
            result, error, seconds = _effect(fate, operation, act)
            said = "" if error is None else f"{type(error).__name__} {getattr(error, 'code', '')}".rstrip()
            self.services.log.write(worker.name, name, subject, f"{fate.fault or ''} {said}".strip())
            scheduler.after(seconds, lambda: respond(result, error))

        def respond(result: _T | None, error: Exception | None) -> None:
            if fate.kill == "after":
                worker.die(f"after {name} {subject}")
            if error is not None:
                future.set_error(error)
            else:
                future.set_result(cast("_T", result))

        scheduler.after(fate.there, arrive)
        return await future


def _effect(fate: Fate, operation: Operation, act: Callable[[], _T]) -> tuple[_T | None, Exception | None, float]:
    """What a request comes to in the service: a result or an error, and the seconds until the caller knows."""
    if fate.fault == "refused":
        refusal = ServiceError(operation, "SlowDown", "Please reduce your request rate.", status=503)
        return None, refusal, fate.back
    if fate.fault == "dropped":
        return None, ServiceError(operation, "ConnectTimeoutError", "no connection"), AWS_CALL_SECONDS / 4
    result, error = _attempt(operation, act)
    if fate.fault == "repeated":
        result, error = _attempt(operation, act)
    if fate.fault == "lost" and (error is None or isinstance(error, ServiceError)):
        return None, ServiceError(operation, "ReadTimeoutError", "no response"), AWS_CALL_SECONDS / 2
    return result, error, fate.back


def _attempt(operation: Operation, act: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    try:
        return act(), None
    except S3Error as error:
        return None, ServiceError(operation, error.code, "S3 refuses this", status=error.status)
    except (PreconditionFailed, ObjectTooLarge, ServiceError) as error:
        return None, error


class BucketPort:
    """A `Bucket`. `read` is the operation of the errors of calls that read."""

    def __init__(self, caller: Caller, bucket: SimulatedBucket, read: Operation) -> None:
        self._caller = caller
        self._bucket = bucket
        self._read = read

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectHead | None:
        """As `Bucket.head`."""
        worker, scheduler = self._caller.worker, self._caller.services.scheduler

        def act() -> ObjectHead | None:
            worker.looked.setdefault(key, []).append(scheduler.time)
            return self._bucket.head(key, version_id)

        return await self._caller.call("s3", self._read, "HeadObject", self._subject(key), act)

    async def get(self, key: str, *, version_id: str | None = None, max_bytes: int | None = None) -> StoredObject:
        """As `Bucket.get`."""
        return await self._caller.call(
            "s3", self._read, "GetObject", self._subject(key), lambda: self._bucket.get(key, version_id, max_bytes)
        )

    async def get_range(self, key: str, start: int, end: int, *, etag: str | None) -> bytes:
        """As `Bucket.get_range`."""
        if start >= end:
            return b""
        return await self._caller.call(
            "s3", self._read, "GetObject", self._subject(key), lambda: self._bucket.get_range(key, start, end, etag)
        )

    async def list(self, prefix: str, *, start_after: str | None = None) -> list[str]:
        """As `Bucket.list`."""
        return await self._caller.call(
            "s3", self._read, "ListObjectsV2", self._subject(prefix), lambda: self._bucket.list(prefix, start_after)
        )

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str] | None = None,
        condition: Condition | None = None,
    ) -> str:
        """As `Bucket.put`."""
        return await self._caller.call(
            "s3",
            Operation.STORE_RESULT,
            "PutObject",
            self._subject(key),
            lambda: self._put(key, body, content_type, metadata, condition),
        )

    def _put(
        self,
        key: str,
        body: bytes,
        content_type: str | None,
        metadata: Mapping[str, str] | None,
        condition: Condition | None,
    ) -> str:
        version_id = self._bucket.put(key, body, content_type, metadata, condition)
        self._caller.services.note_stored(key, metadata or {})
        return version_id

    async def upload(
        self,
        key: str,
        content: AsyncGenerator[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str],
        condition: Condition,
    ) -> str:
        """As `Bucket.upload`."""
        body = b"".join([piece async for piece in content])
        return await self.put(key, body, content_type=content_type, metadata=metadata, condition=condition)

    async def delete(self, key: str, *, version_id: str | None = None, condition: Condition | None = None) -> None:
        """As `Bucket.delete`."""
        await self._caller.call(
            "s3",
            Operation.STORE_RESULT,
            "DeleteObject",
            self._subject(key),
            lambda: self._bucket.delete(key, version_id, condition),
        )

    async def previous(self, key: str, version_id: str) -> ObjectHead | None:
        """As `Bucket.previous`."""
        return await self._caller.call(
            "s3",
            self._read,
            "ListObjectVersions",
            self._subject(key),
            lambda: self._bucket.previous(key, version_id),
        )

    def _subject(self, key: str) -> str:
        return f"{self._bucket.name}/{key}"


class DeadLetterPort:
    """A `DeadLetterQueue`."""

    def __init__(self, caller: Caller, queue: SimulatedQueue) -> None:
        self._caller = caller
        self._queue = queue

    async def send(self, body: str, attributes: Mapping[str, Attribute]) -> None:
        """As `DeadLetterQueue.send`."""
        trace_id = attributes["TraceId"].value
        client = client_in(body) or client_in(trace_id)
        await self._caller.call(
            "sqs",
            Operation.DEAD_LETTER,
            "SendMessage",
            f"dead letter {client} {trace_id}",
            lambda: self._queue.send(
                body, attributes, sender_id=self._caller.worker.role, name=trace_id, client=client
            ),
        )


class SenderPort:
    """A `MessageSender`."""

    def __init__(self, caller: Caller, queue: SimulatedQueue) -> None:
        self._caller = caller
        self._queue = queue

    async def send(self, bodies: Iterable[str]) -> None:
        """As `MessageSender.send`: ten messages at once."""
        remaining = iter(bodies)
        while batch := list(islice(remaining, _SEND_BATCH)):
            await self._caller.call(
                "sqs",
                Operation.SEND_PARTS,
                "SendMessageBatch",
                f"{self._queue.name} {client_in(batch[0])} {batch[0]}",
                lambda batch=batch: self._send(batch),  # type: ignore[misc]
            )

    def _send(self, batch: list[str]) -> None:
        for body in batch:
            self._queue.send(body, {}, sender_id=self._caller.worker.role, name=body)


class SourcePort:
    """A `SourceQueue`."""

    def __init__(self, caller: Caller, queue: SimulatedQueue) -> None:
        self._caller = caller
        self._queue = queue

    async def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """As `SourceQueue.change_visibility`."""

        def act() -> None:
            if not self._queue.change_visibility(receipt_handle, seconds):
                raise ServiceError(Operation.DELAY, "MessageNotInflight", "not in flight", status=400)

        await self._caller.call("sqs", Operation.DELAY, "ChangeMessageVisibility", receipt_handle, act)


class EndpointPort:
    """An `Endpoint`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def invoke(
        self,
        endpoint_name: str,
        body: bytes,
        parameters: Mapping[str, str],
        *,
        seconds: float,
        admit: Admit | None = None,
    ) -> Inference:
        """As `Endpoint.invoke`."""
        services, worker = self._caller.services, self._caller.worker
        worker.check()
        scheduler, endpoint = services.scheduler, services.endpoint
        key, began = parameters["InferenceId"], scheduler.time
        subject = f"{client_in(body[:200].decode(errors='replace'))} {key}"
        kill = services.faults.kill_of("InvokeEndpoint", subject, kill_rate=worker.kill_rate)
        if kill == "before":
            worker.die(f"before InvokeEndpoint {subject}")
            worker.check()
        planned = endpoint.plan(endpoint_name, body, began)
        answer, takes = planned.answer, min(planned.seconds, max(0.0, seconds))
        if takes < planned.seconds:
            answer = ServiceError(Operation.INVOKE, "ReadTimeoutError", f"no response within {takes:.3f} s")
        if planned.is_answered:
            endpoint.note(key, body, began, began + takes, worker, lost=isinstance(answer, ServiceError))
        future: Future[Inference] = Future()

        def respond() -> None:
            said = answer.code if isinstance(answer, ServiceError) else "answered"
            services.log.write(worker.name, f"InvokeEndpoint {endpoint_name}", subject, said)
            if kill == "after":
                worker.die(f"after InvokeEndpoint {subject}")
            if isinstance(answer, ServiceError):
                future.set_error(answer)
            else:
                future.set_result(answer)

        scheduler.after(takes, respond)
        found = await future
        if admit is not None and len(found.body) > UNASKED_BYTES:
            await admit(len(found.body))
        return found
