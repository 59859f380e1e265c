"""One part of a file, from its byte range to its stored answers."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sluice.arrivals import Assembly, TransformPart
from sluice.attempt import Attempt
from sluice.failures import Failure, FailureClass, ServiceError, invalid
from sluice.identity import of_object, of_part, parts_folder
from sluice.outcome import Outcome, Status
from sluice.ports import Endpoint, Files, InputFacts, Parts, PreconditionFailed, Results, Sender
from sluice.request import Request, build, endpoint_of, message_for
from sluice.result import IDENTITY, OUT, metadata
from sluice.settings import Settings
from sluice.transform.bisect import Calls, Refused
from sluice.transform.lines import Lines, lines_of
from sluice.transform.messages import message_of
from sluice.transform.options import Options
from sluice.transform.progress import tiling
from sluice.transform.records import (
    CSV,
    Codec,
    RecordError,
    answers_of,
    check_csv,
    filtered,
    joined,
    payloads,
)

_TAIL = 16 * 1024  # bytes read beyond a range at first, for the end of its last line
_MAX_QUOTED = 4096  # bytes of a refused record that its error quotes
_REPLACED = "the file was replaced; its newer version is transformed"


class OutOfTime(Exception):
    """The function has less time left than one more call may take."""


@dataclass(slots=True)
class _Work:
    """A part's lines: what goes out for each, and which never do."""

    part: TransformPart
    options: Options
    request: Request
    codec: Codec
    lines: list[bytes]
    begins: list[int]
    sent: dict[int, bytes] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)

    def is_header(self, index: int) -> bool:
        """Whether a line only names the columns."""
        return index == 0 == self.part.start and self.options.csv_header and self.codec.base == CSV


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
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._files = files
        self._results = results
        self._parts = parts
        self._requests = requests
        self._needed_ms = needed_ms
        self._assemblies = assemblies
        self._now = now

    def answer(self, attempt: Attempt) -> Outcome:
        """Bring a part to its stored answers.

        Raises `Failure` when a rule is broken, `ServiceError` when AWS fails.
        """
        part = _part(attempt)
        if self._results.head(attempt.identity.name + OUT) is not None:
            self._announce(attempt, part)
            return attempt.ended(Status.DUPLICATE)
        facts = self._files.facts(part.file.bucket, part.file.key)
        if not part.file.is_version(facts.version):
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        started, clock = self._now(), time.monotonic()
        try:
            work = self._read(attempt, part, facts)
        except PreconditionFailed:
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        calls = Calls(lambda indices: self._call(attempt, work, indices))
        most = min(work.options.max_payload * 1024 * 1024, self._settings.max_body_bytes)
        bodies = [work.sent.get(index, b"") for index in range(len(work.lines))]
        try:
            calls.run(payloads(bodies, most, single=work.options.batch_strategy == "SingleRecord"))
        except OutOfTime:
            return self._go_on_later(attempt, work, calls, started)
        latency = timedelta(seconds=time.monotonic() - clock) if calls.made else None
        self._store(attempt, work, calls, started)
        self._announce(attempt, part)
        return attempt.ended(Status.SUCCEEDED, latency=latency)

    def overtaken(self, attempt: Attempt) -> Outcome | None:
        """The outcome when a failure of the part counts no more. Raises `ServiceError`."""
        part = _part(attempt)
        if self._results.head(attempt.identity.name + OUT) is not None:
            return attempt.ended(Status.DUPLICATE, detail="another delivery answered it")
        try:
            newest = self._files.facts(part.file.bucket, part.file.key).version
        except ServiceError:
            return None  # it is gone, or can't be told: the failure stands
        return None if part.file.is_version(newest) else attempt.ended(Status.SUPERSEDED, detail=_REPLACED)

    def _go_on_later(self, attempt: Attempt, work: _Work, calls: Calls, started: datetime) -> Outcome:
        """Store what is answered as a part of its own, and send the rest as another; or halve what took too long."""
        part = work.part
        settled = {*calls.answers, *calls.refused}
        first = next(index for index in sorted(work.sent) if index not in settled)
        middle = first or (len(work.lines) // 2)
        at = work.begins[middle]
        rest = [replace(part, start=at)]
        if first:
            done = replace(part, end=at)
            attempt.identity = replace(
                of_part(done, self._settings, attempt.delivery),
                trace_id=attempt.identity.trace_id,
                inference_id=attempt.identity.inference_id,
            )
            head = replace(work, part=done, lines=work.lines[:first])
            head.refused = {index: one for index, one in work.refused.items() if index < first}
            kept = replace(calls)
            kept.answers = {index: answer for index, answer in calls.answers.items() if index < first}
            kept.refused = {index: one for index, one in calls.refused.items() if index < first}
            self._store(attempt, head, kept, started)
        else:
            rest.insert(0, replace(part, end=at))
        self._requests.send([message_of(one) for one in rest])
        return attempt.ended(Status.SUCCEEDED, detail=f"out of time: {first} lines are answered, the rest goes on")

    def _read(self, attempt: Attempt, part: TransformPart, facts: InputFacts) -> _Work:
        options = Options.from_metadata(facts.metadata)
        message = message_for(part.file, facts.metadata, self._settings)
        attempt.endpoint_name = endpoint_of(message, self._settings)
        trace_id = message.trace_id or message.inference_id or attempt.identity.trace_id
        attempt.identity = replace(attempt.identity, trace_id=trace_id, inference_id=trace_id)
        request = build(
            message, attempt.identity, b"", self._settings, key=part.file.key, object_content_type=facts.content_type
        )
        most = options.max_payload * 1024 * 1024
        found = self._lines(part, facts, most)
        codec = Codec(request.parameters["ContentType"])
        work = _Work(part, options, request, codec, found.records, found.begins)
        for index, line in enumerate(found.records):
            if line and not work.is_header(index):
                self._prepare(work, index, line, min(most, self._settings.max_body_bytes))
        return work

    def _lines(self, part: TransformPart, facts: InputFacts, most: int) -> Lines:
        file, at, size = part.file, max(0, part.start - 1), facts.size
        data, beyond = b"", _TAIL
        while True:
            upto = min(facts.size, part.end + beyond)
            data += self._files.read(file.bucket, file.key, at + len(data), upto, etag=facts.version.etag)
            if len(data) - (part.end - at) > most:
                size = at + len(data)  # A line that no call can carry; what is there tells which it is.
            found = lines_of(data, start=part.start, end=part.end, at=at, size=size)
            if not found.needs_more:
                return found
            beyond *= 4

    def _prepare(self, work: _Work, index: int, line: bytes, most: int) -> None:
        """What goes out for a line, or why nothing does."""
        if work.codec.base == CSV:
            try:
                check_csv(line)
            except RecordError as error:
                # Not this line alone: how the lines after it are to be read isn't known either.
                raise invalid(
                    "file",
                    f"line {index + 1} after byte {work.part.start} {error}; CSV with line breaks in its fields can't "
                    "be split by lines: write it as JSON lines, or without those line breaks",
                ) from None
        try:
            sent = filtered(line, work.options.input_filter, work.codec)
        except RecordError as error:
            work.refused[index] = _refused("InvalidRecord", str(error))
            return
        if len(sent) > most:
            work.refused[index] = _refused("RecordTooLong", f"it is over MaxPayload or max_body_bytes, {most} bytes")
            return
        work.sent[index] = sent

    def _call(self, attempt: Attempt, work: _Work, indices: Sequence[int]) -> list[bytes]:
        if attempt.remaining_ms() < self._needed_ms:
            raise OutOfTime
        body = b"\n".join(work.sent[index] for index in indices) + b"\n"
        request = work.request
        inference = self._endpoint.invoke(request.endpoint_name, body, request.parameters)
        return answers_of(inference.body, inference.content_type, len(indices))

    def _store(self, attempt: Attempt, work: _Work, calls: Calls, started: datetime) -> None:
        """Write the part's answers, after its errors. Whoever is first has written it for all."""
        refused = {**work.refused, **calls.refused}
        answers: list[bytes] = []
        for index, line in enumerate(work.lines):
            answer = b""
            if index in calls.answers:
                try:
                    answer = joined(line, calls.answers[index], work.options, work.codec)
                except RecordError as error:
                    refused[index] = _refused("AnswerNotJoined", str(error))
            answers.append(answer)
        name = attempt.identity.name
        facts: dict[str, str | None] = {
            "records": str(len(work.lines)),
            "failed": str(len(refused)),
            "calls": str(calls.made),
            "started": started.isoformat(timespec="milliseconds"),
            "finished": self._now().isoformat(timespec="milliseconds"),
        }
        if refused:
            document = b"".join(
                _error(index, work.lines[index], refused[index].failure, work.request.trace_id)
                for index in sorted(refused)
            )
            # Its own name for each content, so that the errors are those of the answers that were first.
            facts["errors"] = f"{name}.errors.{hashlib.sha256(document).hexdigest()[:16]}.jsonl"
            self._results.put_error(facts["errors"] or "", document)
        separator = b"\n" if work.options.assemble_with == "Line" else b""
        try:
            self._results.put(
                name + OUT,
                b"".join(answer + separator for answer in answers),
                content_type=work.request.parameters.get("Accept") or work.codec.content_type,
                metadata=metadata([(IDENTITY, attempt.identity.key), *facts.items()]),
                replaces=None,
            )
        except PreconditionFailed:
            return

    def _announce(self, attempt: Attempt, part: TransformPart) -> None:
        """Have the file assembled when this was the last part. Two that are last both say so; one is heard."""
        file = of_object(part.file, self._settings, attempt.delivery)
        if tiling(self._parts.names(parts_folder(file)), part.file.size or 0) is not None:
            self._assemblies.send([message_of(Assembly(part.file))])


def _part(attempt: Attempt) -> TransformPart:
    part = attempt.request
    if not isinstance(part, TransformPart):
        raise TypeError(f"{type(part).__name__} is no part of a file")
    return part


def _refused(code: str, message: str) -> Refused:
    return Refused(Failure(FailureClass.INVALID, code, message))


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
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
