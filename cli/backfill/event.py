"""The S3 event notification for an existing object."""

from typing import Any
from urllib.parse import quote_plus

from cli.backfill.listing import ListedObject
from sluice.inputs.strict_json import compact


def event_notification(bucket: str, listed: ListedObject) -> str:
    """The body of an S3 event notification (S3 User Guide, "Event message structure") for an object.

    It names the version, so that the request has the same identity as that of S3's own event. Only S3's own events have
    a sequencer.
    """
    properties: dict[str, Any] = {"key": quote_plus(listed.key, safe="/"), "size": listed.size, "eTag": listed.etag}
    if listed.version_id:
        properties["versionId"] = listed.version_id
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": listed.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventName": "ObjectCreated:Backfill",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": properties},
    }
    return compact({"Records": [record]})
