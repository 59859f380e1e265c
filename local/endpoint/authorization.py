"""Who may call an endpoint: the local AWS, which knows all keys and policies, is asked as SageMaker asks IAM."""

import ssl
from pathlib import Path

import httpx2
from starlette.requests import Request

from local.endpoint.api import ServiceFault

_SECONDS = 60


class Authorizer:
    """Asks the local AWS at `url`, whose certificate `authority` (a PEM file) vouches for."""

    def __init__(self, url: str, authority: Path) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(
            trust_env=False, verify=ssl.create_default_context(cafile=authority), timeout=_SECONDS
        )

    async def check(self, request: Request, body: bytes) -> None:
        """Raises `ServiceFault` when the request's signature is wrong, or its signer may not make it."""
        # The local AWS has no SageMaker, but it asks who signs a request and whether they may before it says so.
        answer = await self._client.post(f"{self._url}{request.url.path}", content=body, headers=request.headers.raw)
        if answer.status_code == httpx2.codes.FORBIDDEN:
            refusal = answer.json()
            denied = "AccessDenied" in refusal["__type"]
            code = "AccessDeniedException" if denied else "UnrecognizedClientException"
            raise ServiceFault(code, refusal.get("message") or refusal["Message"])
