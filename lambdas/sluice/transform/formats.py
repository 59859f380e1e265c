"""Decides on the AnswerFormat of a part: as it is set, as another part has found it, or by a probe."""

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure, ServiceError
from sluice.inputs.requests import TransformPart
from sluice.ports import Bucket
from sluice.processing.attempt import Attempt
from sluice.processing.storing import Sleep, retry_transient
from sluice.transform.answer_format import NONE, AnswerError, AnswerFormat
from sluice.transform.bisect import PATIENCE, Calls, record_failure
from sluice.transform.content_types import holds_several
from sluice.transform.format_store import FormatStore
from sluice.transform.part_calls import OutOfTime, PartCalls
from sluice.transform.probe import Probe
from sluice.transform.work import Work


class Formats:
    """The formats of files. All parts of a file have the same one, whichever part finds it first."""

    def __init__(self, results: Bucket, sleep: Sleep) -> None:
        self._store = FormatStore(results)
        self._sleep = sleep

    async def settle(
        self, attempt: Attempt[TransformPart], work: Work, calls: Calls, asking: PartCalls, *, most_bytes: int
    ) -> None:
        """Give `work` its format, and `calls` the answers that were paid for to find it.

        There is no format only if every record was refused. Raises what the calls raise; then answers from which the
        format is not found yet are stored for the next delivery.
        """
        folder = keys.folder_of_part(attempt.identity.name)
        work.answer_format = stated(work) or await self._store.load(folder)
        indices = [index for index, size in enumerate(work.sizes) if size]
        if work.answer_format is not None or not indices:
            return
        if not work.part.is_whole:
            # An earlier delivery may have stopped at the first ones, so this one begins elsewhere.
            first = (attempt.delivery.receive_count - 1) * PATIENCE % len(indices)
            indices = indices[first:] + indices[:first]
        saved = await self._store.saved_answers(folder, work.part.start)
        known = {index: saved[at] for index in indices if saved and (at := work.lines.place(index)) in saved}
        probe = Probe(calls, asking.ask, work.sent, most_bytes, dict(known))
        try:
            found = await probe.find(indices)
        except OutOfTime:
            if len(probe.alone) == len(known) and min(indices) not in calls.refused:
                raise Failure.of(ErrorCode.NOT_BEGUN) from None  # a new message would be no nearer to the format
            if not probe.alone or await self._save(folder, work, probe):
                raise
            found = NONE  # Answers that are too large to be stored are large enough for a call each.
        except ServiceError:
            await self._save(folder, work, probe)
            raise
        calls.made += len(known)  # by the delivery that stored them
        if found is not None:
            await self._keep(attempt, folder, found, work, probe)

    async def _keep(
        self, attempt: Attempt[TransformPart], folder: str, found: AnswerFormat, work: Work, probe: Probe
    ) -> None:
        settled = await retry_transient(lambda: self._store.settle(folder, found), self._sleep, attempt.remaining_ms)
        work.answer_format = settled
        for index, inference in probe.alone.items():
            work.learn_type(inference)
            try:
                (answer,) = settled.divide(inference.body, inference.content_type, 1)
            except AnswerError as error:
                await probe.calls.refuse(index, record_failure(error))
            else:
                probe.calls.keep(index, answer)

    async def _save(self, folder: str, work: Work, probe: Probe) -> bool:
        """Store the answers of a probe for the part that will continue it. Returns whether they are not too large."""
        first = next((index for index, size in enumerate(work.sizes) if size and index not in probe.calls.refused), 0)
        start = work.lines.place(first) if first else work.part.start
        answers = {work.lines.place(index): inference for index, inference in probe.alone.items()}
        return await self._store.save_answers(folder, start, answers)


def stated(work: Work) -> AnswerFormat | None:
    """The format that needs no probe: the one that is set, or that of requests that never hold several records."""
    options = work.options
    if options.split_type == "None":
        return NONE
    if options.answer_format is not None:
        return options.answer_format
    several = options.batch_strategy == "MultiRecord" and holds_several(work.invocation.parameters["ContentType"])
    return None if several else NONE
