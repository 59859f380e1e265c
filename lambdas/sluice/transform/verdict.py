"""What the stored parts of a dataset say of it: its summary, and whether it fails."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs.requests import Assembly
from sluice.ports import ObjectHead
from sluice.processing.result import ACCEPT, CONTENT_TYPE, ENDPOINT_NAME, TRACE_ID
from sluice.transform.csv_records import cut_off
from sluice.transform.part_store import ANSWER_FORMAT, ERROR_THRESHOLD, GIVEN_UP, NOT_CLOSED, RECORD_FORMAT
from sluice.transform.progress import count, succeeded
from sluice.transform.threshold import ErrorThreshold


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A stored part, and the number of lines of the dataset before it."""

    key: str
    head: ObjectHead
    before: int

    def number(self, name: str) -> int:
        """One of its counts."""
        return count(self.head.metadata, name)


def requested_by(parts: list[StoredPart]) -> dict[str, str | None]:
    """What the calls of the parts asked for. It is the same for all parts."""
    described = parts[0].head.metadata if parts else {}
    names = (TRACE_ID, ENDPOINT_NAME, CONTENT_TYPE, ACCEPT)
    return {name: unquote(described[name]) for name in names if name in described}


def type_of(parts: list[StoredPart]) -> str:
    """The content type of the first part with an answer, or of the first part."""
    with_answers = (part for part in parts if succeeded(part.head.metadata))
    first = next(with_answers, parts[0] if parts else None)
    return (first.head.content_type if first else None) or "text/plain"


def threshold_of(parts: list[StoredPart]) -> ErrorThreshold:
    """The threshold that the part had which was stored last: a default of the deployment may have changed."""
    last = max(parts, key=lambda part: part.head.metadata["finished"], default=None)
    found = last.head.metadata.get(ERROR_THRESHOLD) if last else None
    return ErrorThreshold.parse(unquote(found)) if found else ErrorThreshold()


def verdict_of(parts: list[StoredPart], summary: dict[str, Any]) -> Failure | None:
    """Why a file fails; None if it does not."""
    if any(GIVEN_UP in part.head.metadata for part in parts):
        return Failure.of(ErrorCode.NO_RECORD_SUCCEEDED)
    for part in parts:
        if NOT_CLOSED in part.head.metadata:
            return cut_off(part.number(NOT_CLOSED))
    failed, untried = summary["failed"], summary["untried"]
    sent, threshold = summary["records"] - summary["not_sent"], threshold_of(parts)
    code = ErrorCode.ERROR_THRESHOLD_EXCEEDED
    if untried:
        counts = f"{failed} of {sent} records failed and {untried} were not tried"
        return Failure.of(code, f"{counts}, because the file was stopped: ErrorThreshold is {threshold}")
    if threshold.is_exceeded(failed, sent):
        return Failure.of(code, f"{failed} of {sent} records failed, ErrorThreshold is {threshold}")
    return Failure.of(ErrorCode.NO_RECORD_SUCCEEDED) if failed and not summary["succeeded"] else None


def summary_of(parts: list[StoredPart], assembly: Assembly) -> dict[str, Any]:
    """The summary of a dataset."""
    names = ("records", "failed", "not-sent", "untried")
    records, failed, not_sent, untried = (sum(part.number(name) for part in parts) for name in names)
    formats = (part.head.metadata.get(ANSWER_FORMAT) for part in parts)
    is_batch_file = any(RECORD_FORMAT in part.head.metadata for part in parts)
    return {
        "records": records,
        "succeeded": records - failed - not_sent - untried,
        "failed": failed,
        "not_sent": not_sent,
        "untried": untried,
        "record_format": "OpenAIBatch" if is_batch_file else "Line",
        "answer_format": next((unquote(one) for one in formats if one), None),
        "calls": sum(part.number("calls") for part in parts),
        "bytes": assembly.file.size,
        "parts": len(parts),
        "started": min((part.head.metadata["started"] for part in parts), default=None),
        "finished": max((part.head.metadata["finished"] for part in parts), default=None),
    }
