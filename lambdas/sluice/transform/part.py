"""One part of a dataset, from its byte range to its stored answers."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sluice import keys
from sluice.concurrency import now, sleep
from sluice.error_codes import ErrorCode
from sluice.failures import Failure, ServiceError
from sluice.inputs.identity import of_part
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, TransformPart
from sluice.ports import Bucket, Buckets, Endpoint, MessageSender, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.memory import Memory, MemoryExhausted
from sluice.processing.outcome import Outcome, Status
from sluice.processing.storing import Sleep
from sluice.settings import Settings
from sluice.transform.bisect import BudgetReached, Calls, NothingAnswered
from sluice.transform.earlier import load
from sluice.transform.early_stop import EarlyStop, enough_refused, no_calls
from sluice.transform.formats import Formats
from sluice.transform.heads import require_head
from sluice.transform.memory import ENOUGH_ANSWERED, ResponseSizeRatio
from sluice.transform.part_calls import OutOfTime, PartCalls
from sluice.transform.part_store import PartStore
from sluice.transform.patience import failure_of_part, give_up, has_answers, have_given_up, is_at_fault, patience
from sluice.transform.progress import begins_at, covered_until, covering_parts, of_run
from sluice.transform.records import payloads
from sluice.transform.work import MAX_REFUSED, Reader, Work

_REPLACED = "the file was replaced; its newer version is transformed"

_Part = Attempt[TransformPart]


class PartHandler:
    """Processes parts: reads the range, calls for its records together, stores an answer for each line.

    A call and storing its answers take at most `needed_ms`. With less time left, no call is begun.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        inputs: Buckets,
        results: Bucket,
        *,
        request_queue: MessageSender,
        assembly_queue: MessageSender,
        needed_ms: float,
        memory: Memory,
        utc_now: Callable[[], datetime],
        sleep: Sleep = sleep,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._inputs = inputs
        self._results = results
        self._request_queue = request_queue
        self._assembly_queue = assembly_queue
        self._needed_ms = needed_ms
        self._memory = memory
        self._utc_now = utc_now
        self._sleep = sleep
        self._ratio = ResponseSizeRatio()
        self._reader = Reader(settings, inputs, self._ratio)
        self._store = PartStore(results, utc_now, sleep)
        self._formats = Formats(results, sleep)
        self._early_stop = EarlyStop(settings, inputs, results)

    async def handle(self, attempt: _Part) -> Outcome:
        """Bring a part to its stored answers.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails, either of them as the cause of
        `AttemptFailed`.
        """
        attempt = await self._rest_of(attempt)
        part = attempt.request
        if part.start == part.end:
            await self._announce(attempt)
            return attempt.ended(Status.DUPLICATE)
        head = await require_head(self._inputs(part.file.bucket), part.file.key)
        if not part.file.is_version(head):
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        prepared = self._reader.prepare(attempt, head)
        attempt = prepared.attempt
        with attempt.reporting():
            try:
                async with self._memory.reserve(lambda: self._seconds_left(attempt)) as reservation:
                    work = await self._reader.read(prepared, head, reservation)
                    await self._keep_earlier(attempt, work)
                    return await self._process(attempt, work)
            except PreconditionFailed:
                return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
            except MemoryExhausted:
                # As a new message: the part is not at fault, and must not lose one of its receives.
                await self._request_queue.send([body_of(part)])
                return attempt.ended(
                    Status.SUCCEEDED, detail="other parts used the function's memory; it continues as a new message"
                )

    async def already_resolved(self, attempt: _Part) -> Outcome | None:
        """The outcome when the part has been answered, or its dataset replaced. Raises `ServiceError`."""
        if (await self._rest_of(attempt)).request.start == attempt.request.end:
            await self._announce(attempt)  # the delivery that stored it may have been killed before that
            return attempt.ended(Status.DUPLICATE, detail="another delivery answered it")
        file = attempt.request.file
        try:
            newest = await require_head(self._inputs(file.bucket), file.key)
        except ServiceError:
            return None  # The file is gone, or its version is unknown: the failure remains.
        return None if file.is_version(newest) else attempt.ended(Status.SUPERSEDED, detail=_REPLACED)

    async def _keep_earlier(self, attempt: _Part, work: Work) -> None:
        """For a retry, keep the answers that the part has: they are among those that it has memory for.

        Raises `ServiceError`.
        """
        if work.part.earlier is None:
            return
        folder = keys.folder_of_part(attempt.identity.name)
        earlier = await load(self._results, folder, work.part, work.lines, sizes=work.sizes, separator=work.separator)
        if earlier is not None:
            work.keep(earlier)

    async def _process(self, attempt: _Part, work: Work) -> Outcome:
        started, clock = self._utc_now(), now()
        if work.earlier is None and await self._early_stop.is_stopped(attempt, work.options):
            work.is_untried = True
            return await self._store_all(attempt, work, Calls(no_calls), started)
        # Avoid reference cycles: the part's memory must be freed when this returns.
        asking = PartCalls(self._endpoint, self._ratio, attempt, work, self._needed_ms)
        folder = keys.folder_of_part(attempt.identity.name)
        calls = Calls(
            asking.answers,
            self._sleep,
            ENOUGH_ANSWERED,
            min(MAX_REFUSED, enough_refused(work.options.error_threshold, len(work.lines))),
            patience(attempt),
            lambda: has_answers(self._results, folder),
            lambda: have_given_up(self._results, attempt),
        )
        try:
            await self._call(attempt, work, calls, asking)
        except NothingAnswered as error:
            await give_up(self._results, attempt)
            raise failure_of_part(work.part, error.failure) from None
        except (OutOfTime, BudgetReached, ServiceError) as error:
            # What has been paid for is kept. If nothing has been, the part returns to its queue whole.
            if isinstance(error, OutOfTime) and not calls.made:
                raise Failure.of(ErrorCode.NOT_BEGUN) from None
            last = next(reversed(calls.refused.values()), None)
            if last and not calls.answers and await is_at_fault(self._results, folder, len(calls.refused)):
                await give_up(self._results, attempt)
                raise failure_of_part(work.part, last.failure) from None
            first = _first_open(work, calls)
            if not (first or isinstance(error, OutOfTime)):
                raise
            return await self._continue_later(attempt, work, calls, started, first)
        is_answered = calls.answers or (work.earlier and work.earlier.kept)
        if not work.lines.is_cut and work.part.is_whole and calls.refused and not is_answered:
            raise next(iter(calls.refused.values())).failure
        return await self._store_all(attempt, work, calls, started, clock)

    async def _store_all(
        self, attempt: _Part, work: Work, calls: Calls, started: datetime, clock: float | None = None
    ) -> Outcome:
        """Store the answers of all lines. `clock` is when the calls began, in seconds."""
        if work.lines.is_cut:
            return await self._continue_later(attempt, work, calls, started, len(work.lines))
        latency = timedelta(seconds=now() - clock) if calls.made and clock is not None else None
        await self._put(attempt, work, calls, started, len(work.lines))
        await self._announce(attempt)
        return attempt.ended(Status.SUCCEEDED, latency=latency)

    async def _put(self, attempt: _Part, work: Work, calls: Calls, started: datetime, lines: int) -> None:
        """Store the answers of the first lines, and look whether the file has failed by them."""
        await self._store.put(attempt, work, calls, started, lines)
        if calls.refused:
            await self._early_stop.look(attempt, work)

    async def _call(self, attempt: _Part, work: Work, calls: Calls, asking: PartCalls) -> None:
        """Answer or refuse each record that is sent. Raises what `Calls.run` raises."""
        limit = min(work.options.max_payload * 1024 * 1024, self._settings.max_body_bytes)
        await self._formats.settle(attempt, work, calls, asking, most_bytes=limit)
        if work.answer_format is None:
            return

        def max_bytes() -> int:
            return min(limit, self._ratio.sendable(work.invocation.endpoint_name))

        single = work.options.batch_strategy == "SingleRecord" or not work.answer_format.holds_several
        done = calls.answers.keys() | calls.refused.keys()
        sizes = [0 if index in done else size for index, size in enumerate(work.sizes)]
        await calls.run(payloads(sizes, max_bytes, single=single))

    def _seconds_left(self, attempt: _Part) -> float:
        """How long may be waited before there is no time for a call."""
        return min((attempt.remaining_ms() - self._needed_ms) / 1000, sys.maxsize)

    async def _continue_later(self, attempt: _Part, work: Work, calls: Calls, started: datetime, first: int) -> Outcome:
        """Store the answers of the `first` lines as a part of its own, and send the rest as another part.

        If there are no such lines, the part is halved, or sent again while its format is not found.
        """
        part = work.part
        if not first and work.answer_format is None:
            await self._request_queue.send([body_of(part)])
            return attempt.ended(Status.SUCCEEDED, detail="its first answers are stored, it continues as a new message")
        # Where a part is cut that keeps answers, its place in them must be known.
        places = list(work.earlier.gaps) if work.earlier else range(len(work.lines))
        if not first and len(places) < 2:
            raise Failure.of(ErrorCode.NOT_BEGUN)
        middle = first or places[len(places) // 2]
        at = work.lines.place(middle)
        rest = [replace(part, start=at)]
        if first:
            done = of_part(replace(part, end=at), self._settings, attempt.delivery)
            attempt = replace(attempt, identity=replace(attempt.identity, name=done.name, key=done.key))
            with attempt.reporting():
                await self._put(attempt, work, calls, started, first)
        else:
            rest.insert(0, replace(part, end=at))
        await self._request_queue.send([body_of(one) for one in rest])
        detail = f"{first} lines are answered, the rest continues as a new message"
        return attempt.ended(Status.SUCCEEDED, detail=detail)

    async def _rest_of(self, attempt: _Part) -> _Part:
        """The attempt at what earlier deliveries of the part have not stored; an empty range when nothing is left.

        A delivery that ran out of time stores the lines that it has paid for, and may be killed before it sends the
        rest.
        """
        part, folder = attempt.request, keys.folder_of_part(attempt.identity.name)
        start, before = part.start, -1
        while start != before:  # a listing may end before all that is stored
            names = await self._results.list(folder, start_after=folder + keys.part_position(start))
            start, before = covered_until(of_run(names, part.run), start, part.end), start
        if start == part.start:
            return attempt
        rest = replace(part, start=start)
        identity = of_part(rest, self._settings, attempt.delivery)
        identity = replace(attempt.identity, name=identity.name, key=identity.key)
        return replace(attempt, request=rest, identity=identity)

    async def _announce(self, attempt: _Part) -> None:
        """Send the assembly if this was the last part. Two parts may both be last; one assembly is effective."""
        part, folder = attempt.request, keys.folder_of_part(attempt.identity.name)
        size = part.file.size or 0
        # Usually the next part is missing: a lookup of a few names saves listing them all.
        if part.end < size:
            names = await self._results.list(folder, start_after=folder + keys.part_position(part.end))
            if not begins_at(of_run(names, part.run), part.end):
                return
        if covering_parts(of_run(await self._results.list(folder), part.run), size) is not None:
            await self._assembly_queue.send([body_of(Assembly(part.file, part.run))])


def _first_open(work: Work, calls: Calls) -> int:
    """The index of the first line that must be sent and is neither answered nor refused."""
    done = calls.answers.keys() | calls.refused.keys()
    return next((index for index, size in enumerate(work.sizes) if size and index not in done), 0)
