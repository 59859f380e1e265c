"""Implements `Bucket` with S3."""

import base64
import io
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import status_of, translate_errors
from sluice.aws.loop import Loop
from sluice.aws.pieces import PIECE, pieces
from sluice.aws.storage_guard import StorageGuard
from sluice.failures import Operation, ServiceError
from sluice.ports import LISTED, Condition, ObjectHead, ObjectTooLarge, PreconditionFailed, StoredObject

if TYPE_CHECKING:
    from sluice.aws.http.s3 import LeanS3


class S3Bucket:
    """Implements `Bucket` with S3. Methods raise `ServiceError`.

    `hot` makes the calls that every request makes, and boto3's client makes the others, in threads. If `hot` is None,
    boto3's client makes all calls. `read` and `write` are the operations of the errors of calls that read and write:
    the failure table distinguishes an input that cannot be read from a result that cannot be stored. `guard` learns
    whether results are stored.
    """

    def __init__(
        self,
        name: str,
        loop: Loop,
        clients: Clients,
        hot: "LeanS3 | None" = None,
        *,
        read: Operation,
        write: Operation = Operation.STORE_RESULT,
        guard: StorageGuard | None = None,
    ) -> None:
        self._name = name
        self._loop = loop
        self._clients = clients
        self._hot = hot
        self._read = read
        self._write = write
        self._guard = guard or StorageGuard()

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectHead | None:
        """Call HeadObject. Returns None if there is no object."""
        with translate_errors(self._read):
            try:
                if version_id is None and self._hot is not None:
                    response = await self._hot.head_object(Bucket=self._name, Key=key)
                else:
                    response = await self._boto3("head_object", Key=key, **_version(version_id))
            except ClientError as error:
                if status_of(error) == 404 and error.response["Error"]["Code"] != "NoSuchBucket":
                    return None
                if status_of(error) == 400:  # the response to HEAD has no body, so that GET must say the reason
                    await self._boto3("get_object", Key=key, Range="bytes=0-0", **_version(version_id))
                raise
            return None if response is None else ObjectHead(**_described(response))

    async def get(self, key: str, *, version_id: str | None = None, max_bytes: int | None = None) -> StoredObject:
        """Call GetObject. Raises `ObjectTooLarge` if the object is larger than `max_bytes`."""
        with translate_errors(self._read):
            if version_id is None and self._hot is not None:
                response = await self._hot.get_object(Bucket=self._name, Key=key)
                if isinstance(response["Body"], io.BytesIO):
                    return _read_body(response, max_bytes)
                return await self._loop.in_thread(_read_body, response, max_bytes)  # reading boto3's stream blocks
            return await self._loop.in_thread(
                lambda: _read_body(
                    self._clients.s3.get_object(Bucket=self._name, Key=key, **_version(version_id)), max_bytes
                )
            )

    async def get_range(self, key: str, start: int, end: int, *, etag: str | None) -> bytes:
        """Call GetObject for the bytes from `start` to before `end`, with `If-Match` if `etag` is given.

        Raises `PreconditionFailed` if the object has another ETag.
        """
        if start >= end:
            return b""
        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}

        def read() -> bytes:
            response = self._clients.s3.get_object(
                Bucket=self._name, Key=key, Range=f"bytes={start}-{end - 1}", **condition
            )
            return response["Body"].read()

        with translate_errors(self._read):
            try:
                return await self._loop.in_thread(read)
            except ClientError as error:
                if status_of(error) == 412:
                    raise PreconditionFailed from error
                raise

    async def list(self, prefix: str, *, start_after: str | None = None) -> list[str]:
        """Call ListObjectsV2. Returns all keys in a folder, or one short page of those after `start_after`."""

        def read() -> list[str]:
            s3 = self._clients.s3
            folder: Any = {"Bucket": self._name, "Prefix": prefix, "Delimiter": "/"}
            if start_after is not None:
                page = s3.list_objects_v2(**folder, StartAfter=start_after, MaxKeys=LISTED)
                return [one["Key"] for one in page.get("Contents", [])]
            pages = s3.get_paginator("list_objects_v2").paginate(**folder)
            return [one["Key"] for page in pages for one in page.get("Contents", [])]

        with translate_errors(self._read):
            return await self._loop.in_thread(read)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str] | None = None,
        condition: Condition | None = None,
    ) -> str | None:
        """Call PutObject. Returns the version ID. Raises `PreconditionFailed` if `condition` is not met."""
        arguments: dict[str, Any] = {"Metadata": dict(metadata or {})}
        # A given checksum is sent in a header. Otherwise boto3 sends the body in chunks, followed by a checksum, which
        # takes twice the CPU time.
        arguments["ChecksumCRC32"] = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        # A model may return any Content-Type, but S3 accepts only a header's characters. The result, which has been
        # billed, is stored without it.
        if content_type and content_type.isascii() and content_type.isprintable():
            arguments["ContentType"] = content_type
        try:
            with translate_errors(self._write), _conditional(condition) as headers:
                if self._hot is not None:
                    response = await self._hot.put_object(Bucket=self._name, Key=key, Body=body, **arguments, **headers)
                else:
                    response = await self._boto3("put_object", Key=key, Body=body, **arguments, **headers)
        except ServiceError as error:
            self._guard.refused(error)
            raise
        self._guard.stored()
        return _version_id(response)

    async def upload(
        self,
        key: str,
        content: AsyncGenerator[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str],
        condition: Condition,
    ) -> str | None:
        """Call PutObject for a small object, or make a multipart upload, whose completion has the condition.

        Returns the version ID. Raises `PreconditionFailed` if `condition` is not met.
        """
        described: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata)}
        async with aclosing(pieces(content)) as parts:
            first = await anext(parts, b"")
            with translate_errors(self._write), _conditional(condition) as headers:
                if len(first) < PIECE:
                    response = await self._boto3("put_object", Key=key, Body=first, **described, **headers)
                else:
                    response = await self._upload_parts(key, first, parts, described, headers)
                return _version_id(response)

    async def delete(self, key: str, *, version_id: str | None = None, condition: Condition | None = None) -> None:
        """Call DeleteObject. Raises `PreconditionFailed` if `condition` is not met."""
        with translate_errors(self._write), _conditional(condition) as headers:
            await self._boto3("delete_object", Key=key, **_version(version_id), **headers)

    async def previous(self, key: str, version_id: str) -> ObjectHead | None:
        """Call ListObjectVersions, then HeadObject for the version before the named one; again if it is deleted now."""
        while True:
            with translate_errors(self._read):
                page = await self._boto3(
                    "list_object_versions", Prefix=key, KeyMarker=key, VersionIdMarker=version_id, MaxKeys=1
                )
            versions = [one for one in page.get("Versions", []) if one["Key"] == key]
            if not versions:
                return None
            if (found := await self.head(key, version_id=versions[0]["VersionId"])) is not None:
                return found

    async def _upload_parts(
        self,
        key: str,
        first: bytes,
        rest: AsyncIterator[bytes],
        described: dict[str, Any],
        headers: dict[str, Any],
    ) -> Any:
        upload_id = (await self._boto3("create_multipart_upload", Key=key, **described))["UploadId"]
        upload: dict[str, Any] = {"Key": key, "UploadId": upload_id}
        try:
            etags = [(await self._boto3("upload_part", **upload, PartNumber=1, Body=first))["ETag"]]
            async for piece in rest:
                part = await self._boto3("upload_part", **upload, PartNumber=len(etags) + 1, Body=piece)
                etags.append(part["ETag"])
            parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
            return await self._boto3("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts}, **headers)
        except BaseException:
            await self._boto3("abort_multipart_upload", **upload)
            raise

    async def _boto3(self, operation: str, **arguments: Any) -> Any:
        """Call an operation of boto3's client on this bucket, in a thread."""
        return await self._loop.in_thread(lambda: getattr(self._clients.s3, operation)(Bucket=self._name, **arguments))


def _version(version_id: str | None) -> dict[str, Any]:
    return {} if version_id is None else {"VersionId": version_id}


def _version_id(response: Mapping[str, Any]) -> str | None:
    # In a bucket whose versioning is suspended or was never enabled, S3 calls every version "null".
    version_id: str | None = response.get("VersionId")
    return None if version_id == "null" else version_id


def _read_body(response: Any, max_bytes: int | None) -> StoredObject:
    """The object of a GetObject response. Raises `ObjectTooLarge` without reading the body."""
    # `with` on the body itself would return urllib3's stream, which raises urllib3's errors.
    with closing(response["Body"]) as stream:
        if max_bytes is not None and response["ContentLength"] > max_bytes:
            raise ObjectTooLarge(response["ContentLength"])
        return StoredObject(**_described(response), body=stream.read())


@contextmanager
def _conditional(condition: Condition | None) -> Iterator[dict[str, Any]]:
    """The parameters of a write with `condition`. Raises `PreconditionFailed` if the condition is not met.

    409 ConditionalRequestConflict is another error of S3, after which the write must be repeated (S3 User Guide,
    "Conditional writes"): another write was in progress, and nobody knows yet whether it will succeed.
    """
    try:
        if condition is None:
            yield {}
        elif condition.etag is None:
            yield {"IfNoneMatch": "*"}
        else:
            yield {"IfMatch": f'"{condition.etag}"'}
    except ClientError as error:
        # With If-Match, NoSuchKey means that the object to replace was deleted. A missing bucket has another code.
        is_gone = condition and condition.etag and error.response["Error"]["Code"] == "NoSuchKey"
        if is_gone or (condition and status_of(error) == 412):
            raise PreconditionFailed from error
        raise


def _described(response: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `ObjectHead` in a HeadObject or GetObject response."""
    return {
        "size": response["ContentLength"],
        "etag": response["ETag"].strip('"'),
        "version_id": _version_id(response),
        "content_type": response.get("ContentType"),
        "metadata": response.get("Metadata", {}),
    }
