"""S3's hot calls. What isn't answered at once, boto3's client is asked again: all three are safe to repeat."""

import base64
import hashlib
import io
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from sluice.aws.http.connections import Connections
from sluice.aws.http.headers import common
from sluice.aws.http.http1 import Response, TooLarge
from sluice.aws.http.signature import Signer

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_METADATA = "x-amz-meta-"
# PutObject's parameters that are headers (botocore's model).
_PUT_HEADERS = {
    "ContentType": "content-type",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "ChecksumCRC32": "x-amz-checksum-crc32",
}
_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "x-amz-checksum-crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "x-amz-checksum-sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda body: hashlib.sha256(body).digest(),
}


class LeanS3:
    """HeadObject, GetObject and PutObject as boto3's S3 client has them; `boto3_client` does what else there is.

    GetObject leaves objects of over `max_bytes` to boto3, which reads them as a stream.
    """

    def __init__(
        self,
        connections: Callable[[str], Connections],
        s3_url: Callable[[str], str],
        signer: Signer,
        boto3_client: Callable[[], "S3Client"],
        *,
        max_bytes: int,
    ) -> None:
        self._connect = connections
        self._s3_url = s3_url
        self._signer = signer
        self._boto3 = boto3_client
        self._max_bytes = max_bytes
        self._buckets: dict[str, tuple[Connections, str]] = {}

    def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803 - boto3's names, here and below
        """HeadObject. Raises `ClientError`, with 404 where nothing stands, or `BotoCoreError`."""
        response = self._send("HEAD", Bucket, Key, {})
        if response is not None and response.status == 200:
            return _object(response)
        if response is not None and response.status == 404:
            raise ClientError(_NOT_FOUND, "HeadObject")
        return self._boto3().head_object(Bucket=Bucket, Key=Key)

    def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """GetObject. Raises `ClientError` or `BotoCoreError`."""
        response = self._send("GET", Bucket, Key, {"x-amz-checksum-mode": "ENABLED"})
        if response is None or response.status != 200 or not _is_intact(response):
            return self._boto3().get_object(Bucket=Bucket, Key=Key)
        return {**_object(response), "Body": io.BytesIO(response.body)}

    def put_object(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        Metadata: Mapping[str, str] | None = None,  # noqa: N803
        **parameters: str,
    ) -> Any:
        """PutObject. Raises `ClientError` or `BotoCoreError`."""
        headers = {_PUT_HEADERS[name]: value for name, value in parameters.items()}
        for name, value in (Metadata or {}).items():
            headers[_METADATA + name] = value
        response = self._send("PUT", Bucket, Key, headers, Body)
        if response is not None and response.status == 200:
            return {"ETag": response.headers["etag"]}
        arguments: dict[str, Any] = {**parameters, **({} if Metadata is None else {"Metadata": Metadata})}
        return self._boto3().put_object(Bucket=Bucket, Key=Key, Body=Body, **arguments)

    def delete_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """DeleteObject, which is never hot: boto3's."""
        return self._boto3().delete_object(Bucket=Bucket, Key=Key)

    def close(self) -> None:
        """Close the idle connections."""
        for connections, _ in self._buckets.values():
            connections.close()

    def _send(
        self, method: str, bucket: str, key: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response | None:
        """The response, or None where there was none and boto3 is to try."""
        connections, prefix = self._bucket(bucket)
        path = f"{prefix}/{quote(key, safe='/~')}"
        signed = self._signer.sign(method, connections.host, path, common(headers), body)
        try:
            return connections.request(
                method, path, signed, body, max_bytes=self._max_bytes if method == "GET" else None
            )
        except (BotoCoreError, TooLarge):
            return None

    def _bucket(self, bucket: str) -> tuple[Connections, str]:
        known = self._buckets.get(bucket)
        if known is None:
            parts = urlsplit(self._s3_url(bucket))
            known = self._connect(f"{parts.scheme}://{parts.netloc}"), parts.path
            self._buckets[bucket] = known
        return known


_NOT_FOUND: Any = {"Error": {"Code": "404", "Message": "Not Found"}, "ResponseMetadata": {"HTTPStatusCode": 404}}


def _object(response: Response) -> dict[str, Any]:
    headers = response.headers
    found: dict[str, Any] = {
        "ETag": headers["etag"],
        "ContentLength": int(headers.get("content-length", 0)),
        "Metadata": {
            name.removeprefix(_METADATA): value for name, value in headers.items() if name.startswith(_METADATA)
        },
    }
    if "content-type" in headers:
        found["ContentType"] = headers["content-type"]
    if "x-amz-version-id" in headers:
        found["VersionId"] = headers["x-amz-version-id"]
    return found


def _is_intact(response: Response) -> bool:
    """Whether the body has the checksums that came with it. One that ends in `-<parts>` is of its parts' checksums."""
    return all(
        base64.b64encode(digest(response.body)).decode() == stated
        for name, digest in _DIGESTS.items()
        if (stated := response.headers.get(name)) is not None and "-" not in stated
    )
