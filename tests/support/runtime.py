"""A small HTTP server that stands in for the SageMaker runtime or S3. A test defines its responses exactly."""

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """A response. With `silent` nothing is sent. `drop` closes the connection instead of responding, and `cut` closes
    it after one byte of the body.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"answered"
    silent: bool = False
    drop: bool = False
    cut: bool = False


class Runtime(ThreadingHTTPServer):
    """Responds with `answers[body]` or `answers[b"METHOD /path"]`, otherwise with 200; records the requests.

    With a TLS `context` it uses HTTPS. `connections` counts opened connections.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections = 0
        self._scheme = "https" if context else "http"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.answers: dict[bytes, Answer] = {}
        self.closing = threading.Event()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def server_close(self) -> None:
        """Release the clients that wait for a response, then close."""
        self.closing.set()
        super().server_close()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Runtime
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        answer = self.server.answers.get(body) or self.server.answers.get(f"{self.command} {self.path}".encode())
        answer = answer or Answer()
        if answer.drop:
            self.close_connection = True
            return
        if answer.silent:
            self.server.closing.wait()
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:1] if answer.cut else answer.body)
        self.close_connection = self.close_connection or answer.cut

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST  # noqa: N815 - the base class's names

    def log_message(self, *args: Any) -> None:
        pass


def error(status: int, code: str, **fields: Any) -> Answer:
    return Answer(status, {"x-amzn-errortype": code, "Content-Type": "application/json"}, json.dumps(fields).encode())
