"""A small HTTP server as the SageMaker runtime, whose answers a test writes itself, down to the bytes."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"answered"
    silent: bool = False


class Runtime(ThreadingHTTPServer):
    """Answers InvokeEndpoint with `answers[body]`, else with 200; keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[bytes, Answer] = {}
        self.closing = threading.Event()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def server_close(self) -> None:
        """Let go of those who wait for an answer, then close."""
        self.closing.set()
        super().server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Runtime
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        answer = self.server.answers.get(body, Answer())
        if answer.silent:
            self.server.closing.wait()
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *args: Any) -> None:
        pass


def error(status: int, code: str, **fields: Any) -> Answer:
    return Answer(status, {"x-amzn-errortype": code, "Content-Type": "application/json"}, json.dumps(fields).encode())
