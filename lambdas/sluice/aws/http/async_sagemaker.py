"""InvokeEndpoint, awaited: sent once, whatever becomes of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.sagemaker import invocation, invoked, service_error
from sluice.aws.http.signature import Signer
from sluice.aws.loop import Loop
from sluice.concurrency import now

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient


class AsyncSageMakerRuntime:
    """InvokeEndpoint as boto3's sagemaker-runtime client has it; `boto3_client` knows what an error response means.

    `call_seconds` is what a call may take in all, from connecting to the last byte of the response.
    """

    def __init__(
        self,
        loop: Loop,
        pool: ConnectionPool,
        signer: Signer,
        boto3_client: Callable[[], "SageMakerRuntimeClient"],
        *,
        call_seconds: float,
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._signer = signer
        self._boto3 = boto3_client
        self._call_seconds = call_seconds

    async def invoke_endpoint(
        self,
        *,
        EndpointName: str,  # noqa: N803 - boto3's names
        Body: bytes,  # noqa: N803
        until: float | None = None,
        **parameters: str,
    ) -> Any:
        """InvokeEndpoint, without retries. Raises `ClientError` or `BotoCoreError`.

        `until` is the time on the scheduler's clock by which the call must end, if that is earlier than else.
        """
        path, headers = invocation(self._signer, self._pool.host, EndpointName, Body, parameters)
        end = now() + self._call_seconds
        response = await self._pool.request(
            "POST", path, headers, Body, until=end if until is None else min(end, until)
        )
        if response.status >= 300:
            # In a thread: boto3's client may have to be made first.
            raise await self._loop.in_thread(lambda: service_error(self._boto3(), response))
        return invoked(response)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()
