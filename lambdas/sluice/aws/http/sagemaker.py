"""InvokeEndpoint: sent once, without retries."""

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sluice.aws.http.headers import common
from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.protocol import Response
from sluice.aws.http.signature import Signer
from sluice.aws.loop import Loop
from sluice.concurrency import now
from sluice.inputs.message import FORWARDED
from sluice.inputs.strict_json import TooDeep, loads
from sluice.ports import Admit

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

# The parameters and response elements that are sent as headers (botocore's service model; InvokeEndpoint API page).
PARAMETERS = {parameter: f"x-amzn-sagemaker-{field.replace('_', '-')}" for parameter, field in FORWARDED.items()} | {
    "ContentType": "content-type",
    "Accept": "accept",
    "InferenceComponentName": "x-amzn-sagemaker-inference-component",
}
ELEMENTS = {
    "content-type": "ContentType",
    "x-amzn-invoked-production-variant": "InvokedProductionVariant",
    "x-amzn-sagemaker-custom-attributes": "CustomAttributes",
    "x-amzn-sagemaker-new-session-id": "NewSessionId",
    "x-amzn-sagemaker-closed-session-id": "ClosedSessionId",
}


class LeanSageMakerRuntime:
    """InvokeEndpoint as boto3's sagemaker-runtime client has it; `boto3_client` parses error responses.

    `call_seconds` limits a call, from connecting to the last byte of the response.
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
        EndpointName: str,  # noqa: N803 - boto3's parameter names
        Body: bytes,  # noqa: N803
        until: float | None = None,
        admit: Admit | None = None,
        **parameters: str,
    ) -> Any:
        """InvokeEndpoint, without retries. Raises `ClientError` or `BotoCoreError`.

        `until` is the time on the scheduler's clock by which the call must end, if that is earlier.
        """
        path, headers = invocation(self._signer, self._pool.host, EndpointName, Body, parameters)
        end = now() + self._call_seconds
        response = await self._pool.request(
            "POST", path, headers, Body, until=end if until is None else min(end, until), admit=admit
        )
        if response.status >= 300:
            # Use a thread, because boto3's client may not be created yet, which blocks.
            raise await self._loop.in_thread(lambda: service_error(self._boto3(), response))
        return invoked(response)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()


def invocation(
    signer: Signer, host: str, endpoint_name: str, body: bytes, parameters: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    """The path and the headers of a signed request."""
    path = f"/endpoints/{endpoint_name}/invocations"
    headers = common({PARAMETERS[name]: value for name, value in parameters.items()})
    return path, signer.sign("POST", host, path, headers, body)


def invoked(response: Response) -> dict[str, Any]:
    """The result of InvokeEndpoint for a successful response."""
    found: dict[str, Any] = {ELEMENTS[name]: value for name, value in response.headers.items() if name in ELEMENTS}
    found["Body"] = io.BytesIO(response.body)
    return found


def service_error(client: "SageMakerRuntimeClient", response: Response) -> Exception:
    """The exception that botocore raises for an error response, with the error members of the service model."""
    from botocore.awsrequest import HeadersDict  # noqa: PLC0415 - needed only for errors
    from botocore.parsers import create_parser  # noqa: PLC0415

    boto3: Any = client
    model = boto3.meta.service_model
    parser = create_parser(model.protocol)
    raw = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": _error_body(response.body)}
    parsed = parser.parse(raw, model.operation_model("InvokeEndpoint").output_shape)
    code = parsed.get("Error", {}).get("Code")
    shape = model.shape_for_error_code(code)
    if shape is not None:
        parsed.update(parser.parse(raw, shape))
    error: Exception = boto3.exceptions.from_code(code)(parsed, "InvokeEndpoint")
    return error


def _error_body(body: bytes) -> bytes:
    """`body`, or nothing when it is nested too deeply for botocore's parser: then the headers and the status decide."""
    try:
        loads(body)
    except TooDeep:
        return b""
    except ValueError:
        pass  # the parser takes what is not JSON as the message
    return body
