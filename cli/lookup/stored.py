"""The status of a request from its stored outcome: the metadata of the `.out`, or the `.err` document."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import unquote

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


def succeeded(name: str, out: ObjectHead) -> RequestStatus:
    """The status of a request with an `.out`."""
    metadata = {
        printed: unquote(out.metadata[header]) for header, printed in _METADATA.items() if header in out.metadata
    }
    numbers = {field: int(metadata[field]) for field in _NUMBERS if field in metadata}
    details = {"Result": out.uri, "AnsweredAt": out.modified, "ContentType": out.content_type, "Bytes": out.size}
    return RequestStatus(RequestState.DONE, name, {**details, **metadata, **numbers})


def failed(name: str, uri: str, document: Mapping[str, Any]) -> RequestStatus:
    """The status of a request with an `.err`. `document` is its content."""
    expired = document.get("FailureClass") == FailureClass.EXPIRED
    details = {"Result": uri, **{field: value for field, value in document.items() if value != {}}}
    for field in _TIMES:
        with suppress(KeyError, TypeError, ValueError):
            details[field] = _with_time_zone(details[field])
    return RequestStatus(RequestState.EXPIRED if expired else RequestState.FAILED, name, details)


def _with_time_zone(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment
