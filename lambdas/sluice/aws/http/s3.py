"""S3's hot calls. What isn't answered at once, boto3's client is asked again: all three are safe to repeat."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from sluice.aws.http.connections import Connections
from sluice.aws.http.protocol import Response, TooLarge
from sluice.aws.http.s3_calls import S3Request, S3Requests, got, headed, put
from sluice.aws.http.signature import Signer

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


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
        self._requests = S3Requests(s3_url, signer, max_bytes)
        self._boto3 = boto3_client
        self._hosts: dict[str, Connections] = {}

    def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803 - boto3's names, here and below
        """HeadObject. Raises `ClientError`, with 404 where nothing stands, or `BotoCoreError`."""
        found = headed(self._send(self._requests.head(Bucket, Key)))
        return self._boto3().head_object(Bucket=Bucket, Key=Key) if found is None else found

    def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """GetObject. Raises `ClientError` or `BotoCoreError`."""
        found = got(self._send(self._requests.get(Bucket, Key)))
        return self._boto3().get_object(Bucket=Bucket, Key=Key) if found is None else found

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
        found = put(self._send(self._requests.put(Bucket, Key, Body, Metadata or {}, parameters)))
        if found is not None:
            return found
        arguments: dict[str, Any] = {**parameters, **({} if Metadata is None else {"Metadata": Metadata})}
        return self._boto3().put_object(Bucket=Bucket, Key=Key, Body=Body, **arguments)

    def delete_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """DeleteObject, which is never hot: boto3's."""
        return self._boto3().delete_object(Bucket=Bucket, Key=Key)

    def close(self) -> None:
        """Close the idle connections."""
        for connections in self._hosts.values():
            connections.close()

    def _send(self, request: S3Request) -> Response | None:
        """The response, or None where there was none and boto3 is to try."""
        connections = self._hosts.get(request.url)
        if connections is None:
            connections = self._hosts[request.url] = self._connect(request.url)
        try:
            return connections.request(
                request.method, request.path, request.headers, request.body, max_bytes=request.max_bytes
            )
        except (BotoCoreError, TooLarge):
            return None
