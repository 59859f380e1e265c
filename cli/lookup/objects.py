"""Objects in the buckets: their heads, uploaded inputs, and the parts of a file under `transform/`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from cli.lookup.progress import bytes_done
from sluice import ports
from sluice.inputs.identity import key_of_version
from sluice.inputs.message import S3_URI
from sluice.keys import (
    INVOKE_PREFIX,
    OTHER_BUCKETS_PREFIX,
    OUT,
    TRANSFORM_PREFIX,
    parts_folder,
    unpacked_key,
)
from sluice.transform.file_type import is_packed

_NO_BUCKET = "NoSuchBucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHead(ports.ObjectHead):
    """What S3 states of an object, with its URI and when it was written."""

    uri: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Upload:
    """The newest version of an input.

    `identity` is that of its request; None in a bucket without versions, where only the `etag` tells uploads apart.
    `size` is in bytes.
    """

    modified: datetime
    size: int
    etag: str
    identity: str | None
    version_id: str | None = None


def is_gone(error: ClientError) -> bool:
    """Whether S3 says that there is no such object (any more): no key, no version, or a delete marker."""
    return error.response["Error"]["Code"] in {"404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "405"}


def described(bucket: str, key: str, response: Mapping[str, Any]) -> ObjectHead:
    """The head in a HeadObject or GetObject response."""
    version = response.get("VersionId")
    return ObjectHead(
        size=response["ContentLength"],
        etag=response["ETag"].strip('"'),
        version_id=None if version == "null" else version,
        content_type=response.get("ContentType", ""),
        metadata=response["Metadata"],
        uri=f"s3://{bucket}/{key}",
        modified=response["LastModified"],
    )


def head_object(deployment: Deployment, bucket: str, key: str) -> ObjectHead | None:
    """HeadObject of an object; None when the object or the bucket does not exist. Raises botocore's errors."""
    try:
        response = deployment.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if is_gone(error) or error.response["Error"]["Code"] == _NO_BUCKET:
            return None
        raise
    return described(bucket, key, response)


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
            location = name.removeprefix(OTHER_BUCKETS_PREFIX)
            if not re.fullmatch(S3_URI, f"s3://{location}"):
                return None
            bucket, _, key = location.partition("/")
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
        return Upload(head.modified, head.size, head.etag, identity, head.version_id)

    def progress(self, name: str, upload: Upload) -> dict[str, Any]:
        """The parts and bytes done of a file under `transform/`; empty for any other input."""
        if not name.startswith(TRANSFORM_PREFIX) or upload.identity is None:
            return {}
        folder = parts_folder(name, upload.identity)
        bucket = self._deployment.results_bucket
        pages = self._deployment.s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket,
            Prefix=folder,
            Delimiter="/",  # a folder within may be that of another file's parts
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        total: int | None = upload.size
        # The parts of a file of gzip, or in another charset, are byte ranges of its content in UTF-8.
        unpacked = head_object(self._deployment, bucket, key) if (key := unpacked_key(folder)) in keys else None
        if unpacked is not None:
            total = unpacked.size
        elif is_packed(name):
            total = None
        return {
            "PartsDone": sum(key.endswith(OUT) for key in keys),
            "BytesDone": bytes_done(keys),
            "BytesTotal": total,
        }
