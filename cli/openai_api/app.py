"""The HTTP application."""

import hmac
import logging
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cli.openai_api.batches import Batches
from cli.openai_api.errors import ApiError, invalid
from cli.openai_api.files import MAX_BYTES, Files, too_large

_MAX_FORM_BYTES = MAX_BYTES + 64 * 1024  # with the other fields and the boundaries
_MAX_JSON_BYTES = 64 * 1024
_FORM_FIELDS = {"file", "purpose"}
_log = logging.getLogger("sluice.openai")


class _Guard:
    """Requires a bearer token, of any value if `api_key` is None, and limits the size of bodies.

    A page in a browser cannot send the token to another site without that site's consent, so that no page that the
    user visits can use a server on this machine.
    """

    def __init__(self, app: ASGIApp, api_key: str | None) -> None:
        self._app = app
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        right = self._api_key is None or hmac.compare_digest(token.strip(), self._api_key.encode())
        if kind.lower() != b"bearer" or not token.strip() or not right:
            message = "give the server's API key" if self._api_key else "give an API key; any value will do"
            error = ApiError(401, f"Authorization: {message}", code="invalid_api_key")
            await JSONResponse(error.document(), error.status)(scope, receive, send)
            return
        is_form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
        await self._app(scope, _limited(receive, _MAX_FORM_BYTES if is_form else _MAX_JSON_BYTES), send)


def _limited(receive: Receive, limit: int) -> Receive:
    left = limit

    async def limited() -> Any:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise too_large() if limit == _MAX_FORM_BYTES else ApiError(413, "the body is too large")
        return message

    return limited


class _Routes:
    def __init__(self, files: Files, batches: Batches) -> None:
        self._files = files
        self._batches = batches

    async def create_file(self, request: Request) -> Response:
        """POST /v1/files. The file is spooled to disk, then uploaded in parts."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise ApiError(400, "Content-Type: must be multipart/form-data")
        parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=16)
        try:
            form = await parser.parse()
        except (MultiPartException, KeyError) as error:
            raise ApiError(400, f"the form is not understood: {error}") from None
        try:
            for name in form.keys() - _FORM_FIELDS:
                raise ApiError(400, f"{name}: is not supported here", param=name, code="unsupported")
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile):
                raise invalid("file", "is required, as a file")
            if not isinstance(purpose, str):
                raise invalid("purpose", "is required: batch")
            created = await run_in_threadpool(
                self._files.create, file.file, file.size or 0, file.filename or "", purpose
            )
        finally:
            await form.close()
        return JSONResponse(created)

    async def list_files(self, request: Request) -> Response:
        """GET /v1/files."""
        order = request.query_params.get("order", "desc")
        if order not in {"asc", "desc"}:
            raise invalid("order", "must be asc or desc")
        limit = _limit(request, 10_000, 10_000)
        listed = await run_in_threadpool(
            self._files.list, request.query_params.get("purpose"), newest_first=order == "desc"
        )
        if (after := request.query_params.get("after")) is not None:
            known = [one["id"] for one in listed]
            if after not in known:
                raise invalid("after", "must be the ID of a file")
            listed = listed[known.index(after) + 1 :]
        return _page(listed[:limit], has_more=len(listed) > limit)

    async def file(self, request: Request) -> Response:
        """GET and DELETE /v1/files/{id}."""
        method = self._files.delete if request.method == "DELETE" else self._files.get
        return JSONResponse(await run_in_threadpool(method, request.path_params["id"]))

    async def content(self, request: Request) -> Response:
        """GET /v1/files/{id}/content."""
        pieces = await run_in_threadpool(self._files.content, request.path_params["id"])
        return StreamingResponse(pieces, media_type="application/octet-stream")

    async def create_batch(self, request: Request) -> Response:
        """POST /v1/batches."""
        try:
            given = await request.json()
        except (ValueError, RecursionError):
            raise ApiError(400, "the body must be a JSON object") from None
        return JSONResponse(await run_in_threadpool(self._batches.create, given))

    async def list_batches(self, request: Request) -> Response:
        """GET /v1/batches."""
        listed, more = await run_in_threadpool(
            self._batches.list, request.query_params.get("after"), _limit(request, 20, 100)
        )
        return _page(listed, has_more=more)

    async def batch(self, request: Request) -> Response:
        """GET /v1/batches/{id}."""
        return JSONResponse(await run_in_threadpool(self._batches.get, request.path_params["id"]))

    async def cancel(self, request: Request) -> Response:
        """POST /v1/batches/{id}/cancel."""
        return JSONResponse(await run_in_threadpool(self._batches.cancel, request.path_params["id"]))


def _limit(request: Request, default: int, most: int) -> int:
    text = request.query_params.get("limit", str(default))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise invalid("limit", f"must be a number from 1 to {most}")
    return int(text)


def _page(items: list[dict[str, Any]], *, has_more: bool) -> Response:
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": None, "last_id": None}
    return JSONResponse({"object": "list", "data": items, **ends, "has_more": has_more})


async def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - Starlette calls it for this class only
    return JSONResponse(error.document(), error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"Unknown request URL: {request.method} {request.url.path}; this server has /v1/files and /v1/batches"
    return JSONResponse(ApiError(status, message, code="unknown_url").document(), status)


async def _aws_error(_request: Request, error: Exception) -> Response:
    _log.error("%s", error)
    return JSONResponse(ApiError(502, f"AWS: {error}").document(), 502)


async def _unforeseen(_request: Request, error: Exception) -> Response:
    return JSONResponse(ApiError(500, f"not foreseen: {type(error).__name__}").document(), 500)


def create_app(files: Files, batches: Batches, api_key: str | None) -> ASGIApp:
    """The ASGI application."""
    routes = _Routes(files, batches)
    handlers: Mapping[Any, Callable[[Request, Exception], Any]] = {
        ApiError: _api_error,
        HTTPException: _http_error,
        ClientError: _aws_error,
        BotoCoreError: _aws_error,
        Exception: _unforeseen,
    }
    app = Starlette(
        routes=[
            Route("/v1/files", routes.create_file, methods=["POST"]),
            Route("/v1/files", routes.list_files, methods=["GET"]),
            Route("/v1/files/{id}", routes.file, methods=["GET", "DELETE"]),
            Route("/v1/files/{id}/content", routes.content, methods=["GET"]),
            Route("/v1/batches", routes.create_batch, methods=["POST"]),
            Route("/v1/batches", routes.list_batches, methods=["GET"]),
            Route("/v1/batches/{id}", routes.batch, methods=["GET"]),
            Route("/v1/batches/{id}/cancel", routes.cancel, methods=["POST"]),
        ],
        exception_handlers=handlers,
    )
    return _Guard(app, api_key)
