"""The status of a request from its stored outcome: the metadata of the `.out`, or the `.err` document."""

from contextlib import suppress
from datetime import datetime
from urllib.parse import unquote

from cli.lookup.failures import StoredFailure
from cli.lookup.objects import ObjectHead
from cli.lookup.status import RequestState, RequestStatus
from sluice.error_codes import FailureClass

_METADATA = {
    "inference-id": "InferenceId",
    "trace-id": "TraceId",
    "endpoint-name": "EndpointName",
    "invoked-production-variant": "InvokedProductionVariant",
    "model-latency-ms": "ModelLatencyMs",
    "records": "Records",
    "failed": "RecordsFailed",
}
_NUMBERS = ("ModelLatencyMs", "Records", "RecordsFailed")
_TIMES = ("FailedAt", "ReceivedAt")
_IDENTIFYING = ("InferenceId", "TraceId", "EndpointName")


def succeeded(name: str, out: ObjectHead) -> RequestStatus:
    """The status of a request with an `.out`."""
    metadata = {
        printed: unquote(out.metadata[header]) for header, printed in _METADATA.items() if header in out.metadata
    }
    numbers = {field: int(metadata[field]) for field in _NUMBERS if field in metadata}
    details = {"Result": out.uri, "AnsweredAt": out.modified, "ContentType": out.content_type, "Bytes": out.size}
    return RequestStatus(RequestState.DONE, name, {**details, **metadata, **numbers}, out.etag)


def failed(name: str, failure: StoredFailure, note: str | None = None) -> RequestStatus:
    """The status of a request with an `.err`."""
    document = failure.document
    expired = document.get("FailureClass") == FailureClass.EXPIRED
    details = {"Result": failure.head.uri, **{field: value for field, value in document.items() if value != {}}}
    for field in _TIMES:
        with suppress(KeyError, TypeError, ValueError):
            details[field] = _with_time_zone(details[field])
    details["Detail"] = note
    return RequestStatus(RequestState.EXPIRED if expired else RequestState.FAILED, name, details)


def sent_again(name: str, failure: StoredFailure) -> RequestStatus:
    """The status of a request that failed and has been sent again since, as far as the `.err` tells."""
    details = {field: failure.document.get(field) for field in _IDENTIFYING}
    details |= {"SentAgainAt": failure.sent_again_at, "Detail": "it failed, was sent again, and is not answered yet"}
    return RequestStatus(RequestState.PENDING, name, details)


def _with_time_zone(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment
