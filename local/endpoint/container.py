"""Forwards a call to a SageMaker-compatible container, and converts its response as SageMaker does."""

import asyncio
from collections.abc import Mapping

import httpx2
from starlette.responses import Response

from local.endpoint.api import REQUEST_HEADERS, RESPONSE_HEADERS, ServiceFault, request_id
from local.endpoint.model_error import ModelErrors

_CONNECT_SECONDS = 5.0
_VARIANT = "InvokedProductionVariant"  # the only response header that SageMaker sets itself


class Container:
    """The container at `url` of the endpoint `endpoint_name`. `timeout` is the total time of a call, in seconds."""

    def __init__(
        self, client: httpx2.AsyncClient, endpoint_name: str, url: str, *, model_errors: ModelErrors, timeout: float
    ) -> None:
        self._client = client
        self._endpoint_name = endpoint_name
        self._url = f"{url}/invocations"
        self._model_errors = model_errors
        self._timeout = timeout

    async def invoke(self, body: bytes, parameters: Mapping[str, str]) -> Response:
        """Call the container, and return the runtime's response.

        Raises `ServiceFault`: ModelError for a 4xx, 5xx or timeout, ServiceUnavailable if the container is unreachable.
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
            raise self._model_errors.rejected(self._endpoint_name, answer.status_code, text)
        answer.headers.encoding = "latin-1"  # as in Starlette, so that every byte of a value is kept
        response = Response(content, headers=request_id())
        # SageMaker adds the variant, passes on these headers, and removes all others.
        response.headers[RESPONSE_HEADERS[_VARIANT]] = parameters.get("TargetVariant", "AllTraffic")
        for name, header in RESPONSE_HEADERS.items():
            if name != _VARIANT and header in answer.headers:
                response.headers[header] = answer.headers[header]
        return response

    async def _post(self, body: bytes, parameters: Mapping[str, str]) -> tuple[httpx2.Response, bytes]:
        """The container's response and its raw body."""
        headers = [(b"Accept-Encoding", b"identity")]
        headers += [(REQUEST_HEADERS[name].encode(), value.encode("latin-1")) for name, value in parameters.items()]
        timeout = httpx2.Timeout(None, connect=_CONNECT_SECONDS)  # `invoke` limits the total time
        async with self._client.stream("POST", self._url, content=body, headers=headers, timeout=timeout) as answer:
            return answer, b"".join([chunk async for chunk in answer.aiter_raw()])
