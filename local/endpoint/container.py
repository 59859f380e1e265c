"""Forwards a call to a container that speaks SageMaker's contract, and says of its answer what SageMaker says."""

import asyncio
from collections.abc import Mapping

import httpx2
from starlette.responses import Response

from local.endpoint.api import REQUEST_HEADERS, RESPONSE_HEADERS, ServiceFault, request_id
from local.endpoint.model_error import ModelErrors

_CONNECT_SECONDS = 5.0
_ITS_OWN = "InvokedProductionVariant"  # the one response header that is SageMaker's and not the container's


class Container:
    """A container at `url`, behind the endpoint `endpoint_name`. `timeout` is all the time it has, in seconds."""

    def __init__(
        self, client: httpx2.AsyncClient, endpoint_name: str, url: str, *, model_errors: ModelErrors, timeout: float
    ) -> None:
        self._client = client
        self._endpoint_name = endpoint_name
        self._url = f"{url}/invocations"
        self._model_errors = model_errors
        self._timeout = timeout

    async def invoke(self, body: bytes, parameters: Mapping[str, str]) -> Response:
        """The container's answer, as the runtime's.

        Raises `ServiceFault`: ModelError for its 4xx, 5xx and time-out, ServiceUnavailable when it can't be reached.
        """
        try:
            async with asyncio.timeout(self._timeout):
                answer, content = await self._post(body, parameters)
        except TimeoutError:
            raise self._model_errors.timed_out(self._endpoint_name) from None
        except httpx2.TransportError as error:
            raise ServiceFault(
                "ServiceUnavailable", f"The container can't be reached: {type(error).__name__}"
            ) from None
        if not answer.is_success:
            text = content.decode(errors="replace")
            raise self._model_errors.refused(self._endpoint_name, answer.status_code, text)
        answer.headers.encoding = "latin-1"  # Starlette's, so that each byte of a value passes
        response = Response(content, headers=request_id())
        # What SageMaker adds or passes on; it strips all other headers.
        response.headers[RESPONSE_HEADERS[_ITS_OWN]] = parameters.get("TargetVariant", "AllTraffic")
        for name, header in RESPONSE_HEADERS.items():
            if name != _ITS_OWN and header in answer.headers:
                response.headers[header] = answer.headers[header]
        return response

    async def _post(self, body: bytes, parameters: Mapping[str, str]) -> tuple[httpx2.Response, bytes]:
        """The container's answer, and its body as it is on the wire."""
        headers = [(b"Accept-Encoding", b"identity")]
        headers += [(REQUEST_HEADERS[name].encode(), value.encode("latin-1")) for name, value in parameters.items()]
        timeout = httpx2.Timeout(None, connect=_CONNECT_SECONDS)  # `invoke` has the time of the whole
        async with self._client.stream("POST", self._url, content=body, headers=headers, timeout=timeout) as answer:
            return answer, b"".join([chunk async for chunk in answer.aiter_raw()])
