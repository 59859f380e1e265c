"""One request, from its identity to its stored inference. What goes wrong is raised; `process` decides what then."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sluice.failures import Failure, FailureClass, Operation, ServiceError, invalid
from sluice.inputs.identity import is_newer, name_of
from sluice.inputs.invocation import Invocation, build, endpoint_of, location_of, message_for, oversize
from sluice.inputs.message import Message, validate
from sluice.inputs.requests import DroppedObject, SentMessage
from sluice.ports import (
    Endpoint,
    Inference,
    InputObject,
    Inputs,
    ObjectTooLarge,
    PreconditionFailed,
    Results,
    StoredObject,
)
from sluice.processing.attempt import Attempt, metadata_of
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import IDENTITY, OUT, SEQUENCER
from sluice.processing.single_flight import SingleFlight
from sluice.processing.storing import clear_failure, retry_transient
from sluice.settings import Settings

_WRITE_TRIES = 5  # Each lost race means that somebody else's write went through: it can't go on for long.


class Invoker:
    """RequestHandler requests: looks for the result, loads the body, invokes, stores."""

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        inputs: Inputs,
        results: Results,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._inputs = inputs
        self._results = results
        self._now = now
        self._sleep = sleep
        self._single_flight = SingleFlight()

    def handle(self, attempt: Attempt) -> Outcome:
        """Bring `attempt` to a stored result.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails, and whatever a bug raises.
        """
        with self._single_flight.acquire(attempt.identity.key) as alone:
            if alone:
                return self._answer(attempt)
        if (outcome := self.already_resolved(attempt)) is not None:
            return outcome
        raise Failure(
            FailureClass.TRANSIENT,
            "UnderWay",
            "another delivery of this request was under way in the same function, and ended without an answer",
        )

    def _answer(self, attempt: Attempt) -> Outcome:
        # Always, although most are here for the first time: SQS may deliver a message again that was acknowledged, and
        # count that as its first receive too. A thousand looks cost $0.0004; a call that is paid for twice, far more.
        stored = self._results.head(attempt.identity.name + OUT)
        if stored and (outcome := self._settled_by(stored, attempt)):
            return outcome
        invocation = self._invocation(attempt)
        if invocation is None:
            return attempt.ended(Status.SUPERSEDED, detail="the object was replaced; its newer version answers")
        started = time.monotonic()
        inference = self._endpoint.invoke(invocation.endpoint_name, invocation.body, invocation.parameters)
        latency = timedelta(seconds=time.monotonic() - started)
        return retry_transient(lambda: self._store(attempt, invocation, inference, latency, stored), self._sleep)

    def already_resolved(self, attempt: Attempt) -> Outcome | None:
        """The outcome when a failure of `attempt` counts no more: the request is answered, or its object replaced.

        Raises `ServiceError`.
        """
        stored = self._results.head(attempt.identity.name + OUT)
        if stored is not None and stored.metadata.get(IDENTITY) == attempt.identity.key:
            return attempt.ended(Status.DUPLICATE, detail="another delivery answered it")
        if self._is_outdated(attempt):
            return attempt.ended(Status.SUPERSEDED, detail="the object was replaced; its newer version answers")
        return None

    def _settled_by(self, stored: StoredObject, attempt: Attempt) -> Outcome | None:
        """The outcome when `stored` settles the request; None when the request is to replace it."""
        if stored.metadata.get(IDENTITY) == attempt.identity.key:
            clear_failure(self._results, attempt.identity.name)
            return attempt.ended(Status.DUPLICATE)
        if isinstance(attempt.request, SentMessage):
            field = "Filename" if "Filename" in attempt.request.raw else "InferenceId"
            # The name is the other request's; an .err under it would be taken for that one's.
            attempt.identity = replace(attempt.identity, name=name_of(attempt.delivery.message_id))
            raise invalid(field, "another request's result has this name already; choose one that is not taken")
        if is_newer(stored.metadata.get(SEQUENCER), _dropped(attempt).sequencer):
            return attempt.ended(Status.SUPERSEDED, detail="a newer upload of the same key was answered already")
        return None

    def _invocation(self, attempt: Attempt) -> Invocation | None:
        """The call to make, or None when the object has been replaced since the event."""
        if isinstance(attempt.request, SentMessage):
            return self._sent(attempt, attempt.request)
        return self._dropped(attempt, _dropped(attempt))

    def _sent(self, attempt: Attempt, sent: SentMessage) -> Invocation:
        message = validate(sent.raw)
        self._check(message, attempt)
        if message.input_location is None:
            body = message.inline_body()
            if len(body) > self._settings.max_body_bytes:
                raise oversize("BodyBase64" if message.body_base64 is not None else "Body", len(body), self._settings)
            return build(message, attempt.identity, body, self._settings)
        bucket, key = location_of(message, self._settings)
        loaded = self._load(bucket, key, "InputLocation")
        return build(
            message,
            attempt.identity,
            loaded.body,
            self._settings,
            key=key,
            object_content_type=loaded.content_type,
        )

    def _dropped(self, attempt: Attempt, dropped: DroppedObject) -> Invocation | None:
        loaded = self._load(dropped.bucket, dropped.key, "object")
        if not dropped.is_version(loaded.version):
            return None
        message = message_for(dropped, loaded.metadata, self._settings)
        trace_id = message.trace_id or message.inference_id or attempt.identity.trace_id
        attempt.identity = replace(attempt.identity, trace_id=trace_id, inference_id=message.inference_id or trace_id)
        self._check(message, attempt)
        return build(
            message,
            attempt.identity,
            loaded.body,
            self._settings,
            key=dropped.key,
            object_content_type=loaded.content_type,
        )

    def _check(self, message: Message, attempt: Attempt) -> None:
        attempt.endpoint_name = endpoint_of(message, self._settings)
        ttl = message.request_ttl_seconds
        if ttl is not None and self._now() - attempt.delivery.sent_at > timedelta(seconds=ttl):
            raise Failure(
                FailureClass.EXPIRED,
                "Expired",
                f"RequestTTLSeconds: {ttl} s had passed since the message was sent; it was not invoked",
            )

    def _load(self, bucket: str, key: str, field: str) -> InputObject:
        try:
            return self._inputs.get(bucket, key, max_bytes=self._settings.max_body_bytes)
        except ObjectTooLarge as error:
            raise oversize(field, error.size, self._settings) from None

    def _store(
        self,
        attempt: Attempt,
        invocation: Invocation,
        inference: Inference,
        latency: timedelta,
        stored: StoredObject | None,
    ) -> Outcome:
        """Write the result where nobody else has; on a lost race look who won, and decide again."""
        key = attempt.identity.name + OUT
        metadata = metadata_of(attempt, invocation, inference, latency)
        for _ in range(_WRITE_TRIES):
            try:
                self._results.put(
                    key,
                    inference.body,
                    content_type=inference.content_type,
                    metadata=metadata,
                    replaces=stored,
                )
            except PreconditionFailed:
                stored = self._results.head(key)
                if stored is None:
                    continue
                if outcome := self._settled_by(stored, attempt):
                    return outcome
                if self._is_outdated(attempt):
                    return attempt.ended(Status.SUPERSEDED, detail="the object was replaced while the model answered")
                continue
            if attempt.may_be_repeated:
                clear_failure(self._results, attempt.identity.name)
            return attempt.ended(Status.SUCCEEDED, latency=latency)
        raise ServiceError(
            Operation.STORE_RESULT,
            "ConditionalRequestConflict",
            f"{_WRITE_TRIES} conditional writes were already_resolved",
        )

    def _is_outdated(self, attempt: Attempt) -> bool:
        dropped = attempt.request
        if not isinstance(dropped, DroppedObject):
            return False
        newest = self._inputs.current(dropped.bucket, dropped.key)
        return newest is not None and not dropped.is_version(newest)


def _dropped(attempt: Attempt) -> DroppedObject:
    if not isinstance(attempt.request, DroppedObject):
        raise TypeError(f"{type(attempt.request).__name__} is not the body of one call")
    return attempt.request
