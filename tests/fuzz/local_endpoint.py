"""The local endpoint as an ASGI application, called without a socket; its container returns the request's body."""

from collections.abc import Iterable
from typing import Any

import httpx2
import pytest

from local.endpoint.app import Config, create_app

_METHODS = ("POST", "GET", "PUT", "DELETE", "OPTIONS")
_PATHS = ("/endpoints/wine/invocations", "/_faults", "/_calls", "/_health")


class LocalEndpoint:
    """One application, which keeps its state, such as the fault plan, between requests."""

    def __init__(self) -> None:
        def echo(request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, content=request.content, headers={"content-type": "text/plain"})

        client = httpx2.AsyncClient(transport=httpx2.MockTransport(echo))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(httpx2, "AsyncClient", lambda **_: client)
            self._app = create_app(Config({"wine": "http://container"}))

    async def request(self, data: bytes) -> tuple[int, bytes]:
        """Send a request, and return the response's status and body.

        `data` has two bytes that select method and path, then headers and the body, separated by NUL. If the path byte
        is over 3, the first field is the path.
        """
        method, path, rest = (*data[:2], *b"\0\0")[0], (*data[:2], *b"\0\0")[1], data[2:]
        *headers, body = rest.split(b"\0")
        raw_path = _PATHS[path].encode() if path < len(_PATHS) else b"/" + b"".join(headers[:1])
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": _METHODS[method % len(_METHODS)],
            "scheme": "http",
            "path": raw_path.decode(errors="replace"),
            "raw_path": raw_path,
            "query_string": b"",
            "headers": list(_pairs(headers)),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        status, content = 0, b""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status, content
            status = message.get("status", status)
            content += message.get("body", b"")

        await self._app(scope, receive, send)
        return status, content


def _pairs(headers: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    for header in headers:
        name, _, value = header.partition(b":")
        # As a server passes them: names in lower case, no line breaks.
        yield name.lower().translate(None, b"\r\n"), value.strip().translate(None, b"\r\n")
