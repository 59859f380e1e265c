"""One part of a file, from its byte range to its stored answers."""

import hashlib
import io
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sluice.failures import Failure, FailureClass, ServiceError
from sluice.inputs.identity import folder_of, of_part
from sluice.inputs.internal_messages import body_of
from sluice.inputs.message import compact
from sluice.inputs.requests import Assembly, TransformPart
from sluice.ports import Endpoint, Files, Parts, PreconditionFailed, Results, Sender
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import ACCEPT, CONTENT_TYPE, ENDPOINT_NAME, IDENTITY, OUT, TRACE_ID, metadata, timestamp
from sluice.processing.storing import retry_transient
from sluice.settings import Settings
from sluice.transform.bisect import BudgetReached, Calls
from sluice.transform.memory import ENOUGH_ANSWERED, Memory, MemoryExhausted, ResponseSizeRatio
from sluice.transform.progress import begins_at, covering_parts
from sluice.transform.records import (
    RecordError,
    answers_of,
    joined,
    payloads,
)
from sluice.transform.work import MAX_REFUSED, Reader, Work, refusal

_MAX_QUOTED = 4096  # bytes of a refused record that its error quotes
_REPLACED = "the file was replaced; its newer version is transformed"


class OutOfTime(Exception):
    """The function has less time left than one more call may take."""


class PartHandler:
    """RequestHandler parts: reads the range, calls for its records together, stores an answer for each line.

    A call takes at most `needed_ms`, the storing of its answers included: with less left, none is begun.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        files: Files,
        *,
        results: Results,
        parts: Parts,
        requests: Sender,
        assemblies: Sender,
        needed_ms: float,
        memory: Memory,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._files = files
        self._answered = ResponseSizeRatio()
        self._reader = Reader(settings, files, self._answered)
        self._results = results
        self._parts = parts
        self._requests = requests
        self._needed_ms = needed_ms
        self._memory = memory
        self._assemblies = assemblies
        self._now = now
        self._sleep = sleep
        # What JSON becomes takes many times its size, and Python reads one at a time anyhow.
        self._reading_answer = threading.Lock()

    def handle(self, attempt: Attempt) -> Outcome:
        """Bring a part to its stored answers.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails.
        """
        part = _part(attempt)
        if self._is_done(attempt, part):
            self._announce(attempt, part)
            return attempt.ended(Status.DUPLICATE)
        head = self._files.head(part.file.bucket, part.file.key)
        if not part.file.is_version(head.version):
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        try:
            with self._memory.reserve(lambda: self._seconds_left(attempt)) as reservation:
                work = self._reader.read(attempt, part, head, reservation)
                return self._answer(attempt, work)
        except PreconditionFailed:
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        except MemoryExhausted:
            # As a new message: it isn't the part's fault, and must not cost it one of its receives.
            self._requests.send([body_of(part)])
            return attempt.ended(Status.SUCCEEDED, detail="others took the function's memory; it goes on by itself")

    def already_resolved(self, attempt: Attempt) -> Outcome | None:
        """The outcome when a failure of the part counts no more. Raises `ServiceError`."""
        part = _part(attempt)
        if self._is_done(attempt, part):
            return attempt.ended(Status.DUPLICATE, detail="another delivery answered it")
        try:
            newest = self._files.head(part.file.bucket, part.file.key).version
        except ServiceError:
            return None  # it is gone, or can't be told: the failure stands
        return None if part.file.is_version(newest) else attempt.ended(Status.SUPERSEDED, detail=_REPLACED)

    def _answer(self, attempt: Attempt, work: Work) -> Outcome:
        started, clock = self._now(), time.monotonic()
        # Nothing here may refer to itself by a detour: what a part has in memory must be gone when it ends.
        calls = Calls(lambda indices: self._call(attempt, work, indices), self._sleep, ENOUGH_ANSWERED, MAX_REFUSED)
        limit = min(work.options.max_payload * 1024 * 1024, self._settings.max_body_bytes)

        def most() -> int:
            return min(limit, self._answered.sendable(work.invocation.endpoint_name))

        try:
            calls.run(payloads(work.sizes, most, single=work.options.batch_strategy == "SingleRecord"))
        except (OutOfTime, BudgetReached, ServiceError) as error:
            # What is paid for is kept; where nothing is, the part comes back whole.
            if isinstance(error, OutOfTime) and not calls.made:
                raise Failure(FailureClass.TRANSIENT, "NotBegun", "too little of its time was left") from None
            first = _first_open(work, calls)
            if not (first or isinstance(error, OutOfTime)):
                raise
            return self._go_on_later(attempt, work, calls, started, first)
        if work.lines.is_cut:
            return self._go_on_later(attempt, work, calls, started, len(work.lines))
        latency = timedelta(seconds=time.monotonic() - clock) if calls.made else None
        self._store(attempt, work, calls, started, len(work.lines))
        self._announce(attempt, work.part)
        return attempt.ended(Status.SUCCEEDED, latency=latency)

    def _seconds_left(self, attempt: Attempt) -> float:
        """How long may be waited before there is no time for a call."""
        return min((attempt.remaining_ms() - self._needed_ms) / 1000, threading.TIMEOUT_MAX)

    def _go_on_later(self, attempt: Attempt, work: Work, calls: Calls, started: datetime, first: int) -> Outcome:
        """Store the answers of the first lines as a part of its own, and send the rest as another.

        Where there are no first ones, it is halved.
        """
        part = work.part
        middle = first or (len(work.lines) // 2)
        at = work.lines.place(middle)
        rest = [replace(part, start=at)]
        if first:
            done = of_part(replace(part, end=at), self._settings, attempt.delivery)
            attempt.identity = replace(attempt.identity, name=done.name, key=done.key)
            self._store(attempt, work, calls, started, first)
        else:
            rest.insert(0, replace(part, end=at))
        self._requests.send([body_of(one) for one in rest])
        return attempt.ended(Status.SUCCEEDED, detail=f"{first} lines are answered, the rest goes on by itself")

    def _call(self, attempt: Attempt, work: Work, indices: Sequence[int]) -> list[bytes]:
        if attempt.remaining_ms() < self._needed_ms:
            raise OutOfTime
        request = work.invocation
        if work.options.split_type == "None":
            return [self._endpoint.invoke(request.endpoint_name, work.sent(0), request.parameters).body]
        body = io.BytesIO()
        for index in indices:
            body.write(work.sent(index))
            body.write(b"\n")
        inference = self._endpoint.invoke(request.endpoint_name, body.getvalue(), request.parameters)
        self._answered.learn(request.endpoint_name, body.tell(), len(inference.body))
        with self._reading_answer:
            return answers_of(inference.body, inference.content_type, len(indices))

    def _store(self, attempt: Attempt, work: Work, calls: Calls, started: datetime, count: int) -> None:
        """Write the answers of the first `count` lines, after their errors."""
        separator = b"\n" if work.options.assemble_with == work.options.split_type == "Line" else b""
        answers, errors, failed = io.BytesIO(), io.BytesIO(), 0
        for index in range(count):
            refused = work.refused.get(index) or calls.refused.get(index)
            if index in calls.answers:
                try:
                    answers.write(joined(work.lines[index], calls.answers[index], work.options, work.codec))
                except RecordError as error:
                    refused = refusal("AnswerNotJoined", str(error))
            if refused is not None:
                failed += 1
                errors.write(_error(index, work.lines[index], refused.failure, work.invocation.trace_id))
            answers.write(separator)
        name = attempt.identity.name
        facts = {
            "records": str(count),
            "failed": str(failed),
            "calls": str(calls.made),
            "started": timestamp(started),
            "finished": timestamp(self._now()),
        }
        asked: dict[str, str | None] = {
            TRACE_ID: work.invocation.trace_id,
            ENDPOINT_NAME: work.invocation.endpoint_name,
            CONTENT_TYPE: work.invocation.parameters["ContentType"],
            ACCEPT: work.invocation.parameters.get("Accept"),
        }
        document = errors.getvalue()
        if document:
            # Its own name for each content, so that the errors are those of the answers that were first. Only what
            # comes after the part's: the whole of it can be longer than metadata, and is encoded there.
            facts["errors"] = f".errors.{hashlib.sha256(document).hexdigest()[:16]}.jsonl"

        def put() -> None:
            if document:
                self._results.put_error(name + facts["errors"], document)
            # Whoever is first has written it for all.
            with suppress(PreconditionFailed):
                self._results.put(
                    name + OUT,
                    answers.getvalue(),
                    content_type=work.invocation.parameters.get("Accept") or work.codec.content_type,
                    metadata=metadata([(IDENTITY, attempt.identity.key), *facts.items(), *asked.items()]),
                    replaces=None,
                )

        retry_transient(put, self._sleep)

    def _is_done(self, attempt: Attempt, part: TransformPart) -> bool:
        """Whether the part is stored, by itself or as several that an earlier delivery made of it."""
        names = self._parts.names_from(folder_of(attempt.identity), f"{part.start:015d}")
        return covering_parts(names, part.end, part.start) is not None

    def _announce(self, attempt: Attempt, part: TransformPart) -> None:
        """Have the file assembled when this was the last part. Two that are last both say so; one is heard."""
        size, folder = part.file.size or 0, folder_of(attempt.identity)
        # Most often the next isn't there: a look at a few names spares one at all of them.
        if part.end < size and not begins_at(self._parts.names_from(folder, f"{part.end:015d}"), part.end):
            return
        if covering_parts(self._parts.names(folder), size) is not None:
            self._assemblies.send([body_of(Assembly(part.file))])


def _part(attempt: Attempt) -> TransformPart:
    part = attempt.request
    if not isinstance(part, TransformPart):
        raise TypeError(f"{type(part).__name__} is no part of a file")
    return part


def _first_open(work: Work, calls: Calls) -> int:
    """The index of the first line that is to be sent and is neither answered nor refused."""
    done = calls.answers.keys() | calls.refused.keys()
    return next((index for index, size in enumerate(work.sizes) if size and index not in done), 0)


def _error(index: int, line: bytes, failure: Failure, trace_id: str) -> bytes:
    """One line of the errors, its line number counted from the part's first."""
    quoted = line[:_MAX_QUOTED].decode(errors="replace")
    fields: dict[str, Any] = {
        "Line": index + 1,
        "ErrorCode": failure.code,
        "ErrorMessage": failure.message,
        "OriginalStatusCode": failure.original_status_code,
        "OriginalMessage": failure.original_message,
        "TraceId": trace_id,
        "Record": quoted if len(line) <= _MAX_QUOTED else quoted + "…",
    }
    kept = {name: value for name, value in fields.items() if value is not None}
    return compact(kept).encode() + b"\n"
