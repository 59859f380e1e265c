"""SageMaker's container contract: `GET /ping` and `POST /invocations` for any `Model`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's response: the body and its MIME type."""

    body: bytes
    content_type: str


class InputError(Exception):
    """The input is invalid; the message says what is wrong and what to do. `status` is 400, or 415 for a wrong type.

    `document` is the body of the response; by default it has the message as `error`.
    """

    def __init__(self, message: str, status: int = 400, *, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = document or {"error": message}


class Model(Protocol):
    """A trained model."""

    def predict(self, body: bytes, content_type: str, accept: str) -> Prediction:
        """The prediction for one request. Raises `InputError`."""


def create_app(model: Model) -> Starlette:
    """The container's ASGI application."""

    async def ping(_request: Request) -> Response:
        return Response()

    async def invocations(request: Request) -> Response:
        body = await request.body()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            prediction = await run_in_threadpool(
                model.predict, body, content_type, request.headers.get("accept", "*/*")
            )
        except InputError as error:
            return JSONResponse(error.document, error.status)
        except Exception as error:  # noqa: BLE001 - a container returns 500 for any exception of its model
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 500)
        response = Response(prediction.body, media_type=prediction.content_type)
        given = request.headers.get(_CUSTOM_ATTRIBUTES)
        if given is not None:
            response.headers[_CUSTOM_ATTRIBUTES] = f"Trace ID: {given}"  # as in the InvokeEndpoint page's example
        return response

    return Starlette(routes=[Route("/ping", ping), Route("/invocations", invocations, methods=["POST"])])
