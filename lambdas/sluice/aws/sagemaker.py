"""`Endpoint` on SageMaker."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice.aws.errors import translate_errors
from sluice.failures import Operation
from sluice.ports import Inference

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

    from sluice.aws.http.sagemaker import LeanSageMakerRuntime


class SageMakerEndpoint:
    """`Endpoint` on the sagemaker-runtime client, which must make one attempt only: its retries would bill twice.

    Without `model_messages`, the text of a model's errors is private.
    """

    def __init__(self, client: "SageMakerRuntimeClient | LeanSageMakerRuntime", *, model_messages: bool = True) -> None:
        self._client = client
        self._private = () if model_messages else ("ModelError",)

    def invoke(self, endpoint_name: str, body: bytes, parameters: Mapping[str, str]) -> Inference:
        """Call InvokeEndpoint, and read the whole response."""
        arguments: dict[str, Any] = dict(parameters)
        with translate_errors(Operation.INVOKE, private=self._private):
            response = self._client.invoke_endpoint(EndpointName=endpoint_name, Body=body, **arguments)
            return Inference(
                body=response["Body"].read(),
                content_type=response.get("ContentType"),
                invoked_production_variant=response.get("InvokedProductionVariant"),
                custom_attributes=response.get("CustomAttributes"),
                new_session_id=response.get("NewSessionId"),
                closed_session_id=response.get("ClosedSessionId"),
            )
