"""Decides on the AnswerFormat of a part: as it is set, as another part has found it, or by a probe."""

from collections.abc import Mapping

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.requests import TransformPart
from sluice.ports import Bucket, Inference
from sluice.processing.attempt import Attempt
from sluice.processing.storing import Sleep, retry_transient
from sluice.transform.answer_format import NONE, AnswerError, AnswerFormat
from sluice.transform.bisect import Calls, record_failure
from sluice.transform.content_types import holds_several
from sluice.transform.format_store import FormatStore
from sluice.transform.part_calls import PartCalls
from sluice.transform.patience import Patience
from sluice.transform.probe import Probe
from sluice.transform.work import Work


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
        work.answer_format = stated(work) or await self._store.load(folder)
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
                await _keep(work, work.answer_format, calls, index, inference)

        async def settle(found: AnswerFormat) -> None:
            stored = await retry_transient(lambda: self._store.settle(folder, found), self._sleep, attempt.remaining_ms)
            work.answer_format = stored
            calls.made += len(known)  # by the delivery that stored them
            while alone:
                index = next(iter(alone))
                await _keep(work, stored, calls, index, alone.pop(index))

        return Probe(calls, asking.ask, work.sent, indices, most_bytes, alone, len(known), keep, settle)

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
        (answer,) = divided_by.divide(inference.body, inference.content_type, 1)
    except AnswerError as error:
        await calls.refuse(index, record_failure(error))
    else:
        calls.keep(index, answer)


def stated(work: Work) -> AnswerFormat | None:
    """The format that needs no probe: the one that is set, or that of requests that never hold several records."""
    options = work.options
    if options.split_type == "None":
        return NONE
    if options.answer_format is not None:
        return options.answer_format
    several = options.batch_strategy == "MultiRecord" and holds_several(work.invocation.parameters["ContentType"])
    return None if several else NONE
