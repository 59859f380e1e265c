"""Objects in the buckets: what is stored, what was uploaded, how far a file under transform/ is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from cli.progress import bytes_done
from sluice.inputs.identity import key_of_version
from sluice.keys import INVOKE_PREFIX, OUT, TRANSFORM_PREFIX, parts_folder, unpacked_key
from sluice.transform.gzipped import is_packed

_OTHER_BUCKETS = "buckets/"


@dataclass(frozen=True, slots=True)
class Stored:
    """What S3 says of an object."""

    uri: str
    size: int
    modified: datetime
    content_type: str
    metadata: Mapping[str, str]
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The newest version of an input. `identity` is its request's, None where the bucket keeps no versions."""

    modified: datetime
    size: int
    identity: str | None


def head(deployment: Deployment, bucket: str, key: str) -> Stored | None:
    """An object of a bucket; None when it isn't there."""
    try:
        got = deployment.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NoSuchBucket"}:
            return None
        raise
    version = got.get("VersionId")
    return Stored(
        f"s3://{bucket}/{key}",
        got["ContentLength"],
        got["LastModified"],
        got.get("ContentType", ""),
        got["Metadata"],
        None if version == "null" else version,
    )


class Inputs:
    """What requests were dropped as."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def of(self, name: str) -> Uploaded | None:
        """The upload that the result `name` belongs to; None for a message's, or where it can't be seen."""
        if name.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
            bucket, key = self._deployment.input_bucket, name
        elif name.startswith(_OTHER_BUCKETS):
            bucket, _, key = name.removeprefix(_OTHER_BUCKETS).partition("/")
        else:
            return None
        try:
            found = head(self._deployment, bucket, key)
        except ClientError as error:
            if not is_denied(error):
                raise
            return None
        if found is None:
            return None
        identity = key_of_version(bucket, key, found.version_id) if found.version_id else None
        return Uploaded(found.modified, found.size, identity)

    def progress(self, name: str, uploaded: Uploaded) -> dict[str, Any]:
        """How far a file under transform/ is: parts and bytes; nothing for any other input."""
        if not name.startswith(TRANSFORM_PREFIX) or uploaded.identity is None:
            return {}
        folder = parts_folder(name, uploaded.identity)
        bucket = self._deployment.results_bucket
        pages = self._deployment.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
        names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        total: int | None = uploaded.size
        if is_packed(name):  # the parts are of what was in it
            unpacked = head(self._deployment, bucket, unpacked_key(folder))
            total = unpacked.size if unpacked else None
        return {
            "PartsDone": sum(one.endswith(OUT) for one in names),
            "BytesDone": bytes_done(names),
            "BytesTotal": total,
        }
