"""The objects in the buckets of a deployment, as the API needs them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_PIECE = 1024 * 1024
_PARTS = TransferConfig(multipart_threshold=8 * _PIECE, multipart_chunksize=8 * _PIECE, max_concurrency=2)
_PARTS.max_in_memory_upload_chunks = 2


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a listing. `size` is in bytes."""

    key: str
    size: int
    modified: datetime
    etag: str


class Store:
    """A bucket."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        """The objects whose keys begin with `prefix`, in the order of their keys."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket,
            Prefix=prefix,
            StartAfter=start_after,
            PaginationConfig={} if limit is None else {"MaxItems": limit},
        )
        for page in pages:
            for one in page.get("Contents", []):
                yield Listed(one["Key"], one["Size"], one["LastModified"], one["ETag"])

    def read(self, key: str, *, first: int | None = None) -> bytes | None:
        """The content of an object, or its `first` bytes; None when there is none."""
        ranged = {} if first is None else {"Range": f"bytes=0-{first - 1}"}
        try:
            return self._s3.get_object(Bucket=self.bucket, Key=key, **ranged)["Body"].read()  # type: ignore[arg-type]
        except self._s3.exceptions.NoSuchKey:
            return None

    def chunks(self, key: str) -> Iterator[bytes]:
        """The content of an object, in pieces."""
        return self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(_PIECE)

    def lines(self, key: str) -> Iterator[bytes]:
        """The lines of an object."""
        yield from self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].iter_lines(_PIECE)

    def metadata(self, key: str) -> Mapping[str, str]:
        """The user metadata of an object; none when there is no object."""
        try:
            return self._s3.head_object(Bucket=self.bucket, Key=key)["Metadata"]
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                return {}
            raise

    def put(self, key: str, body: bytes) -> None:
        """Write a JSON document."""
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")

    def upload(self, key: str, body: IO[Any], content_type: str) -> None:
        """Write a file of any size, of which at most some parts of 8 MB are in memory."""
        self._s3.upload_fileobj(body, self.bucket, key, ExtraArgs={"ContentType": content_type}, Config=_PARTS)

    def copy(self, source: str, key: str, *, content_type: str, metadata: Mapping[str, str]) -> None:
        """Copy an object within the bucket, with another type and metadata."""
        self._s3.copy_object(
            Bucket=self.bucket,
            Key=key,
            CopySource={"Bucket": self.bucket, "Key": source},
            ContentType=content_type,
            Metadata=metadata,
            MetadataDirective="REPLACE",
        )

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._s3.delete_object(Bucket=self.bucket, Key=key)
