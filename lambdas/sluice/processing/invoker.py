"""One request that is one InvokeEndpoint call, from its identity to its stored result. The processor handles errors."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sluice import keys
from sluice.concurrency import Semaphore, now, sleep
from sluice.error_codes import ErrorCode
from sluice.failures import Failure, ServiceError
from sluice.inputs.invocation import (
    Invocation,
    build,
    check_ttl,
    endpoint_of,
    inline_body,
    location_of,
    message_for,
    oversize,
)
from sluice.inputs.message import Message
from sluice.inputs.requests import DroppedObject, SentMessage
from sluice.ports import Bucket, Buckets, Condition, Endpoint, Inference, ObjectHead, ObjectTooLarge, StoredObject
from sluice.processing.attempt import Attempt
from sluice.processing.memory import CallMemory, MemoryExhausted, Reservation
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes, superseded
from sluice.processing.result import inference_metadata
from sluice.processing.single_flight import SingleFlight
from sluice.processing.storing import Sleep, retry_transient
from sluice.settings import Settings

_Call = Attempt[SentMessage | DroppedObject]


class Invoker:
    """Looks for the result, loads the body, invokes the endpoint, and stores the result.

    A call and storing its result take at most `needed_ms`. With less time left, no call is begun. `slots` are the calls
    that the function may make at once.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        inputs: Buckets,
        results: Bucket,
        outcomes: Outcomes,
        *,
        memory: CallMemory,
        slots: Semaphore,
        needed_ms: float,
        utc_now: Callable[[], datetime],
        sleep: Sleep = sleep,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._inputs = inputs
        self._results = results
        self._outcomes = outcomes
        self._memory = memory
        self._slots = slots
        self._needed_ms = needed_ms
        self._utc_now = utc_now
        self._sleep = sleep
        self._single_flight = SingleFlight()

    async def handle(self, attempt: _Call) -> Outcome:
        """Bring `attempt` to a stored result.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails, either of them as the cause of
        `AttemptFailed`, and any error of a bug.
        """
        if await self._single_flight.acquire(attempt.identity.key):
            try:
                return await self._handle(attempt)
            finally:
                self._single_flight.release(attempt.identity.key)
        if (outcome := await self.already_resolved(attempt)) is not None:
            return outcome
        raise Failure.of(ErrorCode.UNDER_WAY)

    async def already_resolved(self, attempt: _Call) -> Outcome | None:
        """The outcome when the request has been answered, or its object replaced. Raises `ServiceError`."""
        return await self._outcomes.resolved(attempt)

    async def _handle(self, attempt: _Call) -> Outcome:
        # Looked up at every receive, although most requests are here for the first time: SQS may deliver a message
        # again that was acknowledged, and count that as its first receive, too. A thousand lookups cost $0.0004; a
        # call that is paid for twice costs far more.
        stored = await self._outcomes.answer(attempt)
        if stored is not None and (outcome := await self._outcomes.settled_by(stored, attempt)) is not None:
            return outcome
        endpoint_name = attempt.endpoint_name or self._settings.default_endpoint_name
        try:
            reservation = await self._memory.reserve(lambda: self._seconds_left(attempt), endpoint_name)
        except MemoryExhausted:
            raise Failure.of(ErrorCode.NOT_BEGUN) from None
        try:
            return await self._call(attempt, stored, reservation)
        finally:
            reservation.shrink(0)

    async def _call(self, attempt: _Call, stored: ObjectHead | None, reservation: Reservation) -> Outcome:
        prepared = await self._prepare(attempt)
        if prepared is None:
            return superseded(attempt)
        attempt, invocation = prepared
        reservation.shrink(self._memory.needed(invocation.endpoint_name, len(invocation.body)))
        with attempt.reporting():
            async with self._slots:
                if self._seconds_left(attempt) < 0:  # the input took long, or an earlier record's call, or the slot
                    raise Failure.of(ErrorCode.NOT_BEGUN)
                started = now()
                inference = await self._endpoint.invoke(
                    invocation.endpoint_name,
                    invocation.body,
                    invocation.parameters,
                    seconds=attempt.call_seconds,
                    admit=lambda size: reservation.grow(self._memory.needed_for(len(invocation.body), size)),
                )
                latency = timedelta(seconds=now() - started)
            self._memory.learn(invocation.endpoint_name, len(inference.body))
            return await retry_transient(
                lambda: self._store(attempt, invocation, inference, latency, stored),
                self._sleep,
                attempt.remaining_ms,
            )

    def _seconds_left(self, attempt: _Call) -> float:
        """How long may be waited before there is no time for a call."""
        return min((attempt.remaining_ms() - self._needed_ms) / 1000, sys.maxsize)

    async def _prepare(self, attempt: _Call) -> tuple[_Call, Invocation] | None:
        """The call to make, with what the attempt knows then; None when the object has been replaced since."""
        match attempt.request:
            case SentMessage() as sent:
                return await self._prepare_message(attempt, sent.valid())
            case DroppedObject() as dropped:
                return await self._prepare_object(attempt, dropped)

    async def _prepare_message(self, attempt: _Call, message: Message) -> tuple[_Call, Invocation]:
        attempt = replace(attempt, endpoint_name=endpoint_of(message, self._settings))
        with attempt.reporting():
            check_ttl(message, self._utc_now() - attempt.delivery.sent_at)
            if message.input_location is None:
                body = inline_body(message, self._settings)
                return attempt, build(message, attempt.identity, body, self._settings)
            bucket, key = location_of(message, self._settings)
            loaded = await self._load(bucket, key, "InputLocation")
            return attempt, self._build(attempt, message, key, loaded)

    async def _prepare_object(self, attempt: _Call, dropped: DroppedObject) -> tuple[_Call, Invocation] | None:
        loaded = await self._load(dropped.bucket, dropped.key, "object")
        dropped.check_names_version(loaded)
        if not dropped.is_version(loaded):
            return None
        message = message_for(dropped, loaded.metadata, self._settings)
        trace_id = message.trace_id or message.inference_id or attempt.identity.trace_id
        identity = replace(attempt.identity, trace_id=trace_id, inference_id=message.inference_id or trace_id)
        attempt = replace(attempt, identity=identity)
        with attempt.reporting():
            attempt = replace(attempt, endpoint_name=endpoint_of(message, self._settings))
        with attempt.reporting():
            check_ttl(message, self._utc_now() - attempt.delivery.sent_at)
            return attempt, self._build(attempt, message, dropped.key, loaded)

    def _build(self, attempt: _Call, message: Message, key: str, loaded: StoredObject) -> Invocation:
        return build(
            message,
            attempt.identity,
            loaded.body,
            self._settings,
            key=key,
            object_content_type=loaded.content_type,
        )

    async def _load(self, bucket: str, key: str, field: str) -> StoredObject:
        try:
            return await self._inputs(bucket).get(key, max_bytes=self._settings.max_body_bytes)
        except ObjectTooLarge as error:
            raise oversize(field, error.size, self._settings) from None
        except ServiceError as error:
            text = f"{field} s3://{bucket}/{key}: {error.message}"
            raise ServiceError(error.operation, error.code, text, status=error.status) from error

    async def _store(
        self,
        attempt: _Call,
        invocation: Invocation,
        inference: Inference,
        latency: timedelta,
        stored: ObjectHead | None,
    ) -> Outcome:
        """Write the result, unless another delivery's result settles the request."""
        key = attempt.identity.name + keys.OUT
        metadata = inference_metadata(attempt, invocation, inference, latency)

        async def write(condition: Condition) -> str | None:
            return await self._results.put(
                key, inference.body, content_type=inference.content_type, metadata=metadata, condition=condition
            )

        outcome = await self._outcomes.record_answer(attempt, write, stored)
        return outcome or attempt.ended(Status.SUCCEEDED, latency=latency)
