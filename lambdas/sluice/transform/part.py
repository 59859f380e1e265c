"""One part of a file, from its byte range to its stored answers."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sluice.arrivals import Assembly, TransformPart
from sluice.attempt import Attempt
from sluice.failures import Failure, FailureClass, ServiceError
from sluice.identity import folder_of, of_part
from sluice.message import compact
from sluice.outcome import Outcome, Status
from sluice.ports import Endpoint, Files, Parts, PreconditionFailed, Results, Sender
from sluice.result import ACCEPT, CONTENT_TYPE, ENDPOINT_NAME, IDENTITY, OUT, TRACE_ID, metadata, timestamp
from sluice.settings import Settings
from sluice.storing import patiently
from sluice.transform.bisect import Calls
from sluice.transform.messages import message_of
from sluice.transform.progress import tiling
from sluice.transform.records import (
    RecordError,
    answers_of,
    joined,
    payloads,
)
from sluice.transform.work import Reader, Work, refusal

_MAX_QUOTED = 4096  # bytes of a refused record that its error quotes
_REPLACED = "the file was replaced; its newer version is transformed"


class OutOfTime(Exception):
    """The function has less time left than one more call may take."""


class PartAnswerer:
    """Answers parts: reads the range, calls for its records together, stores an answer for each line.

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
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._files = files
        self._reader = Reader(settings, files)
        self._results = results
        self._parts = parts
        self._requests = requests
        self._needed_ms = needed_ms
        self._assemblies = assemblies
        self._now = now
        self._sleep = sleep

    def answer(self, attempt: Attempt) -> Outcome:
        """Bring a part to its stored answers.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails.
        """
        part = _part(attempt)
        if self._is_done(attempt, part):
            self._announce(attempt, part)
            return attempt.ended(Status.DUPLICATE)
        facts = self._files.facts(part.file.bucket, part.file.key)
        if not part.file.is_version(facts.version):
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        started, clock = self._now(), time.monotonic()
        try:
            work = self._reader.read(attempt, part, facts)
        except PreconditionFailed:
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        calls = Calls(lambda indices: self._call(attempt, work, indices), self._sleep)
        most = min(work.options.max_payload * 1024 * 1024, self._settings.max_body_bytes)
        bodies = [work.sent.get(index, b"") for index in range(len(work.lines))]
        try:
            calls.run(payloads(bodies, most, single=work.options.batch_strategy == "SingleRecord"))
        except (OutOfTime, ServiceError) as error:
            # What is paid for is kept; where nothing is, the part comes back whole.
            if isinstance(error, OutOfTime) and not calls.made:
                raise Failure(FailureClass.TRANSIENT, "NotBegun", "too little of its time was left") from None
            if not (_first_open(work, calls) or isinstance(error, OutOfTime)):
                raise
            return self._go_on_later(attempt, work, calls, started)
        latency = timedelta(seconds=time.monotonic() - clock) if calls.made else None
        self._store(attempt, work, calls, started, len(work.lines))
        self._announce(attempt, part)
        return attempt.ended(Status.SUCCEEDED, latency=latency)

    def overtaken(self, attempt: Attempt) -> Outcome | None:
        """The outcome when a failure of the part counts no more. Raises `ServiceError`."""
        part = _part(attempt)
        if self._is_done(attempt, part):
            return attempt.ended(Status.DUPLICATE, detail="another delivery answered it")
        try:
            newest = self._files.facts(part.file.bucket, part.file.key).version
        except ServiceError:
            return None  # it is gone, or can't be told: the failure stands
        return None if part.file.is_version(newest) else attempt.ended(Status.SUPERSEDED, detail=_REPLACED)

    def _go_on_later(self, attempt: Attempt, work: Work, calls: Calls, started: datetime) -> Outcome:
        """Store what is answered as a part of its own, and send the rest as another; halve it where nothing is."""
        part = work.part
        first = _first_open(work, calls)
        middle = first or (len(work.lines) // 2)
        at = work.begins[middle]
        rest = [replace(part, start=at)]
        if first:
            done = of_part(replace(part, end=at), self._settings, attempt.delivery)
            attempt.identity = replace(attempt.identity, name=done.name, key=done.key)
            self._store(attempt, work, calls, started, first)
        else:
            rest.insert(0, replace(part, end=at))
        self._requests.send([message_of(one) for one in rest])
        return attempt.ended(Status.SUCCEEDED, detail=f"{first} lines are answered, the rest goes on by itself")

    def _call(self, attempt: Attempt, work: Work, indices: Sequence[int]) -> list[bytes]:
        if attempt.remaining_ms() < self._needed_ms:
            raise OutOfTime
        request = work.request
        if work.options.split_type == "None":
            return [self._endpoint.invoke(request.endpoint_name, work.sent[0], request.parameters).body]
        body = b"\n".join(work.sent[index] for index in indices) + b"\n"
        inference = self._endpoint.invoke(request.endpoint_name, body, request.parameters)
        return answers_of(inference.body, inference.content_type, len(indices))

    def _store(self, attempt: Attempt, work: Work, calls: Calls, started: datetime, count: int) -> None:
        """Write the answers of the first `count` lines, after their errors."""
        refused = {index: one for index, one in {**work.refused, **calls.refused}.items() if index < count}
        answers: list[bytes] = []
        for index, line in enumerate(work.lines[:count]):
            answer = b""
            if index in calls.answers:
                try:
                    answer = joined(line, calls.answers[index], work.options, work.codec)
                except RecordError as error:
                    refused[index] = refusal("AnswerNotJoined", str(error))
            answers.append(answer)
        name = attempt.identity.name
        facts = {
            "records": str(count),
            "failed": str(len(refused)),
            "calls": str(calls.made),
            "started": timestamp(started),
            "finished": timestamp(self._now()),
        }
        asked: dict[str, str | None] = {
            TRACE_ID: work.request.trace_id,
            ENDPOINT_NAME: work.request.endpoint_name,
            CONTENT_TYPE: work.request.parameters["ContentType"],
            ACCEPT: work.request.parameters.get("Accept"),
        }
        document = b"".join(
            _error(index, work.lines[index], refused[index].failure, work.request.trace_id) for index in sorted(refused)
        )
        if document:
            # Its own name for each content, so that the errors are those of the answers that were first. Only what
            # comes after the part's: the whole of it can be longer than metadata, and is encoded there.
            facts["errors"] = f".errors.{hashlib.sha256(document).hexdigest()[:16]}.jsonl"
        separator = b"\n" if work.options.assemble_with == work.options.split_type == "Line" else b""

        def put() -> None:
            if document:
                self._results.put_error(name + facts["errors"], document)
            # Whoever is first has written it for all.
            with suppress(PreconditionFailed):
                self._results.put(
                    name + OUT,
                    b"".join(answer + separator for answer in answers),
                    content_type=work.request.parameters.get("Accept") or work.codec.content_type,
                    metadata=metadata([(IDENTITY, attempt.identity.key), *facts.items(), *asked.items()]),
                    replaces=None,
                )

        patiently(put, self._sleep)

    def _is_done(self, attempt: Attempt, part: TransformPart) -> bool:
        """Whether the part is stored, by itself or as several that an earlier delivery made of it."""
        names = self._parts.names_from(folder_of(attempt.identity), f"{part.start:015d}")
        return tiling(names, part.end, part.start) is not None

    def _announce(self, attempt: Attempt, part: TransformPart) -> None:
        """Have the file assembled when this was the last part. Two that are last both say so; one is heard."""
        if tiling(self._parts.names(folder_of(attempt.identity)), part.file.size or 0) is not None:
            self._assemblies.send([message_of(Assembly(part.file))])


def _part(attempt: Attempt) -> TransformPart:
    part = attempt.request
    if not isinstance(part, TransformPart):
        raise TypeError(f"{type(part).__name__} is no part of a file")
    return part


def _first_open(work: Work, calls: Calls) -> int:
    """The index of the first line that is to be sent and is neither answered nor refused."""
    return next((index for index in sorted(work.sent) if index not in calls.answers and index not in calls.refused), 0)


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
