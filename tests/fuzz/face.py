"""The local endpoint as an ASGI application, asked without a socket; its container answers whatever it is sent."""

from collections.abc import Iterable
from typing import Any

import httpx2
import pytest

from local.endpoint.app import Config, create_app

_METHODS = ("POST", "GET", "PUT", "DELETE", "OPTIONS")
_PATHS = ("/endpoints/wine/invocations", "/_faults", "/_calls", "/_health")


class Face:
    """One application, which keeps what it learns: faults that were asked for stay."""

    def __init__(self) -> None:
        def answer(request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, content=request.content, headers={"content-type": "text/plain"})

        client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(httpx2, "AsyncClient", lambda **_: client)
            self._app = create_app(Config({"wine": "http://container"}))

    async def request(self, data: bytes) -> tuple[int, bytes]:
        """The answer's status and body. `data` are method and path in two bytes, then headers and a body, NUL between.

        A path byte of over 3 says that the first field is the path.
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
        # As a server hands them over: names in lower case, no line ends.
        yield name.lower().translate(None, b"\r\n"), value.strip().translate(None, b"\r\n")
