"""The requests of HeadObject, GetObject and PutObject, and boto3's results from their responses."""

import base64
import hashlib
import io
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from sluice.aws.http.headers import common
from sluice.aws.http.protocol import Response
from sluice.aws.http.signature import Signer

_METADATA = "x-amz-meta-"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.~/-]*")  # what `quote` leaves as it is, for a fifth of its time
# The parameters of PutObject that are sent as headers (botocore's service model).
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


class S3Request(NamedTuple):
    """A signed request to the host of `url`. `max_bytes` limits the body that is read."""

    url: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    max_bytes: int | None


class S3Requests:
    """Builds requests. `s3_url` is that of `AwsConfig`. Bodies over `max_bytes` are not read."""

    def __init__(self, s3_url: Callable[[str], str], signer: Signer, max_bytes: int) -> None:
        self._s3_url = s3_url
        self._signer = signer
        self._max_bytes = max_bytes
        self._buckets: dict[str, tuple[str, str, str]] = {}

    def head(self, bucket: str, key: str) -> S3Request:
        """The request of HeadObject."""
        return self._request("HEAD", bucket, key, {})

    def get(self, bucket: str, key: str) -> S3Request:
        """The request of GetObject. The response includes the checksums that are stored with the object."""
        return self._request("GET", bucket, key, {"x-amz-checksum-mode": "ENABLED"}, max_bytes=self._max_bytes)

    def put(
        self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], parameters: Mapping[str, str]
    ) -> S3Request:
        """The request of PutObject. `parameters` has the names of boto3's parameters."""
        headers = {_PUT_HEADERS[name]: value for name, value in parameters.items()}
        for name, value in metadata.items():
            headers[_METADATA + name] = value
        return self._request("PUT", bucket, key, headers, body=body)

    def _request(
        self,
        method: str,
        bucket: str,
        key: str,
        headers: Mapping[str, str],
        *,
        body: bytes = b"",
        max_bytes: int | None = None,
    ) -> S3Request:
        url, host, prefix = self._bucket(bucket)
        path = f"{prefix}/{key if _PLAIN_KEY.fullmatch(key) else quote(key, safe='/~')}"
        signed = self._signer.sign(method, host, path, common(headers), body)
        return S3Request(url, method, path, signed, body, max_bytes)

    def _bucket(self, bucket: str) -> tuple[str, str, str]:
        known = self._buckets.get(bucket)
        if known is None:
            parts = urlsplit(self._s3_url(bucket))
            known = self._buckets[bucket] = f"{parts.scheme}://{parts.netloc}", parts.netloc, parts.path
        return known


# The result of a call for each response. None means that boto3 must make the call: there was no usable response.


def headed(response: Response | None) -> dict[str, Any] | None:
    """What HeadObject returns."""
    return None if response is None or response.status != 200 else _object(response)


def got(response: Response | None) -> dict[str, Any] | None:
    """The result of GetObject. It is None also if a checksum does not match the body."""
    if response is None or response.status != 200 or not _is_intact(response):
        return None
    return {**_object(response), "Body": io.BytesIO(response.body)}


def put(response: Response | None) -> dict[str, Any] | None:
    """The result of PutObject."""
    if response is None or response.status != 200:
        return None
    return {"ETag": response.headers["etag"], "VersionId": response.headers.get("x-amz-version-id")}


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
    """Whether the body matches its checksums, except those that end in `-<parts>`: they are checksums of checksums."""
    return all(
        base64.b64encode(digest(response.body)).decode() == stated
        for name, digest in _DIGESTS.items()
        if (stated := response.headers.get(name)) is not None and "-" not in stated
    )
