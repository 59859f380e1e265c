"""An object as S3's own notification would tell of it."""

from typing import Any
from urllib.parse import quote_plus

from cli.backfill.listing import Listed
from sluice.inputs.message import compact


def notification(bucket: str, listed: Listed) -> str:
    """The body of an S3 event notification (User Guide, "Event message structure") for the newest version of an object.

    With the version in it, the request has the identity that S3's own event gave it. A sequencer, which says which of
    two uploads was the later, S3 tells only in its events.
    """
    found: dict[str, Any] = {"key": quote_plus(listed.key, safe="/"), "size": listed.size, "eTag": listed.etag}
    if listed.version_id:
        found["versionId"] = listed.version_id
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": listed.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventName": "ObjectCreated:Backfill",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": found},
    }
    return compact({"Records": [record]})
