"""Servers that misbehave as real ones do: what they send, when, and how they end the connection."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

JSON_ERROR = b'{"Message":"no","OriginalStatusCode":400,"OriginalMessage":"no","LogStreamArn":"arn"}'
LARGE = b"x" * (16 << 20)  # more than the buffers of two sockets hold, so that the server responds while it is sent


def response(body: bytes = b"answer", *fields: str, status: str = "200 OK", length: bool = True) -> bytes:
    """A response with a Content-Type."""
    lines = [f"HTTP/1.1 {status}", "content-type: text/plain", *fields]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes, trailers: bytes = b"", end: bytes = b"0\r\n") -> bytes:
    """A response in chunks."""
    head = response(b"", "transfer-encoding: chunked", length=False)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks) + end + trailers + b"\r\n"


@dataclass(frozen=True)
class Behavior:
    """What a server does with a request.

    It reads the whole request before it responds, or only the head. It sends `sends`, all at once or in single bytes.
    Then it closes the connection, resets it, or keeps it open. `differs` says why the lean transport has another
    outcome than boto3.
    """

    name: str
    sends: bytes
    reads: Literal["request", "head"] = "request"
    ends: Literal["close", "reset", "keep"] = "close"
    in_single_bytes: bool = False
    body: bytes = b"1"
    differs: str | None = None

    def __str__(self) -> str:
        """The name of the behavior in a test's ID."""
        return self.name


class MisbehavingServer:
    """Treats each request as `behavior` says, on a port of its own."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self.behavior = Behavior("none", b"")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = 0
        self._release = threading.Event()

    def serve(self) -> None:
        """Serve connections, one after another, until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                accepted.settimeout(5)
                # Else a reset would discard a response that waits for the acknowledgement of the TLS session tickets.
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with accepted, contextlib.suppress(OSError):
                    if self._context is None:
                        self._converse(accepted)
                    else:
                        with self._context.wrap_socket(accepted, server_side=True) as encrypted:
                            self._converse(encrypted)

    def release(self) -> None:
        """Let go of a connection that is kept open without being read."""
        self._release.set()
        self._release = threading.Event()

    def close(self) -> None:
        """Stop serving."""
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _converse(self, connection: socket.socket) -> None:
        behavior, received = self.behavior, b""
        while b"\r\n\r\n" not in received:
            data = connection.recv(65_536)
            if not data:
                return
            received += data
        self.requests += 1
        if behavior.reads == "request":
            head, _, body = received.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65_536)
        step = 1 if behavior.in_single_bytes else max(1, len(behavior.sends))
        for at in range(0, len(behavior.sends), step):
            connection.sendall(behavior.sends[at : at + step])
        if behavior.ends == "keep" and behavior.reads == "request":
            while connection.recv(65_536):
                pass
        elif behavior.ends == "keep":
            self._release.wait(1)  # without reading; boto3 reads the response only after this, and waits for 5 s
        elif behavior.ends == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.contextmanager
def misbehaving(context: ssl.SSLContext | None = None) -> Iterator[MisbehavingServer]:
    """A server, until the block ends, which uses TLS if there is a context."""
    server = MisbehavingServer(context)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
_MODEL_ERROR = "x-amzn-errortype: ModelError"
_EQUAL = "boto3's stream cannot read two lengths; the lean transport takes equal ones for one (RFC 9110, 8.6)"
_TOO_LARGE = "413 Request Entity Too Large"

BEHAVIORS = [
    # what each server does
    Behavior("content-length", response()),
    Behavior("content-length, kept open", response(), ends="keep"),
    Behavior("content-length, in single bytes", response(), in_single_bytes=True),
    Behavior("no content-length, closed at the end", response(length=False)),
    Behavior("empty body", response(b"")),
    Behavior("204", response(b"", status="204 No Content", length=False)),
    Behavior("chunked", chunked(b"ans", b"wer")),
    Behavior("chunked, in single bytes, kept open", chunked(b"ans", b"wer"), in_single_bytes=True, ends="keep"),
    Behavior("chunked, with a trailer", chunked(b"answer", trailers=b"x-checksum: 1\r\n")),
    Behavior("chunked, with extensions", chunked().replace(b"0\r\n\r\n", b'6;a="b"\r\nanswer\r\n0;c\r\n\r\n')),
    Behavior("chunked, with leading zeros", chunked().replace(b"0\r\n\r\n", b"0006\r\nanswer\r\n0000\r\n\r\n")),
    Behavior("HTTP/1.0", response(length=False).replace(b"HTTP/1.1", b"HTTP/1.0")),
    Behavior("a status line without a reason", response(status="200")),
    Behavior("an error of the API", response(JSON_ERROR, _MODEL_ERROR, status="424 Failed Dependency")),
    Behavior("an error without content-length", response(JSON_ERROR, _MODEL_ERROR, status="424 F", length=False)),
    Behavior("an error of a proxy", response(b"<html>502 Bad Gateway</html>", status="502 Bad Gateway")),
    Behavior("a body that says it is gzip", response(b"\x1f\x8b answer", "content-encoding: gzip")),
    # interim responses
    Behavior("100", _INTERIM + response()),
    Behavior("five times 100", 5 * _INTERIM + response()),
    Behavior("100 without a final response", _INTERIM),
    Behavior(
        "103",
        _HINTS + response(),
        differs="http.client takes 103 for the response; the lean transport waits for the final one (RFC 9110, 15.2)",
    ),
    Behavior(
        "3,000 times 100",
        3_000 * _INTERIM + response(),
        differs="http.client reads interim responses without end; the lean transport reads 64 KB of heads",
    ),
    Behavior(
        "101",
        response(b"", status="101 Switching Protocols", length=False),
        differs="http.client takes it for an empty answer; the lean transport did not ask to switch: an error",
    ),
    # lengths
    Behavior("content-length twice, equal", response(b"answer", "content-length: 6"), differs=_EQUAL),
    Behavior("content-length twice, different", response(b"answer", "content-length: 5")),
    Behavior("content-length in a list", response(b"answer", "content-length: 6, 6", length=False), differs=_EQUAL),
    Behavior("content-length that is no number", response(b"answer", "content-length: six", length=False)),
    Behavior("content-length that is negative", response(b"answer", "content-length: -6", length=False)),
    Behavior(
        "content-length and chunks",
        chunked(b"answer").replace(b"\r\n\r\n", b"\r\ncontent-length: 3\r\n\r\n", 1),
        differs="boto3 misses bytes of the length; the lean transport takes the chunks, which decide (RFC 9112, 6.3)",
    ),
    Behavior("more than content-length", response() + b"more"),
    Behavior("less than content-length", response()[:-2]),
    Behavior("less than content-length, reset", response()[:-2], ends="reset"),
    Behavior("less than content-length, kept open", response()[:-2], ends="keep"),
    # chunks
    Behavior("chunks without an end", chunked(b"answer", end=b"")[:-2]),
    Behavior("chunks that are cut", chunked(b"answer")[:-9]),
    Behavior("a chunk without a size", chunked().replace(b"0\r\n\r\n", b"size\r\nanswer\r\n0\r\n\r\n")),
    Behavior("chunks without an end, kept open", chunked(b"answer", end=b"")[:-2], ends="keep"),
    Behavior(
        "100 KB of trailers",
        chunked(b"answer", trailers=b"x-trailer: 1\r\n" * 8_000),
        differs="urllib3 reads trailers without end; the lean transport reads 64 KB of them",
    ),
    # heads
    Behavior("nothing", b""),
    Behavior("nothing, reset", b"", ends="reset"),
    Behavior("nothing, kept open", b"", ends="keep"),
    Behavior(
        "half a head",
        response()[:30],
        differs="http.client takes it for a head, and the answer for empty; the lean transport for an error",
    ),
    Behavior("half a head, kept open", response()[:30], ends="keep"),
    Behavior("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n"),
    Behavior("120 headers", response(b"answer", *(f"x-{number}: 1" for number in range(120)))),
    Behavior("a header of 70 KB", response(b"answer", "x-long: " + "x" * 70_000)),
    Behavior("HTTP/2 in words", response().replace(b"HTTP/1.1", b"HTTP/2")),
    # early responses
    Behavior("413 at once", response(b"", status=_TOO_LARGE), reads="head", body=LARGE),
    Behavior("413 at once, reset", response(b"no", status=_TOO_LARGE), reads="head", ends="reset", body=LARGE),
    Behavior("413 at once, kept open", response(b"no", status=_TOO_LARGE), reads="head", ends="keep", body=LARGE),
    Behavior("an error at once", response(JSON_ERROR, _MODEL_ERROR, status="424 F"), reads="head", body=LARGE),
    Behavior("an answer at once", response(), reads="head", body=LARGE),
    Behavior("a close at once", b"", reads="head", body=LARGE),
    Behavior("a reset at once", b"", reads="head", ends="reset", body=LARGE),
]
