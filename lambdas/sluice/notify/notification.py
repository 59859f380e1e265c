"""The notification of a stored result or failure: that of SageMaker Asynchronous Inference.

The JSON is the same, field for field (SageMaker Developer Guide, "Check prediction results", and samples of received
messages), so that subscribers need no change. Message attributes hold what subscribers may want to filter by.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sluice import keys
from sluice.failures import invalid
from sluice.inputs.s3_events import S3Record
from sluice.inputs.strict_json import load_json
from sluice.processing.result import (
    ACCEPT,
    CONTENT_TYPE,
    ENDPOINT_NAME,
    INFERENCE_ID,
    MAX_TEXT,
    RECEIVED_AT,
    SOURCE_KEY,
    TRACE_ID,
    sanitize,
    truncate,
)

COMPLETED = "Completed"
FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Notification:
    """A message for an SNS topic. `attributes` are its message attributes, of type String."""

    message: str
    attributes: Mapping[str, str]
    inference_id: str


def is_failure(record: S3Record) -> bool:
    """Whether the object is an `.err` rather than a result."""
    return record.key.endswith(keys.ERR)


def of_result(
    record: S3Record, input_bucket: str, content_type: str | None, metadata: Mapping[str, str]
) -> Notification:
    """The notification of the result that `record` reports, with the stored object's `content_type` and `metadata`."""
    stored = {name: unquote(value) for name, value in metadata.items()}
    name = record.key.removesuffix(keys.OUT)
    trace_id = stored.get(TRACE_ID)
    return _notification(
        record,
        COMPLETED,
        received_at=stored.get(RECEIVED_AT),
        request={
            "accept": _whole(stored.get(ACCEPT)),
            "contentType": _whole(stored.get(CONTENT_TYPE)),
            "endpointName": stored.get(ENDPOINT_NAME),
            "inputLocation": keys.source_of(name, input_bucket) or _whole(stored.get(SOURCE_KEY)),
        },
        response={"contentType": content_type, "outputLocation": _uri(record)},
        inference_id=stored.get(INFERENCE_ID) or trace_id or name,
        trace_id=trace_id,
    )


def of_failure(record: S3Record, input_bucket: str, document: bytes) -> Notification:
    """The notification of the `.err` that `record` reports, whose content is `document`.

    Raises `Failure` (invalid) when the content is not a JSON object.
    """
    stored = load_json(document.decode(), record.key)
    if not isinstance(stored, dict):
        raise invalid(record.key, "is not a JSON object")
    name = record.key.removesuffix(keys.ERR)
    source, trace_id = keys.source_of(name, input_bucket), stored.get("TraceId")
    # The failure of a part is that of its dataset, whose inference ID is the trace ID.
    inference_id = trace_id if keys.is_dataset(name) else stored.get("InferenceId")
    code = stored.get("ErrorCode")
    return _notification(
        record,
        FAILED,
        received_at=stored.get("ReceivedAt"),
        reason=truncate(sanitize(f"{code}: {stored.get('ErrorMessage')}"[: MAX_TEXT + 1]), MAX_TEXT),
        request={"endpointName": stored.get("EndpointName"), "inputLocation": source or stored.get("Source")},
        response={"failureLocation": _uri(record)},
        inference_id=inference_id or trace_id or name,
        trace_id=trace_id,
        code=code,
    )


def _notification(
    record: S3Record,
    status: str,
    *,
    received_at: str | None,
    request: Mapping[str, str | None],
    response: Mapping[str, str | None],
    inference_id: str,
    trace_id: str | None,
    reason: str | None = None,
    code: str | None = None,
) -> Notification:
    fields = {
        "awsRegion": record.aws_region,
        "eventTime": record.event_time,
        "receivedTime": received_at or record.event_time,
        "invocationStatus": status,
        "failureReason": reason,
        "requestParameters": _present(request),
        "responseParameters": _present(response),
        "inferenceId": inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    attributes = {
        "InvocationStatus": status,
        "EndpointName": request["endpointName"],
        "TraceId": trace_id,
        "ErrorCode": code,
    }
    return Notification(
        # In ASCII, because SNS refuses some Unicode characters.
        json.dumps(_present(fields), separators=(",", ":")),
        {name: sanitize(value) for name, value in _present(attributes).items()},
        inference_id,
    )


def _uri(record: S3Record) -> str:
    return f"s3://{record.s3.bucket.name}/{record.key}"


def _whole(value: str | None) -> str | None:
    """`value`, unless it was truncated because the metadata was full: no value is better than a wrong one."""
    return None if value is None or value.endswith("...") else value


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value != ""}
