"""The HTTP face: InvokeEndpoint, and beside it what a test or an operator asks: faults, calls, health."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from local.endpoint.api import MAX_BODY_BYTES, ServiceFault, request_id, validated
from local.endpoint.container import Container
from local.endpoint.faults import Call, Plan, Rule

_log = logging.getLogger("local.endpoint")
_KEPT_CALLS = 20_000


@dataclass(frozen=True)
class Config:
    """`endpoints` maps endpoint names to the URLs of their containers; the timeout is SageMaker's, in seconds."""

    endpoints: Mapping[str, str]
    account: str = "000000000000"
    region: str = "us-east-1"
    max_body_bytes: int = MAX_BODY_BYTES
    container_timeout_seconds: float = 60
    plan: Plan = field(default_factory=Plan)


class Endpoint:
    """The runtime of one account and region."""

    def __init__(self, config: Config, client: httpx2.AsyncClient) -> None:
        self._config = config
        self._plan = config.plan
        self._calls: deque[dict[str, Any]] = deque(maxlen=_KEPT_CALLS)
        self._containers = {
            name: Container(
                client,
                name,
                url,
                account=config.account,
                region=config.region,
                timeout=config.container_timeout_seconds,
            )
            for name, url in config.endpoints.items()
        }

    async def invocations(self, request: Request) -> Response:
        """InvokeEndpoint."""
        name, body = request.path_params["name"], await request.body()
        record: dict[str, Any] = {"EndpointName": name, "Fault": None, "Billed": False}
        self._calls.append(record)
        try:
            response = await self._answer(name, body, request, record)
        except ServiceFault as fault:
            record["Error"] = fault.code
            response = fault.response()
        record["Status"] = response.status_code
        _log.info("%s %s %s", name, record.get("InferenceId", "-"), record.get("Error", response.status_code))
        return response

    async def _answer(self, name: str, body: bytes, request: Request, record: dict[str, Any]) -> Response:
        parameters = validated(name, request.headers, body, self._config.max_body_bytes)
        record |= {key: parameters[key] for key in ("InferenceId", "CustomAttributes") if key in parameters}
        rule = self._plan.fault_for(Call(name, body, parameters))
        if rule is not None:
            record["Fault"] = rule.fault
            if (broken := await _fault(rule)) is not None:
                return broken
        if name not in self._containers:
            raise ServiceFault("ValidationError", f"Endpoint {name} of account {self._config.account} not found.")
        response = await self._containers[name].invoke(body, parameters)
        record["Billed"] = True
        return response

    async def faults(self, request: Request) -> Response:
        """GET, PUT and DELETE of the fault plan."""
        if request.method == "PUT":
            try:
                self._plan = Plan.model_validate_json(await request.body())
            except ValidationError as error:
                return JSONResponse(error.errors(include_url=False, include_context=False), status_code=400)
        elif request.method == "DELETE":
            self._plan = Plan()
        return JSONResponse(self._plan.model_dump())

    async def calls(self, request: Request) -> Response:
        """GET of the calls there were, oldest first; DELETE forgets them."""
        calls = list(self._calls)
        if request.method == "DELETE":
            self._calls.clear()
        return JSONResponse({"Calls": calls})


async def _fault(rule: Rule) -> Response | None:
    """What the caller gets, or None when it gets the container's answer after all."""
    await asyncio.sleep(rule.delay_seconds)
    if (error := rule.error()) is not None:
        raise error
    if rule.fault == "garbage":
        return Response("<html><body>502 Bad Gateway</body></html>", 500, {**request_id(), "Content-Type": "text/html"})
    if rule.fault == "hang":
        return _Hang()
    if rule.fault == "drop":
        return _Drop()
    return None


class _Hang(Response):
    """Never answers, until the client goes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        while (await receive())["type"] != "http.disconnect":
            pass


class _Drop(Response):
    """Promises a long answer and closes the connection in its middle."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        headers = [(b"content-length", b"1000000"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"predictions": [', "more_body": True})


async def _health(_request: Request) -> Response:
    return Response("ok")


def create_app(config: Config) -> Starlette:
    """The ASGI application."""
    # Straight to the containers, whatever proxy the environment names.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    client = httpx2.AsyncClient(trust_env=False, limits=limits)
    endpoint = Endpoint(config, client)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(
        routes=[
            Route("/endpoints/{name}/invocations", endpoint.invocations, methods=["POST"]),
            Route("/_faults", endpoint.faults, methods=["GET", "PUT", "DELETE"]),
            Route("/_calls", endpoint.calls, methods=["GET", "DELETE"]),
            Route("/_health", _health),
        ],
        lifespan=lifespan,
    )
