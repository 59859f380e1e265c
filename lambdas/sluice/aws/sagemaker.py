"""Implements `Endpoint` with SageMaker."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice.aws.clients import Clients
from sluice.aws.errors import translate_errors
from sluice.aws.loop import Loop
from sluice.aws.storage_guard import StorageGuard
from sluice.concurrency import now
from sluice.failures import ModelRetry, Operation
from sluice.ports import Admit, Inference

if TYPE_CHECKING:
    from sluice.aws.http.sagemaker import LeanSageMakerRuntime


class SageMakerEndpoint:
    """Implements `Endpoint` with a sagemaker-runtime client, which must not retry: each attempt is billed.

    If `model_messages` is false, the messages of the model's errors are private. `model_retry` says which of these
    errors are retried. No call is made while the answers cannot be stored, as `guard` says.
    """

    def __init__(
        self,
        client: "LeanSageMakerRuntime | Boto3SageMakerRuntime",
        *,
        model_messages: bool = True,
        model_retry: ModelRetry | None = None,
        guard: StorageGuard | None = None,
    ) -> None:
        self._client = client
        self._model_retry = model_retry or ModelRetry()
        self._guard = guard or StorageGuard()
        self._private = () if model_messages else ("ModelError",)

    async def invoke(
        self,
        endpoint_name: str,
        body: bytes,
        parameters: Mapping[str, str],
        *,
        seconds: float,
        admit: Admit | None = None,
    ) -> Inference:
        """Call InvokeEndpoint and read the complete response, within `seconds`. Raises `ServiceError`."""
        self._guard.check()
        arguments: dict[str, Any] = dict(parameters)
        with translate_errors(Operation.INVOKE, private=self._private, model_retry=self._model_retry):
            response = await self._client.invoke_endpoint(
                EndpointName=endpoint_name, Body=body, until=now() + seconds, admit=admit, **arguments
            )
        return Inference(
            body=response["Body"].read(),
            content_type=response.get("ContentType"),
            invoked_production_variant=response.get("InvokedProductionVariant"),
            custom_attributes=response.get("CustomAttributes"),
            new_session_id=response.get("NewSessionId"),
            closed_session_id=response.get("ClosedSessionId"),
        )


class Boto3SageMakerRuntime:
    """boto3's client. Each call is made in a thread, and is limited by the client's timeouts instead of `until`.

    It admits no response: boto3 reads all of it.
    """

    def __init__(self, loop: Loop, clients: Clients) -> None:
        self._loop = loop
        self._clients = clients

    async def invoke_endpoint(self, *, until: float, admit: Admit | None, **arguments: Any) -> Any:  # noqa: ARG002 - see above
        """Call InvokeEndpoint and read the body. Raises `ClientError` or `BotoCoreError`."""
        return await self._loop.in_thread(self._invoke, arguments)

    def _invoke(self, arguments: dict[str, Any]) -> Any:
        response: Any = self._clients.sagemaker_runtime.invoke_endpoint(**arguments)
        return {**response, "Body": io.BytesIO(response["Body"].read())}
