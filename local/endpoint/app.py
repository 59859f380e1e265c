"""The HTTP application: InvokeEndpoint, and routes for tests and operators: faults, calls, health."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx2
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.endpoint.api import MAX_BODY_BYTES, REQUEST_HEADERS, ServiceFault, validated
from local.endpoint.authorization import Authorizer
from local.endpoint.broken import Cut, Drop, Hang
from local.endpoint.calls import Call, Calls
from local.endpoint.container import Container
from local.endpoint.control import ControlPlane
from local.endpoint.faults import Invocation, Plan
from local.endpoint.model_error import ModelErrors

_log = logging.getLogger("local.endpoint")


@dataclass(frozen=True)
class Config:
    """`endpoints` maps endpoint names to the URLs of their containers; the timeout is SageMaker's, in seconds.

    Without an `authorizer`, all signed calls are allowed.
    """

    endpoints: Mapping[str, str]
    account: str = "000000000000"
    region: str = "us-east-1"
    max_body_bytes: int = MAX_BODY_BYTES
    container_timeout_seconds: float = 60
    plan: Plan = field(default_factory=Plan)
    authorizer: Authorizer | None = None


class Endpoint:
    """The runtime of one account and region."""

    def __init__(self, config: Config, client: httpx2.AsyncClient) -> None:
        self._config = config
        self._plan = config.plan
        self._calls = Calls()
        self._model_errors = ModelErrors(config.account, config.region)
        self._containers = {
            name: Container(
                client, name, url, model_errors=self._model_errors, timeout=config.container_timeout_seconds
            )
            for name, url in config.endpoints.items()
        }

    async def invocations(self, request: Request) -> Response:
        """InvokeEndpoint."""
        name, body = request.path_params["name"], await request.body()
        call = self._calls.begin(name)
        call.inference_id = request.headers.get(REQUEST_HEADERS["InferenceId"])
        call.custom_attributes = request.headers.get(REQUEST_HEADERS["CustomAttributes"])
        try:
            response = await self._respond(body, request, call)
        except ServiceFault as fault:
            call.error = fault.code
            response = fault.response()
        if not isinstance(response, Hang | Drop | Cut):
            call.status = response.status_code
        self._calls.end(call)
        _log.info("%s %s %s", name, call.inference_id or "-", call.error or call.status or call.fault)
        return response

    async def _respond(self, body: bytes, request: Request, call: Call) -> Response:
        name = call.endpoint_name
        parameters = validated(name, request.headers, body, self._config.max_body_bytes)
        if self._config.authorizer is not None:
            await self._config.authorizer.check(request, body)
        rule = self._plan.fault_for(Invocation(name, body, parameters))
        if rule is not None:
            call.fault = rule.fault
            await asyncio.sleep(rule.delay_seconds)
            if (error := rule.error(name, self._model_errors)) is not None:
                raise error
            if (broken := rule.response()) is not None:
                return broken
        if name not in self._containers:
            raise ServiceFault("ValidationError", f"Endpoint {name} of account {self._config.account} not found.")
        response = await self._containers[name].invoke(body, parameters)
        call.billed = True
        return response

    async def faults(self, request: Request) -> Response:
        """GET, PUT or DELETE the fault plan."""
        if request.method == "PUT":
            try:
                self._plan = Plan.model_validate_json(await request.body())
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False, include_input=False)
                return JSONResponse(problems, status_code=400)
        elif request.method == "DELETE":
            self._plan = Plan()
        return JSONResponse(self._plan.model_dump())

    async def calls(self, request: Request) -> Response:
        """GET the recorded calls, oldest first; DELETE also clears them."""
        calls = self._calls.to_json()
        if request.method == "DELETE":
            self._calls.clear()
        return JSONResponse(calls)


async def _health(_request: Request) -> Response:
    return Response("ok")


async def _no_operation(_request: Request, _error: Exception) -> Response:
    return ServiceFault("UnknownOperationException", "There is no such operation.").response()


async def _unforeseen(_request: Request, _error: Exception) -> Response:
    return ServiceFault("InternalFailure", "An internal failure occurred.").response()


def create_app(config: Config) -> Starlette:
    """The ASGI application."""
    # Connect to the containers directly, ignoring proxies in the environment.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    client = httpx2.AsyncClient(trust_env=False, limits=limits)
    endpoint = Endpoint(config, client)
    control_plane = ControlPlane(config.endpoints.keys(), config.account, config.region)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(
        routes=[
            Route("/endpoints/{name}/invocations", endpoint.invocations, methods=["POST"]),
            Route("/", control_plane.call, methods=["POST"]),
            Route("/_faults", endpoint.faults, methods=["GET", "PUT", "DELETE"]),
            Route("/_calls", endpoint.calls, methods=["GET", "DELETE"]),
            Route("/_health", _health),
        ],
        exception_handlers={404: _no_operation, 405: _no_operation, Exception: _unforeseen},
        lifespan=lifespan,
    )
