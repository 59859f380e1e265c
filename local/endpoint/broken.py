"""Broken responses, for the faults that are not errors of the API."""

import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.endpoint.api import request_id


class Hang(Response):
    """Sends nothing until the client disconnects."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Wait until the client disconnects."""
        while (await receive())["type"] != "http.disconnect":
            pass


class Drop(Response):
    """Closes the connection without sending a byte.

    ASGI has no message for this. But uvicorn closes a connection if a response was started and not finished, and it
    considers a response started even if its head can't be written.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Start a response with an invalid header name."""
        with contextlib.suppress(Exception):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"not a header's name", b"")]})


class Cut(Response):
    """Closes the connection before the announced end of the response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the beginning of a response."""
        headers = [(b"content-length", b"1000000"), (b"content-type", b"application/json")]
        headers += [(name.encode(), value.encode()) for name, value in request_id().items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"predictions": [', "more_body": True})


class Garbage(Response):
    """The response of a proxy instead of the API, with the given status."""

    media_type = "text/html"

    def __init__(self, status_code: int) -> None:
        super().__init__("<html><body>502 Bad Gateway</body></html>", status_code, request_id())
