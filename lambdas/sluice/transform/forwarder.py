"""Sends the parts that are on another queue on to the queue of parts."""

from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import TransformPart
from sluice.ports import MessageSender
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.router import RequestHandler


class PartForwarder:
    """The handler of parts for a function whose queue is not the queue of parts. It calls no endpoint.

    Parts are on another queue after a deployment that changed their queue: one of another version, or with another
    `concurrent_dataset_requests`. `parts` is the handler of the queue of parts.
    """

    def __init__(self, parts: RequestHandler[TransformPart], part_queue: MessageSender) -> None:
        self._parts = parts
        self._part_queue = part_queue

    async def handle(self, attempt: Attempt[TransformPart]) -> Outcome:
        """Send a part on. A second delivery sends it again; each part is answered once. Raises `ServiceError`."""
        await self._part_queue.send([body_of(attempt.request)])
        return attempt.ended(Status.SUCCEEDED, detail="it is sent on to the queue of parts")

    async def already_resolved(self, attempt: Attempt[TransformPart]) -> Outcome | None:
        """As the handler of the queue of parts. Raises `ServiceError`."""
        return await self._parts.already_resolved(attempt)
