"""The ports of `transform/` on AWS, with boto3's clients: files are read and written in parts, and messages sent."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from sluice.aws.adapters import conditional_write, status_of, translate_errors, version_of
from sluice.aws.clients import Clients
from sluice.failures import Operation, ServiceError
from sluice.ports import ObjectHead, PreconditionFailed, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from sluice.aws.http.s3 import LeanS3

_T = TypeVar("_T")

_UPLOAD = 8 * 1024 * 1024  # bytes of an UploadPart: S3 wants 5 MB at least, and takes 10,000 of them
_FEW = 100  # keys: a part that went on by itself became fewer than these
_SEND = 10  # messages of a SendMessageBatch
_AT_ONCE = (
    8  # requests for parts: a large file has thousands, which one after another wait for longer than a function may
)
_LARGE_OUTPUT = 1000  # parts after which they grow, so that any file fits into 10,000


class S3Files:
    """`Files` on the S3 client."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def head(self, bucket: str, key: str) -> ObjectHead:
        """HeadObject."""
        with translate_errors(Operation.READ_INPUT):
            response = self._clients.s3.head_object(Bucket=bucket, Key=key)
            return ObjectHead(
                size=response["ContentLength"],
                content_type=response.get("ContentType"),
                version=version_of(response),
                metadata=response.get("Metadata", {}),
            )

    def read(self, bucket: str, key: str, start: int, end: int, *, etag: str | None) -> bytes:
        """GetObject of a range, `If-Match` its ETag."""
        if start >= end:
            return b""
        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        with translate_errors(Operation.READ_INPUT):
            try:
                response = self._clients.s3.get_object(
                    Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", **condition
                )
                return response["Body"].read()
            except ClientError as error:
                if status_of(error) == 412:
                    raise PreconditionFailed from error
                raise


class S3Parts:
    """`Parts` on the S3 client and the results bucket. What is asked for each part is asked of the `hot` client."""

    def __init__(self, clients: Clients, hot: "S3Client | LeanS3", bucket: str) -> None:
        self._clients = clients
        self._hot = hot
        self._bucket = bucket

    def names(self, folder: str) -> list[str]:
        """ListObjectsV2, a thousand keys at a time."""
        with translate_errors(Operation.STORE_RESULT):
            pages = self._clients.s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=folder)
            return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def names_from(self, folder: str, name: str) -> list[str]:
        """ListObjectsV2 of a few keys."""
        with translate_errors(Operation.STORE_RESULT):
            page = self._clients.s3.list_objects_v2(
                Bucket=self._bucket, Prefix=folder, StartAfter=folder + name, MaxKeys=_FEW
            )
            return [one["Key"] for one in page.get("Contents", [])]

    def describe(self, keys: Iterable[str]) -> Iterator[Mapping[str, str]]:
        """HeadObject, several at once: the user metadata, and the Content-Type as `content-type`."""
        return _prefetch(self._describe, keys)

    def read(self, keys: Iterable[str]) -> Iterator[bytes]:
        """GetObject, several at once."""
        return _prefetch(self._read, keys)

    def _describe(self, key: str) -> Mapping[str, str]:
        with translate_errors(Operation.STORE_RESULT):
            response = self._hot.head_object(Bucket=self._bucket, Key=key)
            return {**response["Metadata"], "content-type": response["ContentType"]}

    def _read(self, key: str) -> bytes:
        with translate_errors(Operation.STORE_RESULT):
            return self._hot.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def assemble(
        self,
        key: str,
        content: Iterable[bytes],
        *,
        content_type: str,
        metadata: Mapping[str, str],
        replaces: StoredObject | None,
    ) -> None:
        """PutObject of what is small, else a multipart upload; its completion has the condition."""
        what: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata)}
        place: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
        pieces = _pieces(content)
        first = next(pieces, b"")
        with translate_errors(Operation.STORE_RESULT), conditional_write(replaces) as condition:
            if len(first) < _UPLOAD:
                self._clients.s3.put_object(**place, Body=first, **what, **condition)
            else:
                self._upload(place, first, pieces, what, condition)

    def _upload(
        self,
        place: dict[str, Any],
        first: bytes,
        rest: Iterable[bytes],
        what: dict[str, Any],
        condition: dict[str, Any],
    ) -> None:
        s3 = self._clients.s3
        upload = {**place, "UploadId": s3.create_multipart_upload(**place, **what)["UploadId"]}
        try:
            etags = [s3.upload_part(**upload, PartNumber=1, Body=first)["ETag"]]
            for number, piece in enumerate(rest, 2):
                etags.append(s3.upload_part(**upload, PartNumber=number, Body=piece)["ETag"])
            parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
            s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            s3.abort_multipart_upload(**upload)
            raise


def _prefetch(ask: Callable[[str], _T], keys: Iterable[str]) -> Iterator[_T]:
    """What `ask` answers for each key, in order, with some asked ahead."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="part") as executor:
        asked: deque[Future[_T]] = deque()
        for key in keys:
            asked.append(executor.submit(ask, key))
            if len(asked) == _AT_ONCE:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()


def _pieces(content: Iterable[bytes]) -> Iterator[bytes]:
    """`content` in pieces of at least `_UPLOAD` bytes, but for the last."""
    buffer = bytearray()
    count = 0
    for data in content:
        buffer += data
        if len(buffer) >= _UPLOAD * (1 + count // _LARGE_OUTPUT):
            yield bytes(buffer)
            buffer.clear()
            count += 1
    if buffer:
        yield bytes(buffer)


class SqsSender:
    """`Sender` on the SQS client and one queue."""

    def __init__(self, clients: Clients, queue_url: str) -> None:
        self._clients = clients
        self._queue_url = queue_url

    def send(self, bodies: Iterable[str]) -> None:
        """SendMessageBatch, ten at a time."""
        every = iter(bodies)
        while batch := list(islice(every, _SEND)):
            entries: Any = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            with translate_errors(Operation.SEND_PARTS):
                response = self._clients.sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
            for failed in response.get("Failed", []):
                raise ServiceError(Operation.SEND_PARTS, failed["Code"], failed.get("Message", "not sent"))
