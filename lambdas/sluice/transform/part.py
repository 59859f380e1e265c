"""One part of a dataset, from its byte range to its stored answers."""

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sluice import keys
from sluice.concurrency import Semaphore, now, sleep
from sluice.error_codes import ErrorCode
from sluice.failures import Failure, ServiceError
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, TransformPart
from sluice.inputs.target import Target
from sluice.ports import Bucket, Buckets, Endpoint, MessageSender, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.concurrency_limit import ConcurrencyLimits
from sluice.processing.memory import Memory, MemoryExhausted
from sluice.processing.outcome import Outcome, Status
from sluice.processing.storing import Sleep
from sluice.settings import Settings
from sluice.transform.bisect import BudgetReached, Calls, NothingAnswered
from sluice.transform.continuing import Continuation, Run, at_range
from sluice.transform.cost import CallCosts
from sluice.transform.division import Division, runs
from sluice.transform.earlier import load
from sluice.transform.early_stop import EarlyStop, enough_refused
from sluice.transform.formats import Formats
from sluice.transform.heads import require_head
from sluice.transform.memory import ENOUGH_ANSWERED, AnswerMemory
from sluice.transform.part_calls import OutOfTime, PartCalls
from sluice.transform.part_store import PartStore
from sluice.transform.patience import failure_of_part, give_up, has_answers, have_given_up, is_at_fault, patience
from sluice.transform.progress import begins_at, covered_until, covering_parts, of_run, rest_after
from sluice.transform.sending import Sending
from sluice.transform.side_by_side import SideBySide
from sluice.transform.trust import FormatRefuted
from sluice.transform.work import MAX_REFUSED, Reader, Work

_REPLACED = "the file was replaced; its newer version is transformed"

_Part = Attempt[TransformPart]


class PartHandler:
    """Processes parts: reads the range, calls for its records together, stores an answer for each line.

    A call and storing its answers take at most `needed_ms`. With less time left, no call is begun. The calls of all
    parts share `slots` with the other calls of the function, which are side by side, too.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        inputs: Buckets,
        results: Bucket,
        *,
        part_queue: MessageSender,
        assembly_queue: MessageSender,
        needed_ms: float,
        memory: Memory,
        slots: Semaphore,
        utc_now: Callable[[], datetime],
        rng: random.Random,
        sleep: Sleep = sleep,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._inputs = inputs
        self._results = results
        self._part_queue = part_queue
        self._assembly_queue = assembly_queue
        self._needed_ms = needed_ms
        self._memory = memory
        self._utc_now = utc_now
        self._sleep = sleep
        self._slots = slots
        self._rng = rng
        self._costs = CallCosts()
        self._limits = ConcurrencyLimits(settings.concurrent_calls)
        self._division = Division(settings.concurrent_functions, settings.concurrent_calls)
        self._under_way = 0  # parts
        self._reader = Reader(settings, inputs, self._costs)
        self._store = PartStore(results, utc_now, sleep)
        self._early_stop = EarlyStop(settings, inputs, results)
        self._continuation = Continuation(settings, part_queue, self._store, self._early_stop, self._announce)
        self._formats = Formats(results, sleep)

    async def handle(self, attempt: _Part) -> Outcome:
        """Bring a part to its stored answers.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails, either of them as the cause of
        `AttemptFailed`.
        """
        self._under_way += 1
        try:
            return await self._handle(attempt)
        finally:
            self._under_way -= 1

    async def _handle(self, attempt: _Part) -> Outcome:
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
                    work, memory = await self._reader.read(prepared, head, reservation)
                    await self._keep_earlier(attempt, work, memory)
                    return await self._process(attempt, work, memory)
            except PreconditionFailed:
                return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
            except MemoryExhausted:
                # As a new message: the part is not at fault, and must not lose one of its receives.
                await self._part_queue.send([body_of(part)])
                return attempt.ended(
                    Status.SUCCEEDED, detail="other parts used the function's memory; it continues as a new message"
                )

    async def already_resolved(self, attempt: _Part) -> Outcome | None:
        """The outcome when the part has been answered, or its dataset replaced. Raises `ServiceError`."""
        rest = await self._rest_of(attempt)
        if rest.request.start == rest.request.end:
            await self._announce(rest)  # the delivery that stored it may have been killed before that
            return attempt.ended(Status.DUPLICATE, detail="another delivery answered it")
        file = attempt.request.file
        try:
            newest = await require_head(self._inputs(file.bucket), file.key)
        except ServiceError:
            return None  # The file is gone, or its version is unknown: the failure remains.
        return None if file.is_version(newest) else attempt.ended(Status.SUPERSEDED, detail=_REPLACED)

    async def _keep_earlier(self, attempt: _Part, work: Work, memory: AnswerMemory) -> None:
        """For a retry, keep the answers that the part has. Raises `MemoryExhausted` and `ServiceError`."""
        if work.part.earlier is None:
            return
        folder = keys.folder_of_part(attempt.identity.name)
        earlier = await load(self._results, folder, work.part, work.lines, sizes=work.sizes, separator=work.separator)
        if earlier is None:
            work.part = replace(work.part, earlier=None)
            return
        await memory.admit(earlier.size)
        work.keep(earlier)

    async def _process(self, attempt: _Part, work: Work, memory: AnswerMemory) -> Outcome:
        started, clock = self._utc_now(), now()
        # A retry of a file with a result has no untried part: it can only answer more of the records.
        work.is_untried = attempt.request.earlier is None and await self._early_stop.is_stopped(attempt, work.options)
        # Avoid reference cycles: the part's memory must be freed when this returns.
        asking = PartCalls(
            self._endpoint,
            self._slots,
            self._costs,
            attempt=attempt,
            work=work,
            memory=memory,
            needed_ms=self._needed_ms,
        )
        folder = keys.folder_of_part(attempt.identity.name)
        limit = self._limits.of(Target(work.invocation.endpoint_name))
        calls = Calls(
            asking.answers,
            SideBySide(self._share, limit, self._rng),
            ENOUGH_ANSWERED,
            min(MAX_REFUSED, enough_refused(work.options.error_threshold, len(work.lines))),
            await patience(self._results, attempt),
            lambda: has_answers(self._results, folder),
            lambda: have_given_up(self._results, attempt),
        )
        sending = Sending(
            work,
            calls,
            self._costs,
            memory=memory,
            division=self._division,
            give=self._give,
            most_bytes=self._limit(work),
        )
        run = Run(work, calls, sending, started)
        try:
            if not work.is_untried:
                await self._call(attempt, work, calls, asking, sending)
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
            done, rest = runs(work, calls)
            if isinstance(error, BudgetReached) and not done:
                raise MemoryExhausted from None  # by an answer that did not come in the end
            if not (done or isinstance(error, OutOfTime)):
                raise
            if rest:  # else only what was to follow the last call has failed
                return await self._continuation.later(attempt, run, done, rest)
        if work.lines.is_cut or work.lines.is_crossing:
            return await self._continuation.later(attempt, run, *runs(work, calls))
        is_answered = calls.answers or (work.earlier and work.earlier.kept)
        if work.part.is_whole and calls.refused and not is_answered and work.batch is None:
            raise next(iter(calls.refused.values())).failure  # A redrive calls again, unlike that of an assembly.
        latency = timedelta(seconds=now() - clock) if calls.made else None
        attempt = at_range(attempt, work.part, self._settings)
        await self._store.put(attempt, work, calls, started, lines=range(len(work.lines)), made=calls.made)
        if calls.refused:
            await self._early_stop.look(attempt, work)
        await self._announce(attempt)
        return attempt.ended(Status.SUCCEEDED, latency=latency)

    async def _call(self, attempt: _Part, work: Work, calls: Calls, asking: PartCalls, sending: Sending) -> None:
        """Answer or refuse each record that is sent. Raises what `Calls.run` raises."""
        limit = self._limit(work)
        probe = sending.probe = await self._formats.probe(attempt, work, calls, asking, most_bytes=limit)
        calls.trust = trust = self._formats.trust(attempt, work, asking)
        try:
            try:
                await calls.run_source(sending)
            except (FormatRefuted, BudgetReached, NothingAnswered, OutOfTime, ServiceError):
                if not trust.is_refuted:
                    raise
                await self._formats.refuted(attempt, work, calls, asking)
                sending.restart()
                await calls.run_source(sending)
        except (OutOfTime, ServiceError) as error:
            if probe is not None and work.answer_format is None:
                out_of_time = isinstance(error, OutOfTime)
                await self._formats.interrupted(attempt, work, calls, probe, out_of_time=out_of_time)
            raise

    def _limit(self, work: Work) -> int:
        """The most bytes of a call, besides the header."""
        return min(work.options.max_payload * 1024 * 1024, self._settings.max_body_bytes) - len(work.header)

    def _share(self) -> int:
        """How many calls one of the parts that the function processes now may have under way."""
        return max(1, self._settings.concurrent_calls // self._under_way)

    async def _give(self, parts: list[TransformPart]) -> bool:
        """Send parts for other functions. Returns whether all of them were sent."""
        try:
            await self._part_queue.send([body_of(part) for part in parts])
        except ServiceError:
            return False  # Those that were sent are answered twice, at worst.
        return True

    def _seconds_left(self, attempt: _Part) -> float:
        """How long may be waited before there is no time for a call."""
        return min((attempt.remaining_ms() - self._needed_ms) / 1000, sys.maxsize)

    async def _rest_of(self, attempt: _Part) -> _Part:
        """The attempt at what earlier deliveries of the part have not stored; an empty range when nothing is left.

        A delivery that ran out of time stores the lines that it has paid for, and may be killed before it sends the
        rest.
        """
        run = await self._formats.current(attempt)
        attempt = at_range(attempt, replace(attempt.request, run=run), self._settings)
        part, folder = attempt.request, keys.folder_of_part(attempt.identity.name)
        rest, before = part, -1
        while rest.start != before:  # a listing may end before all that is stored
            before = rest.start
            names = await self._results.list(folder, start_after=folder + keys.part_position(rest.start))
            rest = rest_after(rest, covered_until(of_run(names, part.run), rest.start, rest.end))
        if rest.start == part.start:
            return attempt
        return at_range(attempt, rest, self._settings)

    async def _announce(self, attempt: _Part) -> None:
        """Send the assembly if this was the last part. Two parts may both be last; one assembly is effective."""
        part, folder = attempt.request, keys.folder_of_part(attempt.identity.name)
        size = part.file.size or 0
        # Usually the next part is missing: a lookup of a few names saves listing them all.
        if part.end < size:
            names = await self._results.list(folder, start_after=folder + keys.part_position(part.end))
            counted = of_run(names, part.run) if part.run and part.run.retries else names
            if not begins_at(counted, part.end):
                return
        names = await self._results.list(folder)
        if covering_parts(of_run(names, part.run), size) is not None:
            await self._assembly_queue.send([body_of(Assembly(part.file, part.run))])
        else:
            await self._formats.send_again(attempt, names, self._send)

    async def _send(self, parts: list[TransformPart]) -> None:
        await self._part_queue.send([body_of(part) for part in parts])
