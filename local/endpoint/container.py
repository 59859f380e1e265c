"""Forwards a call to a container that speaks SageMaker's contract, and says of its answer what SageMaker says."""

from collections.abc import Mapping

import httpx2
from starlette.responses import Response

from local.endpoint.api import REQUEST_HEADERS, RESPONSE_HEADERS, ServiceFault, request_id
from local.endpoint.faults import TIMED_OUT

_CUT = 1024  # what of a container's own message SageMaker repeats in its own


class Container:
    """A container at `url`, behind the endpoint `endpoint_name`. `timeout` is in seconds."""

    def __init__(
        self, client: httpx2.AsyncClient, endpoint_name: str, url: str, *, account: str, region: str, timeout: float
    ) -> None:
        self._client = client
        self._url = f"{url}/invocations"
        self._account = account
        self._timeout = timeout
        group = f"/aws/sagemaker/Endpoints/{endpoint_name}"
        self._log_stream_arn = f"arn:aws:logs:{region}:{account}:log-group:{group}"
        self._console = (
            f"See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} "
            f"in account {account} for more information."
        )

    async def invoke(self, body: bytes, parameters: Mapping[str, str]) -> Response:
        """The container's answer, as the runtime's.

        Raises `ServiceFault`: ModelError for its 4xx, 5xx and time-out, ServiceUnavailable when it can't be reached.
        """
        headers = {REQUEST_HEADERS[name]: value for name, value in parameters.items()}
        try:
            answer = await self._client.post(self._url, content=body, headers=headers, timeout=self._timeout)
        except httpx2.TimeoutException:
            raise self._model_error(0, "", f"{TIMED_OUT} {self._console}") from None
        except httpx2.TransportError as error:
            raise ServiceFault(
                "ServiceUnavailable", f"The container can't be reached: {type(error).__name__}"
            ) from None
        if not answer.is_success:
            kind = "client" if answer.is_client_error else "server"
            message = (
                f'Received {kind} error ({answer.status_code}) from primary with message "{answer.text[:_CUT]}". '
                f"{self._console}"
            )
            raise self._model_error(answer.status_code, answer.text, message)
        response = Response(answer.content, headers=request_id())
        # What SageMaker adds or passes on; it strips all other headers.
        passed = {
            "InvokedProductionVariant": parameters.get("TargetVariant", "AllTraffic"),
            **{name: answer.headers[header] for name, header in RESPONSE_HEADERS.items() if header in answer.headers},
        }
        for name, value in passed.items():
            response.headers[RESPONSE_HEADERS[name]] = value
        return response

    def _model_error(self, status: int, original: str, message: str) -> ServiceFault:
        return ServiceFault(
            "ModelError",
            message,
            OriginalStatusCode=status,
            OriginalMessage=original,
            LogStreamArn=self._log_stream_arn,
        )
