"""Lambda's SQS event and context."""

import json
import uuid
from types import SimpleNamespace
from typing import Any


def sqs_record(body: object, *, receive_count: int = 1, attributes: dict[str, str] | None = None) -> dict[str, Any]:
    """A record in the format of the event source mapping."""
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "AQEB",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": "4102444800000",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "4102444800001",
        },
        "messageAttributes": {
            name: {"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"}
            for name, value in (attributes or {}).items()
        },
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:request",
        "awsRegion": "us-east-1",
    }


def context(remaining_ms: int = 90_000) -> Any:
    """The attributes of Lambda's context object that a handler uses."""
    return SimpleNamespace(
        aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        function_name="invoke",
        memory_limit_in_mb=512,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:invoke",
        get_remaining_time_in_millis=lambda: remaining_ms,
    )
