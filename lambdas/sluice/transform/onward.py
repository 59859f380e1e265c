"""Sends what is left of a part to the queue of parts, so that every chain of such messages ends.

The function of that queue sends messages to its own queue, and Lambda would stop a chain of them after about 16
invocations (Lambda Developer Guide, "recursive loop detection"), although its work is not done. So this guard is off
for that function (`RecursiveLoop: Allow`), and the chains must end by themselves. They do, because a part sends others
on here only, and each message that a part sends has a greater progress than the part has, by `progress`, which cannot
rise for ever: a part begins within its file, ends after it begins, and is sent whole at most `MOST_TIMES_WHOLE` times.
Once for a run of a file, when its parts are stored, a second set of such chains begins if the format of its answers was
refuted.
"""

from collections.abc import Sequence
from dataclasses import replace

from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import TransformPart
from sluice.ports import MessageSender

MOST_TIMES_WHOLE = 10
"""How often a part is sent again as it is. After that it returns to its queue, and its receives are counted."""


def progress(part: TransformPart) -> tuple[int, int, int]:
    """How far a part has come, to be compared with that of another part of the same file.

    Of two parts, the one that begins later in the file has come farther; else the one that ends earlier, and so has
    fewer records; else the one that was sent again more often.
    """
    return part.start, -part.end, part.times_whole


class Onward:
    """Sends parts on. `part_queue` is the queue of parts."""

    def __init__(self, part_queue: MessageSender) -> None:
        self._part_queue = part_queue

    async def send(self, part: TransformPart, rest: Sequence[TransformPart]) -> None:
        """Send what is left of `part` as other parts.

        Raises `ServiceError`; and `RuntimeError` without sending any, if one of them is no nearer to the end: then the
        message of `part` is received again, a limited number of times.
        """
        shorter = [replace(one, times_whole=0) for one in rest]
        if any(progress(one) <= progress(part) for one in shorter):
            msg = f"bytes {part.start} to {part.end} would go on with a part that is not shorter"
            raise RuntimeError(msg)
        await self._part_queue.send([body_of(one) for one in shorter])

    async def send_again(self, parts: Sequence[TransformPart]) -> None:
        """Send parts that are stored, whose records are to be answered alone. Raises `ServiceError`.

        They may begin anywhere in the file. The chains end, because a stored part is sent so only while its records
        are not stored alone, and a run of a file does so once (`FormatStore.note_sent_again`).
        """
        await self._part_queue.send([body_of(replace(one, times_whole=0)) for one in parts])

    async def send_whole(self, part: TransformPart) -> None:
        """Send a part again as it is. Raises `ServiceError`, and `Failure` if it was sent again often enough."""
        if part.times_whole >= MOST_TIMES_WHOLE:
            raise Failure.of(ErrorCode.NOT_BEGUN)
        await self._part_queue.send([body_of(replace(part, times_whole=part.times_whole + 1))])
