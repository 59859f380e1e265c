"""Stores the answers of a part: one line for each line of the dataset, and a document of the refused records."""

import hashlib
import io
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.requests import TransformPart
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Bucket
from sluice.processing.attempt import Attempt
from sluice.processing.result import ACCEPT, CONTENT_TYPE, ENDPOINT_NAME, IDENTITY, TRACE_ID, metadata, timestamp
from sluice.processing.storing import Sleep, retry_transient, write_once
from sluice.transform.bisect import Calls, Refused
from sluice.transform.content_types import JSON_LINES
from sluice.transform.earlier import AT, OFFSET
from sluice.transform.openai_batch import RequestError
from sluice.transform.progress import count
from sluice.transform.records import RecordError, joined
from sluice.transform.result_type import type_of_result
from sluice.transform.work import Work

ANSWER_FORMAT = "answer-format"
ERROR_THRESHOLD = "error-threshold"
UNCERTAIN = "uncertain"  # failed records that may be no records of the file, unless the parts before it reach it
NOT_CLOSED = "not-closed"  # the byte of a quoted field after which it is not known where records begin
RECORD_FORMAT = "record-format"
GIVEN_UP = "given-up"  # whether the part is all of a file that was stopped because nothing was answered
_MAX_QUOTED = 4096  # bytes of a refused record that its error quotes


class PartStore:
    """Stores parts in the results bucket."""

    def __init__(self, results: Bucket, now: Callable[[], datetime], sleep: Sleep) -> None:
        self._results = results
        self._now = now
        self._sleep = sleep

    async def calls_before(self, attempt: Attempt[TransformPart]) -> int:
        """How many calls the earlier runs of a file of one part made that found no answer. Raises `ServiceError`."""
        part = attempt.request
        if not part.is_whole or part.run is None or not part.run.retries:
            return 0
        stored = keys.stored_parts(await self._results.list(keys.folder_of_part(attempt.identity.name)))
        names = [name for start, end, name in stored if (start, end) == (part.start, part.end)]
        head = await self._results.head(max(names, key=keys.run_of_part)) if names else None
        return count(head.metadata, "calls") if head and GIVEN_UP in head.metadata else 0

    async def put(
        self, attempt: Attempt[TransformPart], work: Work, calls: Calls, started: datetime, *, lines: range, made: int
    ) -> None:
        """Write the answers of some lines, after their errors. `made` are the calls for them. Raises `ServiceError`.

        A retry's lines must begin and end at `work.places`, or where all of them do.
        """
        earlier = work.earlier
        answers, document, failed = _contents(work, calls, lines)
        kept = earlier.kept if earlier else frozenset[int]()
        not_sent = sum(not work.sizes[index] and index not in work.refused and index not in kept for index in lines)
        name = attempt.identity.name
        counts = {
            "records": str(len(lines)),
            "failed": str(failed),
            "not-sent": str(not_sent),
            "calls": str(made + (0 if lines.start else earlier.calls if earlier else work.calls_before)),
            "started": timestamp(started) if earlier is None else earlier.started,
            "finished": timestamp(self._now()),
        }
        if work.is_untried:
            counts |= {"untried": str(len(lines) - not_sent - failed), "errors": keys.untried_errors()}
        requested: dict[str, str | None] = {
            TRACE_ID: work.invocation.trace_id,
            ENDPOINT_NAME: work.invocation.endpoint_name,
            CONTENT_TYPE: work.invocation.parameters["ContentType"],
            ACCEPT: work.invocation.parameters.get("Accept"),
            ANSWER_FORMAT: None if work.answer_format is None else str(work.answer_format),
            RECORD_FORMAT: None if work.batch is None else "OpenAIBatch",
            ERROR_THRESHOLD: str(work.options.error_threshold) if work.options.error_threshold.is_set else None,
        }
        if work.has_given_up:
            counts |= {"untried": str(len(lines) - not_sent - failed), GIVEN_UP: "true"}
        if failed and work.may_be_within_quotes:
            counts[UNCERTAIN] = str(failed)
        if work.open_at is not None and lines.stop == len(work.lines):
            counts[NOT_CLOSED] = str(work.open_at)
        if document:
            # The name depends on the content, so that the errors are those of the answers that were stored first. Only
            # the suffix: the whole name can be longer than metadata, and is encoded there.
            digest = hashlib.sha256(document).hexdigest()[:16]
            counts["errors"] = keys.part_errors(digest, untried=work.has_given_up)

        async def put() -> None:
            if "errors" in counts:
                await self._results.put(name + counts["errors"], document, content_type="application/json")
            # The first delivery writes it for all.
            await write_once(
                self._results,
                name + keys.OUT,
                answers,
                content_type=_content_type(work, calls.answers),
                metadata=metadata([(IDENTITY, attempt.identity.key), *counts.items(), *requested.items()]),
            )

        await retry_transient(put, self._sleep, attempt.remaining_ms)


def _contents(work: Work, calls: Calls, lines: range) -> tuple[bytes, bytes, int]:
    """The answers of some lines, the document of their errors, and the number of those."""
    separator, earlier = work.separator, work.earlier
    answers, errors, failed = io.BytesIO(), io.BytesIO(), 0
    for index in lines:
        if earlier:
            if index not in earlier.gaps:
                continue
            if index > lines.start:  # else they are stored with the lines before
                answers.write(earlier.gaps[index])
        refused = work.refused.get(index) or calls.refused.get(index)
        if index in calls.answers:
            try:
                answers.write(_answer(work, index, calls.answers[index]))
            except (RecordError, RequestError) as error:
                refused = Refused(Failure.of(ErrorCode.ANSWER_NOT_JOINED, str(error)))
        if refused is not None and not work.is_untried:
            failed += 1
            errors.write(_error(work, index, index - lines.start, refused.failure, answers.tell()))
            if work.batch is not None:
                answers.write(work.batch.refused(work.lines[index], work.lines.place(index), refused.failure))
        elif work.batch is not None and index not in calls.answers:
            continue  # An empty line would be no JSON.
        answers.write(separator)
    if earlier:
        answers.write(earlier.gaps.get(lines.stop, earlier.rest))
    return answers.getvalue(), errors.getvalue(), failed


def _content_type(work: Work, answers: Mapping[int, bytes]) -> str:
    """The content type of the result. The lines of a batch file's are JSON, whatever the answers in them are."""
    if work.batch is not None:
        return JSON_LINES
    kept = work.earlier.content_type if work.earlier and work.earlier.kept else None
    return kept or type_of_result(work, answers)


def _answer(work: Work, index: int, answer: bytes) -> bytes:
    """The line of an answered record in the result. Raises `RecordError` and `RequestError`."""
    line = work.lines[index]
    if work.batch is not None:
        return work.batch.answered(line, work.lines.place(index), answer)
    return joined(line, answer, work.options, work.codec, work.answer_codec)


def _error(work: Work, index: int, position: int, failure: Failure, offset: int) -> bytes:
    """One line of the errors. Its line number counts from the part's first line.

    `offset` is where in the part's answers its answer would be.
    """
    line = work.lines[index]
    quoted = line[:_MAX_QUOTED].decode(errors="replace")
    fields: dict[str, Any] = {
        "Line": position + 1,
        **(work.batch.names(line, work.lines.place(index)) if work.batch is not None else {}),
        "ErrorCode": failure.code,
        "ErrorMessage": failure.message,
        "OriginalStatusCode": failure.original_status_code,
        "OriginalMessage": failure.original_message,
        "LogStreamArn": failure.log_stream_arn,
        "TraceId": work.invocation.trace_id,
        "Record": quoted if len(line) <= _MAX_QUOTED else quoted + "…",
        AT: work.lines.place(index),
        OFFSET: offset,
    }
    kept = {name: value for name, value in fields.items() if value is not None}
    return compact_bytes(kept) + b"\n"
