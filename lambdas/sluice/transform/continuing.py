"""How a part goes on that a delivery has not finished: what is done is stored, and the rest becomes further parts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.identity import of_part
from sluice.inputs.requests import TransformPart
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.settings import Settings
from sluice.transform.bisect import Calls
from sluice.transform.early_stop import EarlyStop
from sluice.transform.onward import Onward
from sluice.transform.part_store import PartStore
from sluice.transform.sending import Sending
from sluice.transform.work import Work

_Part = Attempt[TransformPart]


@dataclass(frozen=True, slots=True)
class Run:
    """A delivery's work at a part, and how far it has come."""

    work: Work
    calls: Calls
    sending: Sending
    started: datetime


class Continuation:
    """Continues parts in further messages, or in the same delivery."""

    def __init__(
        self,
        settings: Settings,
        onward: Onward,
        store: PartStore,
        early_stop: EarlyStop,
        announce: Callable[[_Part], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._onward = onward
        self._store = store
        self._early_stop = early_stop
        self._announce = announce

    async def later(
        self, attempt: _Part, run: Run, done: list[range], rest: list[range], *, may_stay: bool = False
    ) -> Outcome | _Part:
        """Store the lines that are done as parts of their own, and send the rest as further parts.

        If none is done, the part is halved, or sent again while its format is not found. If the delivery `may_stay` at
        the part, and the rest is one part, it is not sent, but returned as what is to be done next: a message for each
        few megabytes of answers would make a long chain of short deliveries.

        A file ends soon: the rest is divided among the functions, so that the parts that wait for each other are only
        those that one function has to do anyway. That it ends at all is the rule of `Onward`.

        Raises `Failure` when nothing is done of a single line that is sent, and `ServiceError`.
        """
        work = run.work
        if not done and work.answer_format is None:
            await self._onward.send_whole(work.part)
            return attempt.ended(Status.SUCCEEDED, detail="its first answers are stored, it continues as a new message")
        if not done and len(work.places) < 2:
            raise Failure.of(ErrorCode.NOT_BEGUN)
        count = len(work.lines)
        if done:
            parts = [part for lines in rest for part in run.sending.parts_of(lines)]
        else:
            middle = work.places[len(work.places) // 2]
            parts = [work.part_of(range(middle)), work.part_of(range(middle, count), and_rest=True)]
        made = run.calls.made
        stored = attempt
        for lines in done:
            stored = at_range(attempt, work.part_of(lines), self._settings)
            with stored.reporting():
                await self._store.put(stored, work, run.calls, run.started, lines=lines, made=made)
            made = 0
        if done and run.calls.refused:
            await self._early_stop.look(stored, work)
        left = [part for part in parts if part.start < part.end]
        if may_stay and done and len(left) == 1 == len(done) and rest[0].start == done[0].stop:
            return at_range(attempt, left[0], self._settings)
        await self._onward.send(work.part, left)
        if parts[-1].start == parts[-1].end:  # the last record has ended where the file does
            await self._announce(replace(stored, request=parts[-1]))
        detail = f"{sum(map(len, done))} lines are answered, the rest continues as {len(parts)} new messages"
        return stored.ended(Status.SUCCEEDED, detail=detail)


def at_range(attempt: _Part, part: TransformPart, settings: Settings) -> _Part:
    """The attempt at another range of the same dataset."""
    if part == attempt.request:
        return attempt
    identity = of_part(part, settings, attempt.delivery)
    identity = replace(attempt.identity, name=identity.name, key=identity.key)
    return replace(attempt, request=part, identity=identity)
