"""RequestHandler that are none, for the faults that are not errors of the API."""

import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.endpoint.api import request_id


class Hang(Response):
    """Never answers, until the client goes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Wait for the client to go."""
        while (await receive())["type"] != "http.disconnect":
            pass


class Drop(Response):
    """Closes the connection without a byte of an answer.

    ASGI has no word for that, but uvicorn closes a connection on which an answer was begun and not ended, and it
    takes one as begun even when its head can't be written.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Begin an answer that can't be."""
        with contextlib.suppress(Exception):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"not a header's name", b"")]})


class Cut(Response):
    """Promises a long answer and closes the connection in its middle."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the beginning of an answer."""
        headers = [(b"content-length", b"1000000"), (b"content-type", b"application/json")]
        headers += [(name.encode(), value.encode()) for name, value in request_id().items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"predictions": [', "more_body": True})


class Garbage(Response):
    """What a proxy on the way says, and not the API, under any status."""

    media_type = "text/html"

    def __init__(self, status_code: int) -> None:
        super().__init__("<html><body>502 Bad Gateway</body></html>", status_code, request_id())
