"""The ports of one worker on S3 and SQS."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from itertools import islice

from sluice.failures import Operation, ServiceError
from sluice.ports import Attribute, Condition, ObjectHead, StoredObject
from tests.simulation.caller import Caller
from tests.simulation.log import client_in
from tests.simulation.s3 import SimulatedBucket
from tests.simulation.sqs import SimulatedQueue

_SEND_BATCH = 10


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


class PartSenderPort(SenderPort):
    """A `MessageSender` of parts. A split function sends some as one of an earlier version: to the request queue."""

    def _send(self, batch: list[str]) -> None:
        services, role = self._caller.services, self._caller.worker.role
        for body in batch:
            is_early = role.endswith(":split") and services.faults.occurs("versions", f"{client_in(body)} {body}", 0.1)
            services.faults.counts["parts sent by an earlier version"] += is_early
            (services.request if is_early else self._queue).send(body, {}, sender_id=role, name=body)


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
