"""Who may call an endpoint: the local AWS, which knows all keys and policies, is asked as SageMaker asks IAM."""

import asyncio
import hashlib
import re
import ssl
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx2
from starlette.requests import Request

from local.endpoint.api import ServiceFault

if TYPE_CHECKING:
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_lambda.client import LambdaClient

_ACTION = "sagemaker:InvokeEndpoint"
_KEY = re.compile(r"Credential=([A-Z0-9a-z]+)/")


class Authorizer:
    """Asks the local AWS at `url`, whose certificate `authority` (a PEM file) vouches for.

    It is to run with the credentials of the account's root user in its environment; whoever signs with them may do
    anything, as in AWS.
    """

    def __init__(self, url: str, authority: Path) -> None:
        self._url = url
        self._authority = authority
        self._client = httpx2.AsyncClient(
            trust_env=False, verify=ssl.create_default_context(cafile=authority), timeout=60
        )
        self._session = boto3.Session()

    async def check(self, request: Request, body: bytes, endpoint_arn: str) -> None:
        """Raises `ServiceFault` when the request's signature is wrong, or its signer may not invoke the endpoint."""
        await self._authenticate(request, body)
        found = _KEY.search(request.headers["authorization"])
        access_key_id = found[1] if found else ""
        credentials = self._session.get_credentials()
        if credentials is not None and access_key_id == credentials.access_key:
            return
        role = await asyncio.to_thread(self._role, access_key_id)
        if role is None or not await asyncio.to_thread(self._may_invoke, role, endpoint_arn):
            raise ServiceFault(
                "AccessDeniedException",
                f"User: {role or access_key_id} is not authorized to perform: {_ACTION} on resource: {endpoint_arn} "
                f"because no identity-based policy allows the {_ACTION} action",
            )

    async def _authenticate(self, request: Request, body: bytes) -> None:
        # The local AWS has no SageMaker, but it looks at the signature of whatever comes before it says so.
        answer = await self._client.post(f"{self._url}{request.url.path}", content=body, headers=request.headers.raw)
        if answer.status_code == httpx2.codes.FORBIDDEN:
            refusal: Mapping[str, str] = answer.json()
            raise ServiceFault("UnrecognizedClientException", refusal["message"])

    def _role(self, access_key_id: str) -> str | None:
        """The role of the function whose key that is."""
        for page in self._lambda.get_paginator("list_functions").paginate():
            for function in page["Functions"]:
                if access_key_id == _session_key(function["FunctionArn"], function["Role"]):
                    return function["Role"]
        return None

    def _may_invoke(self, role: str, endpoint_arn: str) -> bool:
        simulated = self._iam.simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[_ACTION], ResourceArns=[endpoint_arn]
        )
        return all(result["EvalDecision"] == "allowed" for result in simulated["EvaluationResults"])

    @cached_property
    def _lambda(self) -> "LambdaClient":
        client: LambdaClient = self._boto3("lambda")
        return client

    @cached_property
    def _iam(self) -> "IAMClient":
        client: IAMClient = self._boto3("iam")
        return client

    def _boto3(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._url, verify=str(self._authority))  # type: ignore[call-overload]


def _session_key(function_arn: str, role: str) -> str:
    """The access key ID that ministack gives a function's session, from which no API of AWS leads back to its role."""
    return f"ASIA{hashlib.sha256(f'{function_arn}:{role}'.encode()).hexdigest()[:16].upper()}"
