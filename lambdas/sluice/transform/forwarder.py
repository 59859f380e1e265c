"""Sends the parts that are on another queue on to the queue of parts."""

from sluice.inputs.requests import TransformPart
from sluice.ports import MessageSender
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.router import RequestHandler
from sluice.transform.onward import Onward


class PartForwarder:
    """The handler of parts for a function whose queue is not the queue of parts. It calls no endpoint.

    Parts are on another queue after a deployment that changed their queue: one of another version, or with another
    `concurrent_dataset_requests`. `parts` is the handler of the queue of parts.

    While a deployment is updated, two functions may each take the other's queue for that of parts, so it is counted how
    often a part is sent on.
    """

    def __init__(self, parts: RequestHandler[TransformPart], part_queue: MessageSender) -> None:
        self._parts = parts
        self._onward = Onward(part_queue)

    async def handle(self, attempt: Attempt[TransformPart]) -> Outcome:
        """Send a part on. A second delivery sends it again; each part is answered once.

        Raises `ServiceError`, and `Failure` as `Onward.send_whole` does.
        """
        await self._onward.send_whole(attempt.request)
        return attempt.ended(Status.SUCCEEDED, detail="it is sent on to the queue of parts")

    async def already_resolved(self, attempt: Attempt[TransformPart]) -> Outcome | None:
        """As the handler of the queue of parts. Raises `ServiceError`."""
        return await self._parts.already_resolved(attempt)
