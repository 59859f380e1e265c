"""One try at one request, and what its result will say of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sluice.inputs.delivery import Delivery
from sluice.inputs.identity import Identity, input_location
from sluice.inputs.invocation import Invocation
from sluice.inputs.requests import Assembly, DroppedObject, Request, SentMessage, TransformPart
from sluice.ports import Inference
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import ACCEPT, CONTENT_TYPE, SEQUENCER, SOURCE_KEY, result_metadata


@dataclass(slots=True)
class Attempt:
    """One try at one request. What is learned on the way (trace ID, endpoint) stays here, should it fail.

    `remaining_ms` is how long the function still has.
    """

    delivery: Delivery
    request: Request
    identity: Identity
    endpoint_name: str | None = None
    remaining_ms: Callable[[], float] = lambda: math.inf

    @property
    def may_be_repeated(self) -> bool:
        """Whether this very request may have been dead-lettered before, and so have an `.err`."""
        return self.identity.repeatable or self.delivery.receive_count > 1

    @property
    def source(self) -> str | None:
        """The S3 URI of a dropped object, also when this is a part of it, or of a message's `InputLocation`."""
        if isinstance(self.request, SentMessage):
            return input_location(self.request)
        dropped = self.request.file if isinstance(self.request, TransformPart | Assembly) else self.request
        return f"s3://{dropped.bucket}/{dropped.key}"

    def ended(self, status: Status, *, latency: timedelta | None = None, detail: str | None = None) -> Outcome:
        """The outcome of this attempt."""
        return Outcome(
            self.delivery.message_id,
            status,
            self.identity,
            endpoint_name=self.endpoint_name,
            model_latency=latency,
            detail=detail,
        )


def metadata_of(attempt: Attempt, invocation: Invocation, inference: Inference, latency: timedelta) -> dict[str, str]:
    """The metadata of the result that `inference` becomes."""
    dropped = attempt.request if isinstance(attempt.request, DroppedObject) else None
    return result_metadata(
        attempt.identity,
        trace_id=invocation.trace_id,
        inference_id=invocation.inference_id,
        endpoint_name=invocation.endpoint_name,
        source={
            SEQUENCER: dropped.sequencer if dropped else None,
            "source-version": (dropped.version_id or dropped.etag) if dropped else None,
            SOURCE_KEY: attempt.source,
        },
        answered={
            "invoked-production-variant": inference.invoked_production_variant,
            "custom-attributes": inference.custom_attributes,
            "new-session-id": inference.new_session_id,
            "closed-session-id": inference.closed_session_id,
        },
        asked={CONTENT_TYPE: invocation.parameters["ContentType"], ACCEPT: invocation.parameters.get("Accept")},
        model_latency_ms=round(latency.total_seconds() * 1000),
        received_at=attempt.delivery.sent_at,
    )
