"""Stores the answers of a part: one line for each line of the dataset, and a document of the refused records."""

import hashlib
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.requests import TransformPart
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Bucket, Condition, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.result import ACCEPT, CONTENT_TYPE, ENDPOINT_NAME, IDENTITY, TRACE_ID, metadata, timestamp
from sluice.processing.storing import Sleep, retry_transient
from sluice.transform.bisect import Calls, Refused
from sluice.transform.earlier import AT, OFFSET
from sluice.transform.records import RecordError, joined
from sluice.transform.work import Work

ANSWER_FORMAT = "answer-format"
ERROR_THRESHOLD = "error-threshold"
_MAX_QUOTED = 4096  # bytes of a refused record that its error quotes


class PartStore:
    """Stores parts in the results bucket."""

    def __init__(self, results: Bucket, now: Callable[[], datetime], sleep: Sleep) -> None:
        self._results = results
        self._now = now
        self._sleep = sleep

    async def put(
        self, attempt: Attempt[TransformPart], work: Work, calls: Calls, started: datetime, count: int
    ) -> None:
        """Write the answers of the first `count` lines, after their errors. Raises `ServiceError`."""
        earlier = work.earlier
        answers, document, failed = _contents(work, calls, count)
        not_sent = sum(
            not size and index not in work.refused and not (earlier and index in earlier.kept)
            for index, size in enumerate(work.sizes[:count])
        )
        name = attempt.identity.name
        counts = {
            "records": str(count),
            "failed": str(failed),
            "not-sent": str(not_sent),
            "calls": str(calls.made + (earlier.calls if earlier else 0)),
            "started": timestamp(started) if earlier is None else earlier.started,
            "finished": timestamp(self._now()),
        }
        if work.is_untried:
            counts |= {"untried": str(count - not_sent - failed), "errors": keys.untried_errors()}
        requested: dict[str, str | None] = {
            TRACE_ID: work.invocation.trace_id,
            ENDPOINT_NAME: work.invocation.endpoint_name,
            CONTENT_TYPE: work.invocation.parameters["ContentType"],
            ACCEPT: work.invocation.parameters.get("Accept"),
            ANSWER_FORMAT: None if work.answer_format is None else str(work.answer_format),
            ERROR_THRESHOLD: str(work.options.error_threshold) if work.options.error_threshold.is_set else None,
        }
        if document:
            # The name depends on the content, so that the errors are those of the answers that were stored first. Only
            # the suffix: the whole name can be longer than metadata, and is encoded there.
            counts["errors"] = keys.part_errors(hashlib.sha256(document).hexdigest()[:16])

        async def put() -> None:
            if "errors" in counts:
                await self._results.put(name + counts["errors"], document, content_type="application/json")
            # The first delivery has written it for all.
            with suppress(PreconditionFailed):
                await self._results.put(
                    name + keys.OUT,
                    answers,
                    content_type=work.invocation.parameters.get("Accept") or work.codec.content_type,
                    metadata=metadata([(IDENTITY, attempt.identity.key), *counts.items(), *requested.items()]),
                    condition=Condition(),
                )

        await retry_transient(put, self._sleep, attempt.remaining_ms)


def _contents(work: Work, calls: Calls, count: int) -> tuple[bytes, bytes, int]:
    """The answers of the first `count` lines, the document of their errors, and the number of those."""
    separator = work.separator
    answers, errors, failed = io.BytesIO(), io.BytesIO(), 0
    earlier = work.earlier
    for index in range(count):
        if earlier and index not in earlier.gaps:
            continue
        if earlier:
            answers.write(earlier.gaps[index])
        refused = work.refused.get(index) or calls.refused.get(index)
        if index in calls.answers:
            try:
                answers.write(joined(work.lines[index], calls.answers[index], work.options, work.codec))
            except RecordError as error:
                refused = Refused(Failure.of(ErrorCode.ANSWER_NOT_JOINED, str(error)))
        if refused is not None and not work.is_untried:
            failed += 1
            place = {AT: work.lines.place(index), OFFSET: answers.tell()}
            errors.write(_error(index, work.lines[index], refused.failure, work.invocation.trace_id, place))
        answers.write(separator)
    if earlier:
        answers.write(earlier.gaps.get(count, earlier.rest))
    return answers.getvalue(), errors.getvalue(), failed


def _error(index: int, line: bytes, failure: Failure, trace_id: str, place: Mapping[str, int]) -> bytes:
    """One line of the errors. Its line number counts from the part's first line."""
    quoted = line[:_MAX_QUOTED].decode(errors="replace")
    fields: dict[str, Any] = {
        "Line": index + 1,
        "ErrorCode": failure.code,
        "ErrorMessage": failure.message,
        "OriginalStatusCode": failure.original_status_code,
        "OriginalMessage": failure.original_message,
        "TraceId": trace_id,
        "Record": quoted if len(line) <= _MAX_QUOTED else quoted + "…",
        **place,
    }
    kept = {name: value for name, value in fields.items() if value is not None}
    return compact_bytes(kept) + b"\n"
