"""Events in the formats of S3, EventBridge and SNS."""

import json
from typing import Any
from urllib.parse import quote_plus


def s3_event(
    key: str, *, bucket: str = "input", size: int = 5, url_encoded: str | None = None, **details: str
) -> dict[str, Any]:
    """An S3 event notification, as S3 sends it to SQS."""
    names = {"etag": "eTag", "version_id": "versionId", "sequencer": "sequencer"}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-east-1",
                "eventTime": "2026-11-24T12:00:00.000Z",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                    "object": {
                        "key": url_encoded or quote_plus(key, safe="/"),
                        "size": size,
                        **{names[name]: value for name, value in details.items()},
                    },
                },
            }
        ]
    }


def event_bridge_event(key: str, *, bucket: str = "input", size: int = 5, **details: str) -> dict[str, Any]:
    """The EventBridge event of an object."""
    names = {"etag": "etag", "version_id": "version-id", "sequencer": "sequencer"}
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-24T12:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": size, **{names[name]: value for name, value in details.items()}},
            "reason": "PutObject",
        },
    }


def sns_envelope(message: object) -> dict[str, Any]:
    """An SNS notification around `message`, as SNS sends it to SQS without raw delivery."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:MyTopic",
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-24T12:00:00.000Z",
        "SignatureVersion": "1",
    }
