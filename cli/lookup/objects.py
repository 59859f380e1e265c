"""Objects in the buckets: stored outcomes, uploaded inputs, and the parts of a file under `transform/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from cli.lookup.progress import bytes_done
from sluice.inputs.identity import key_of_version
from sluice.keys import (
    INVOKE_PREFIX,
    OTHER_BUCKETS_PREFIX,
    OUT,
    TRANSFORM_PREFIX,
    parts_folder,
    unpacked_key,
)
from sluice.transform.gzipped import is_packed


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """The HeadObject response of an object. `size` is in bytes; `version_id` is None in a bucket without versions."""

    uri: str
    size: int
    modified: datetime
    content_type: str
    metadata: Mapping[str, str]
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """The newest version of an input. `identity` is that of its request; None in a bucket without versions."""

    modified: datetime
    size: int
    identity: str | None


def head_object(deployment: Deployment, bucket: str, key: str) -> ObjectHead | None:
    """HeadObject of an object; None when the object or the bucket does not exist. Raises botocore's errors."""
    try:
        response = deployment.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NoSuchBucket"}:
            return None
        raise
    version = response.get("VersionId")
    return ObjectHead(
        uri=f"s3://{bucket}/{key}",
        size=response["ContentLength"],
        modified=response["LastModified"],
        content_type=response.get("ContentType", ""),
        metadata=response["Metadata"],
        version_id=None if version == "null" else version,
    )


class Inputs:
    """The uploaded inputs of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def find(self, name: str) -> Upload | None:
        """The upload that belongs to the result `name`.

        None for the result of a message, and when the upload does not exist or the credentials do not permit reading
        it. Raises botocore's errors.
        """
        if name.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
            bucket, key = self._deployment.input_bucket, name
        elif name.startswith(OTHER_BUCKETS_PREFIX):
            bucket, _, key = name.removeprefix(OTHER_BUCKETS_PREFIX).partition("/")
        else:
            return None
        try:
            head = head_object(self._deployment, bucket, key)
        except ClientError as error:
            if not is_denied(error):
                raise
            return None
        if head is None:
            return None
        identity = key_of_version(bucket, key, head.version_id) if head.version_id else None
        return Upload(head.modified, head.size, identity)

    def progress(self, name: str, upload: Upload) -> dict[str, Any]:
        """The parts and bytes done of a file under `transform/`; empty for any other input."""
        if not name.startswith(TRANSFORM_PREFIX) or upload.identity is None:
            return {}
        folder = parts_folder(name, upload.identity)
        bucket = self._deployment.results_bucket
        pages = self._deployment.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        total: int | None = upload.size
        if is_packed(name):  # the parts are byte ranges of the uncompressed content
            unpacked = head_object(self._deployment, bucket, unpacked_key(folder))
            total = unpacked.size if unpacked else None
        return {
            "PartsDone": sum(key.endswith(OUT) for key in keys),
            "BytesDone": bytes_done(keys),
            "BytesTotal": total,
        }
