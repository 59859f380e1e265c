"""One part of a dataset, from its byte range to its stored answers."""

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sluice import keys
from sluice.concurrency import Semaphore, now, sleep
from sluice.error_codes import ErrorCode
from sluice.failures import Failure, ServiceError
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, TransformPart
from sluice.inputs.target import Target
from sluice.ports import Bucket, Buckets, Endpoint, MessageSender
from sluice.processing.attempt import Attempt
from sluice.processing.concurrency_limit import ConcurrencyLimits
from sluice.processing.memory import Memory, MemoryExhausted
from sluice.processing.outcome import Outcome, Status
from sluice.processing.storing import Sleep
from sluice.settings import Settings
from sluice.timeouts import BEGIN_SECONDS
from sluice.transform.bisect import BudgetReached, Calls, NothingAnswered
from sluice.transform.continuing import Continuation, Run, at_range
from sluice.transform.cost import CallCosts
from sluice.transform.division import Division, gaps, runs
from sluice.transform.earlier import load
from sluice.transform.early_stop import EarlyStop, enough_refused
from sluice.transform.formats import Formats
from sluice.transform.last_receive import LastReceive
from sluice.transform.left import look
from sluice.transform.memory import ENOUGH_ANSWERED, AnswerMemory
from sluice.transform.onward import Onward
from sluice.transform.part_calls import OutOfTime, PartCalls
from sluice.transform.part_store import PartStore
from sluice.transform.patience import failure_of_part, give_up, has_answers, have_given_up, is_at_fault, patience
from sluice.transform.progress import begins_at, counted, covering_parts, of_run, stored_within
from sluice.transform.replaced import Deleted, Replaced, head_of_file
from sluice.transform.sending import Sending
from sluice.transform.side_by_side import SideBySide
from sluice.transform.trust import FormatRefuted
from sluice.transform.version_check import VersionCheck
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
        self._onward = Onward(part_queue)
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
        self._continuation = Continuation(settings, self._onward, self._store, self._early_stop, self._announce)
        self._formats = Formats(results, sleep)

    async def handle(self, attempt: _Part) -> Outcome:
        """Bring a part to its stored answers.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails, either of them as the cause of
        `AttemptFailed`.
        """
        self._under_way += 1
        try:
            while not isinstance(ended := await self._handle(attempt), Outcome):
                attempt = ended
            return ended
        finally:
            self._under_way -= 1

    async def _handle(self, attempt: _Part) -> Outcome | _Part:
        """Process what is left of a part, or some of it. Returns the attempt at the rest if it goes on with that."""
        attempt, names = await self._look(attempt)
        part = attempt.request
        if part.start == part.end:
            await self._announce(attempt)
            return attempt.ended(Status.DUPLICATE)
        bucket = self._inputs(part.file.bucket)
        head = await head_of_file(bucket, part.file.key)
        version = VersionCheck(bucket, part.file)
        if not part.file.is_version(head):
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        prepared = self._reader.prepare(attempt, head, self._utc_now())
        attempt = prepared.attempt
        with attempt.reporting():
            try:
                async with self._memory.reserve(lambda: self._seconds_left(attempt)) as reservation:
                    work, memory = await self._reader.read(prepared, head, reservation)
                    if stored := stored_within(names, work.part):
                        left = [work.part_of(lines, and_rest=True) for lines in gaps(work, stored)]
                        if left != [work.part]:
                            return await self._without_stored(attempt, left)
                    await self._keep_earlier(attempt, work, memory)
                    unsure: list[TransformPart] = []
                    ended = await self._process(attempt, work, memory, version, unsure)
                    return await self._give_again(attempt, ended, unsure)
            except Replaced:
                return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
            except MemoryExhausted:
                # As a new message: the part is not at fault, and must not lose one of its receives.
                await self._onward.send_whole(part)
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
            newest = await head_of_file(self._inputs(file.bucket), file.key)
        except (Deleted, ServiceError):
            return None  # The file is gone, or its version is unknown: the failure remains.
        return None if file.is_version(newest) else attempt.ended(Status.SUPERSEDED, detail=_REPLACED)

    async def _keep_earlier(self, attempt: _Part, work: Work, memory: AnswerMemory) -> None:
        """For a retry, keep the answers that the part has. Raises `MemoryExhausted` and `ServiceError`."""
        if work.part.earlier is None:
            work.calls_before = await self._store.calls_before(attempt)
            return
        folder = keys.folder_of_part(attempt.identity.name)
        earlier = await load(self._results, folder, work.part, work.lines, sizes=work.sizes, separator=work.separator)
        if earlier is None:
            work.part = replace(work.part, earlier=None)
            return
        await memory.admit(earlier.size)
        work.keep(earlier)

    async def _process(
        self, attempt: _Part, work: Work, memory: AnswerMemory, version: VersionCheck, unsure: list[TransformPart]
    ) -> Outcome | _Part:
        """Answer the lines of a part, and store them. `unsure` gets the parts that may or may not have been sent."""
        started, clock = self._utc_now(), now()
        may_be_untried = _may_be_untried(attempt.request)
        work.is_untried = may_be_untried and await self._early_stop.is_stopped(attempt, work.options)
        # Avoid reference cycles: the part's memory must be freed when this returns.
        asking = PartCalls(
            self._endpoint,
            self._slots,
            self._costs,
            attempt=attempt,
            work=work,
            memory=memory,
            version=version,
            needed_ms=self._needed_ms,
        )
        folder = keys.folder_of_part(attempt.identity.name)
        last: LastReceive | None = None
        if self._is_last_receive(attempt) and not (work.part.run and work.part.run.retries):
            # A retry has a result already, whose answers say nothing about how the endpoint is now.
            last = LastReceive(asking.answers, self._sleep)
        limit = self._limits.of(Target(work.invocation.endpoint_name))
        tries = await patience(self._results, attempt)
        calls = Calls(
            last.answers if last else asking.answers,
            SideBySide(self._share, limit, self._rng),
            ENOUGH_ANSWERED,
            min(MAX_REFUSED, enough_refused(work.options.error_threshold, len(work.lines))),
            tries.most,
            lambda: has_answers(self._results, folder),
            lambda: have_given_up(self._results, attempt),
        )
        sending = Sending(
            work,
            calls,
            self._costs,
            memory=memory,
            division=self._division,
            give=partial(self._give, work.part, unsure),
            patience=tries,
            most_bytes=self._limit(work),
        )
        run = Run(work, calls, sending, started)
        try:
            if not work.is_untried:
                await self._call(attempt, work, calls, asking, sending, last=last)
        except NothingAnswered as error:
            await self._give_up(attempt, work, error.failure)
        except (OutOfTime, BudgetReached, Deleted, ServiceError) as error:
            # What has been paid for is kept. If nothing has been, the part returns to its queue whole.
            if isinstance(error, OutOfTime) and not calls.made:
                raise Failure.of(ErrorCode.NOT_BEGUN) from None
            refused = None if isinstance(error, Deleted) else next(reversed(calls.refused.values()), None)
            if refused and not calls.answers and await is_at_fault(self._results, folder, len(calls.refused)):
                await self._give_up(attempt, work, refused.failure)
            done, rest = runs(work, calls)
            if not (done or isinstance(error, OutOfTime)):
                raise
            if rest:  # else only what was to follow the last call has failed
                may_stay = isinstance(error, BudgetReached) and self._may_stay(attempt)
                return await self._continuation.later(attempt, run, done, rest, may_stay=may_stay)
        if work.lines.is_cut or work.lines.is_crossing:
            may_stay = self._may_stay(attempt)
            return await self._continuation.later(attempt, run, *runs(work, calls), may_stay=may_stay)
        latency = timedelta(seconds=now() - clock) if calls.made else None
        attempt = at_range(attempt, work.part, self._settings)
        await self._store.put(attempt, work, calls, started, lines=range(len(work.lines)), made=calls.made)
        if calls.refused:
            await self._early_stop.look(attempt, work)
        await self._announce(attempt)
        return attempt.ended(Status.SUCCEEDED, latency=latency)

    async def _give_up(self, attempt: _Part, work: Work, failure: Failure) -> None:
        """Stop a part that has found no answer. If it is all of the file, what was tried decides on the file.

        Raises `Failure` if another part may still be answered, and `ServiceError`.
        """
        await give_up(self._results, attempt)
        if not work.part.is_whole:
            raise failure_of_part(failure) from None
        work.give_up()

    async def _call(
        self,
        attempt: _Part,
        work: Work,
        calls: Calls,
        asking: PartCalls,
        sending: Sending,
        *,
        last: LastReceive | None,
    ) -> None:
        """Answer or refuse each record that is sent. Raises what `Calls.run` raises."""
        probe = sending.probe = await self._formats.probe(
            attempt, work, calls, asking, patience=sending.patience, most_bytes=self._limit(work)
        )
        try:
            await self._run(attempt, work, calls, asking, sending)
        except NothingAnswered:
            if last is None or not last.has_refused:
                raise
        except (OutOfTime, ServiceError) as error:
            if probe is not None and work.answer_format is None:
                out_of_time = isinstance(error, OutOfTime)
                await self._formats.interrupted(attempt, work, calls, probe, out_of_time=out_of_time)
            raise
        finally:
            refusal = None if last is None else await last.check(calls, sum(map(bool, work.sizes)))
        if refusal is not None:
            raise refusal

    async def _run(self, attempt: _Part, work: Work, calls: Calls, asking: PartCalls, sending: Sending) -> None:
        """Run the calls, and once more without groups if the format of their answers is refuted."""
        calls.trust = trust = self._formats.trust(attempt, work, asking)
        try:
            await calls.run_source(sending)
        except (FormatRefuted, BudgetReached, NothingAnswered, OutOfTime, Deleted, ServiceError):
            if not trust.is_refuted:
                raise
            await self._formats.refuted(attempt, work, calls, asking)
            sending.restart()
            await calls.run_source(sending)

    def _limit(self, work: Work) -> int:
        """The most bytes of a call, besides the header."""
        return min(work.options.max_payload * 1024 * 1024, self._settings.max_body_bytes) - len(work.header)

    def _share(self) -> int:
        """How many calls one of the parts that the function processes now may have under way."""
        return max(1, self._settings.concurrent_calls // self._under_way)

    def _may_stay(self, attempt: _Part) -> bool:
        """Whether a delivery that has stored some of a part goes on with the rest, instead of sending it.

        Not at its last receive: what is stored is progress, after which the rest gets all of its receives.
        """
        return not self._is_last_receive(attempt) and self._seconds_left(attempt) > BEGIN_SECONDS

    def _is_last_receive(self, attempt: _Part) -> bool:
        return attempt.delivery.receive_count >= self._settings.max_receive_count

    async def _give(self, part: TransformPart, unsure: list[TransformPart], parts: list[TransformPart]) -> None:
        """Send some of a part for other functions. If that fails, some may have been sent: they are `unsure`."""
        try:
            await self._onward.send(part, parts)
        except ServiceError:
            unsure += parts

    async def _give_again(self, attempt: _Part, ended: Outcome | _Part, unsure: list[TransformPart]) -> Outcome | _Part:
        """Send parts again that are not stored yet: those that had been sent usually are.

        Returns how the part has `ended` otherwise, or the attempt at all that is left if they cannot be sent.
        """
        left = []
        for part in unsure:
            rest = await self._rest_of(at_range(attempt, part, self._settings))
            if rest.request.start < rest.request.end:
                left.append(part)
        if not left:
            return ended
        try:
            await self._onward.send(attempt.request, left)
        except ServiceError:  # They follow what the part has kept, and each other.
            start = left[0].start if isinstance(ended, Outcome) else ended.request.start
            return at_range(attempt, replace(left[0], start=start, end=left[-1].end), self._settings)
        return ended

    async def _without_stored(self, attempt: _Part, left: list[TransformPart]) -> Outcome | _Part:
        """Go on with what is left of a part of which some lines are stored, or send it as several shorter parts.

        Other deliveries have stored them: an earlier one that ended between storing and its acknowledgement, or the
        functions that it gave lines to.
        """
        if len(left) == 1:
            return at_range(attempt, left[0], self._settings)
        await self._onward.send(attempt.request, left)
        detail = f"some of its lines are stored, the rest continues as {len(left)} new messages"
        return attempt.ended(Status.SUCCEEDED, detail=detail)

    def _seconds_left(self, attempt: _Part) -> float:
        """How long may be waited before there is no time for a call."""
        return min((attempt.remaining_ms() - self._needed_ms) / 1000, sys.maxsize)

    async def _rest_of(self, attempt: _Part) -> _Part:
        """The attempt at what earlier deliveries of the part have not stored; an empty range when nothing is left.

        A delivery that ran out of time stores the lines that it has paid for, and may be killed before it sends the
        rest.
        """
        return (await self._look(attempt))[0]

    async def _look(self, attempt: _Part) -> tuple[_Part, list[str]]:
        """As `_rest_of`, with the names of what is stored within the rest."""
        run = await self._formats.current(attempt)
        if run != attempt.request.run:
            earlier = attempt.request.earlier
            if run is not None and run.alone and earlier is not None and not keys.is_alone(earlier):
                earlier = None
            attempt = at_range(attempt, replace(attempt.request, run=run, earlier=earlier), self._settings)
        part = attempt.request
        rest, names = await look(self._results, keys.folder_of_part(attempt.identity.name), part)
        return (attempt if rest.start == part.start else at_range(attempt, rest, self._settings)), names

    async def _announce(self, attempt: _Part) -> None:
        """Send the assembly if this was the last part. Two parts may both be last; one assembly is effective."""
        part, folder = attempt.request, keys.folder_of_part(attempt.identity.name)
        size = part.file.size or 0
        # Usually the next part is missing: a lookup of a few names saves listing them all.
        if part.end < size:
            names = await self._results.list(folder, start_after=folder + keys.part_position(part.end))
            if not begins_at(counted(names, part.run), part.end):
                return
        names = await self._results.list(folder)
        if covering_parts(of_run(names, part.run), size) is not None:
            await self._assembly_queue.send([body_of(Assembly(part.file, part.run))])
        else:
            await self._formats.send_again(attempt, names, self._onward.send_again)


def _may_be_untried(part: TransformPart) -> bool:
    """Whether a part may be stored without calls when its file is stopped.

    Not that of a retry of a file with a result, which can only answer more of the records; nor one that has dropped its
    earlier answers, because the format of the file was refuted.
    """
    has_dropped_earlier = part.run is not None and part.run.retries and part.run.alone
    return part.earlier is None and not has_dropped_earlier
