"""Authorizes calls: asks the local AWS, which has all keys and policies, as SageMaker asks IAM."""

import ssl
from pathlib import Path

import httpx2
from starlette.requests import Request

from local.endpoint.api import ServiceFault

_SECONDS = 60


class Authorizer:
    """Asks the local AWS at `url`; `authority` is the PEM file of its certificate authority."""

    def __init__(self, url: str, authority: Path) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(
            trust_env=False, verify=ssl.create_default_context(cafile=authority), timeout=_SECONDS
        )

    async def check(self, request: Request, body: bytes) -> None:
        """Check the request's signature and its signer's permission. Raises `ServiceFault` if either fails."""
        # The local AWS has no SageMaker, but it checks signature and permission before it returns that error.
        response = await self._client.post(f"{self._url}{request.url.path}", content=body, headers=request.headers.raw)
        if response.status_code == httpx2.codes.FORBIDDEN:
            error = response.json()
            denied = "AccessDenied" in error["__type"]
            code = "AccessDeniedException" if denied else "UnrecognizedClientException"
            raise ServiceFault(code, error.get("message") or error["Message"])
