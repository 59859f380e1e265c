"""Decides on the AnswerFormat of a part: as it is set, as another part has found it, or by a probe."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.requests import Run, TransformPart
from sluice.ports import Bucket, Inference
from sluice.processing.attempt import Attempt
from sluice.processing.storing import Sleep, retry_transient
from sluice.transform.answer_format import NONE, AnswerError, AnswerFormat
from sluice.transform.bisect import Calls
from sluice.transform.content_types import holds_several
from sluice.transform.format_store import FormatStore
from sluice.transform.options import MAX_CHUNK_BYTES
from sluice.transform.part_calls import PartCalls
from sluice.transform.patience import Patience
from sluice.transform.probe import Probe
from sluice.transform.progress import answered_in_groups
from sluice.transform.refusal import record_failure
from sluice.transform.trust import GroupTrust
from sluice.transform.work import Work

_NO_RUN = Run(keys.ALONE)  # of a message of an earlier version

_T = TypeVar("_T")


class Formats:
    """The formats of files. All parts of a file have the same one, whichever part finds it first."""

    def __init__(self, results: Bucket, sleep: Sleep) -> None:
        self._store = FormatStore(results)
        self._sleep = sleep

    async def probe(
        self,
        attempt: Attempt[TransformPart],
        work: Work,
        calls: Calls,
        asking: PartCalls,
        *,
        patience: Patience,
        most_bytes: int,
    ) -> Probe | None:
        """Give `work` its format, if it is known; else return what finds it, and gives `calls` the answers paid for.

        Raises `ServiceError`.
        """
        folder = keys.folder_of_part(attempt.identity.name)
        stored = None if (set_one := stated(work)) is not None else await self._store.load(folder)
        work.answer_format = set_one if stored is None else stored.answer_format
        indices = patience.order([index for index, size in enumerate(work.sizes) if size])
        if work.answer_format is not None or not indices:
            return None
        saved = await self._store.saved_answers(folder, work.part.start)
        known = {index: saved[at] for index in indices if saved and (at := work.lines.place(index)) in saved}
        alone = dict(known)

        async def keep(index: int, inference: Inference) -> None:
            if work.answer_format is None:
                alone[index] = inference
            else:
                asking.keep_alone(index, inference)
                await _keep(work, work.answer_format, calls, index, inference)

        async def settle(found: AnswerFormat) -> None:
            found = found.restricted_to(work.options.answer_format)
            stored = await self._retried(attempt, lambda: self._store.settle(folder, found))
            work.answer_format = stored
            calls.made += len(known)  # by the delivery that stored them
            while alone:
                index = next(iter(alone))
                asking.keep_alone(index, alone[index])
                await _keep(work, stored, calls, index, alone.pop(index))

        return Probe(calls, asking.ask, work.sent, indices, most_bytes, alone, len(known), keep, settle)

    def trust(self, attempt: Attempt[TransformPart], work: Work, asking: PartCalls) -> GroupTrust:
        """What confirms the answers of the groups of a part."""
        folder = keys.folder_of_part(attempt.identity.name)

        async def ordered(found: AnswerFormat) -> None:
            await self._retried(attempt, lambda: self._store.order(folder, found))

        return GroupTrust(work, asking, ordered)

    async def current(self, attempt: Attempt[TransformPart]) -> Run | None:
        """The run of a part, which goes on alone if the format of its file is refuted. Raises `ServiceError`."""
        run = attempt.request.run
        stored = await self._store.latest(keys.folder_of_part(attempt.identity.name))
        is_alone = stored is not None and stored.refuted is not None
        return replace(run or _NO_RUN, alone=True) if is_alone else run

    async def refuted(self, attempt: Attempt[TransformPart], work: Work, calls: Calls, asking: PartCalls) -> None:
        """Go on without groups, in this part and in all that follow: the answers of groups are dropped.

        So are those of earlier runs. Raises `ServiceError`.
        """
        found = work.answer_format or NONE
        before = calls.kept_bytes
        calls.forget([*calls.answers, *calls.refused])  # first: they must not be stored if the next step fails
        asking.release(before - calls.kept_bytes)
        await self._retried(attempt, lambda: self._store.refute(keys.folder_of_part(attempt.identity.name), found))
        work.answer_format = NONE
        work.part = replace(work.part, run=replace(work.part.run or _NO_RUN, alone=True))
        if work.earlier is not None and not keys.is_alone(work.part.earlier or ""):
            asking.release(work.earlier.size)
            work.drop_earlier()
        while asking.alone:
            index, inference = asking.alone.popitem()
            await _keep(work, NONE, calls, index, inference)
        calls.works = bool(calls.answers)

    async def send_again(
        self,
        attempt: Attempt[TransformPart],
        names: Sequence[str],
        send: Callable[[list[TransformPart]], Awaitable[None]],
    ) -> None:
        """Send the parts again, once, that were answered in groups before the format of their file was refuted.

        They are sent when all parts are stored, so that none is missed. Raises `ServiceError`.
        """
        part, folder = attempt.request, keys.folder_of_part(attempt.identity.name)
        run = (part.run or _NO_RUN).id
        ranges = list(answered_in_groups(names, part.run, part.file.size or 0))
        stored = await self._store.read(folder) if ranges else None
        if stored is None or stored.refuted is None or run in stored.sent_again:
            return
        await send(
            [
                replace(part, start=start, end=end, aligned=part.aligned or end - start > MAX_CHUNK_BYTES, earlier=None)
                for start, end in ranges
            ]
        )
        await self._retried(attempt, lambda: self._store.note_sent_again(folder, stored, run))

    async def _retried(self, attempt: Attempt[TransformPart], write: Callable[[], Awaitable[_T]]) -> _T:
        return await retry_transient(write, self._sleep, attempt.remaining_ms)

    async def interrupted(
        self, attempt: Attempt[TransformPart], work: Work, calls: Calls, probe: Probe, *, out_of_time: bool
    ) -> None:
        """Store the answers from which the format is not found yet, for the next delivery.

        Raises `Failure` if the time is over and there is nothing new: a new message would be no nearer to the format.
        """
        if out_of_time and probe.is_at_second_try:
            await probe.settle(NONE)
            return
        if out_of_time and len(probe.alone) == probe.known and min(probe.indices) not in calls.refused:
            raise Failure.of(ErrorCode.NOT_BEGUN)
        folder = keys.folder_of_part(attempt.identity.name)
        if not await self._save(folder, work, calls, probe.alone) and out_of_time:
            await probe.settle(NONE)  # Answers that are too large to be stored are large enough for a call each.

    async def _save(self, folder: str, work: Work, calls: Calls, alone: Mapping[int, Inference]) -> bool:
        """Store the answers of a probe for the part that will continue it. Returns whether they are not too large."""
        first = next((index for index, size in enumerate(work.sizes) if size and index not in calls.refused), 0)
        start = work.lines.place(first) if first else work.part.start
        answers = {work.lines.place(index): inference for index, inference in alone.items()}
        return await self._store.save_answers(folder, start, answers)


async def _keep(work: Work, divided_by: AnswerFormat, calls: Calls, index: int, inference: Inference) -> None:
    """Take the answer to a single record."""
    work.learn_type(inference)
    try:
        (answer,) = divided_by.divide(inference.body, inference.content_type, 1, keeps_lines=work.keeps_lines)
    except AnswerError as error:
        await calls.refuse(index, record_failure(error))
    else:
        calls.keep(index, answer)


def stated(work: Work) -> AnswerFormat | None:
    """The format that needs no probe: the one that is set, or that of requests that never hold several records."""
    options = work.options
    is_single = options.batch_strategy == "SingleRecord"
    if options.split_type == "None":
        return NONE
    if options.answer_format is not None and not (options.answer_format.is_of_any_columns and not is_single):
        return options.answer_format
    if options.answer_format is not None:
        return None
    several = not is_single and holds_several(work.invocation.parameters["ContentType"])
    return None if several else NONE
