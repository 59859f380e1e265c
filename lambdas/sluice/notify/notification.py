"""What is published when a result or a failure is stored: SageMaker Asynchronous Inference's notification.

The JSON is theirs, field for field (SageMaker Developer Guide, "Check prediction results", and samples of what is
received), so that subscribers need no change. What subscribers want to filter by besides stands in attributes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sluice.failures import invalid
from sluice.inputs.events import S3Record
from sluice.inputs.identity import TRANSFORM_PREFIX, source_of
from sluice.inputs.message import load_json
from sluice.processing.result import (
    ACCEPT,
    CONTENT_TYPE,
    ENDPOINT_NAME,
    ERR,
    INFERENCE_ID,
    MAX_TEXT,
    OUT,
    RECEIVED_AT,
    SOURCE_KEY,
    TRACE_ID,
    allowed,
    cut,
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
    """Whether the object is an `.err`, and no result."""
    return record.key.endswith(ERR)


def of_result(
    record: S3Record, input_bucket: str, content_type: str | None, metadata: Mapping[str, str]
) -> Notification:
    """The notification of the result that `record` tells of. `content_type` and `metadata` are the stored object's."""
    said = {name: unquote(value) for name, value in metadata.items()}
    name = record.key.removesuffix(OUT)
    trace_id = said.get(TRACE_ID)
    return _notification(
        record,
        COMPLETED,
        received_at=said.get(RECEIVED_AT),
        request={
            "accept": _whole(said.get(ACCEPT)),
            "contentType": _whole(said.get(CONTENT_TYPE)),
            "endpointName": said.get(ENDPOINT_NAME),
            "inputLocation": source_of(name, input_bucket) or _whole(said.get(SOURCE_KEY)),
        },
        response={"contentType": content_type, "outputLocation": _uri(record)},
        inference_id=said.get(INFERENCE_ID) or trace_id or name,
        trace_id=trace_id,
    )


def of_failure(record: S3Record, input_bucket: str, document: bytes) -> Notification:
    """The notification of the `.err` that `record` tells of, and whose content is `document`.

    Raises `Failure` (invalid) when that is no JSON object.
    """
    said = load_json(document.decode(), record.key)
    if not isinstance(said, dict):
        raise invalid(record.key, "is not a JSON object")
    name = record.key.removesuffix(ERR)
    source, trace_id = source_of(name, input_bucket), said.get("TraceId")
    # A part's failure is its file's, whose inference ID is the trace ID.
    inference_id = trace_id if name.startswith(TRANSFORM_PREFIX) else said.get("InferenceId")
    code = said.get("ErrorCode")
    return _notification(
        record,
        FAILED,
        received_at=said.get("ReceivedAt"),
        reason=cut(allowed(f"{code}: {said.get('ErrorMessage')}"), MAX_TEXT),
        request={"endpointName": said.get("EndpointName"), "inputLocation": source or said.get("Source")},
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
        # In ASCII: what of Unicode SNS refuses never comes up.
        json.dumps(_present(fields), separators=(",", ":")),
        {name: allowed(value) for name, value in _present(attributes).items()},
        inference_id,
    )


def _uri(record: S3Record) -> str:
    return f"s3://{record.s3.bucket.name}/{record.key}"


def _whole(value: str | None) -> str | None:
    """`value`, unless metadata was full and it was cut: better none than a wrong one."""
    return None if value is None or value.endswith("...") else value


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value != ""}
