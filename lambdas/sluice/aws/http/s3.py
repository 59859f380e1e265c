"""The S3 calls that each request makes. If one fails, boto3's client makes it again, in a thread."""

import io
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.protocol import Response, TooLarge
from sluice.aws.http.s3_calls import S3Request, S3Requests, got, headed, put
from sluice.aws.loop import Loop
from sluice.concurrency import now

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class LeanS3:
    """HeadObject, GetObject and PutObject, with the parameters and results of boto3's S3 client.

    `pools` creates the connection pool of a URL. `call_seconds` is the time limit of a call, after which `boto3_client`
    makes it again. `max_bytes` is the maximum size of a body that is read into memory.
    """

    def __init__(
        self,
        loop: Loop,
        pools: Callable[[str], ConnectionPool],
        requests: S3Requests,
        boto3_client: Callable[[], "S3Client"],
        *,
        call_seconds: float,
        max_bytes: int,
    ) -> None:
        self._loop = loop
        self._make_pool = pools
        self._requests = requests
        self._boto3 = boto3_client
        self._call_seconds = call_seconds
        self._max_bytes = max_bytes
        self._pools: dict[str, ConnectionPool] = {}

    async def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803 - boto3's parameter names, here and below
        """HeadObject. Returns None if there is no object, where boto3 raises an error. Most requests find none.

        Raises `ClientError`, with the status 404 if boto3 finds no object, or `BotoCoreError`.
        """
        response = await self._send(self._requests.head(Bucket, Key))
        if response is not None and response.status == 404:
            return None
        if (found := headed(response)) is not None:
            return found
        return await self._loop.in_thread(lambda: self._boto3().head_object(Bucket=Bucket, Key=Key))

    async def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """Call GetObject. Raises `ClientError` or `BotoCoreError`.

        The body has been read, unless it is over `max_bytes`. In that case, it is boto3's stream, which must be closed.
        """
        found = got(await self._send(self._requests.get(Bucket, Key)))
        return await self._loop.in_thread(self._get_object, Bucket, Key) if found is None else found

    async def put_object(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        Metadata: Mapping[str, str] | None = None,  # noqa: N803
        **parameters: str,
    ) -> Any:
        """Call PutObject. Raises `ClientError` or `BotoCoreError`."""
        found = put(await self._send(self._requests.put(Bucket, Key, Body, Metadata or {}, parameters)))
        if found is not None:
            return found
        arguments: dict[str, Any] = {**parameters, **({} if Metadata is None else {"Metadata": Metadata})}
        return await self._loop.in_thread(
            lambda: self._boto3().put_object(Bucket=Bucket, Key=Key, Body=Body, **arguments)
        )

    def close(self) -> None:
        """Close the idle connections."""
        for pool in self._pools.values():
            pool.close()

    async def _send(self, request: S3Request) -> Response | None:
        """The response, or None if there was none, so that boto3 must retry."""
        pool = self._pools.get(request.url)
        if pool is None:
            pool = self._pools[request.url] = self._make_pool(request.url)
        try:
            return await pool.request(
                request.method,
                request.path,
                request.headers,
                request.body,
                until=now() + self._call_seconds,
                max_bytes=request.max_bytes,
            )
        except (BotoCoreError, TooLarge):
            return None

    def _get_object(self, bucket: str, key: str) -> Any:
        response: Any = self._boto3().get_object(Bucket=bucket, Key=key)
        if response["ContentLength"] <= self._max_bytes:
            # Read in this thread. `with` on the body would return urllib3's stream, which raises urllib3's errors.
            with closing(response["Body"]) as stream:
                response["Body"] = io.BytesIO(stream.read())
        return response
