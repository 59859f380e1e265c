"""HTTP/1.1 (RFC 9112) on one connection: a request out, its response in, and nothing else.

http.client does the same, and spends twice the CPU time on it, half of that on headers as if they were an e-mail's.
"""

import re
import select
import socket
import ssl
from collections.abc import Mapping

from sluice.aws.http.protocol import CutOff, NotHttp, Response, TooLarge

__all__ = ["CutOff", "Exchange", "NotHttp", "Response", "TooLarge"]

_LINE = 65_536  # bytes of one header, at most: http.client's limit
_RECEIVE = 16_384  # bytes: a TLS record
_HEADERS = 100
_NO_BODY = {204, 304}
_STATUS_LINE = re.compile(r"(HTTP/1\.\d) ([1-9]\d\d)(?: |$)", re.ASCII)
_CHUNK_SIZE = re.compile(r"([0-9a-fA-F]{1,16})[ \t]*(?:;|$)")


class Exchange:
    """A connected socket, and what was read from it. `may_go_on` says whether it can take another request."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = bytearray()  # and not yet taken
        self._wishes_to_end = False
        self._has_length = True

    @property
    def may_go_on(self) -> bool:
        """Whether the other side expects another request: it said so, and sent nothing that nobody asked for."""
        return self._has_length and not self._wishes_to_end and not self._received

    def run(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, max_bytes: int | None = None
    ) -> Response:
        """Send a request and read its response.

        Raises `OSError` (`TimeoutError` after the socket's timeout), `NotHttp`, `CutOff`, and `TooLarge` when the body
        is over `max_bytes`; after any of these the connection is of no more use.
        """
        lines = [f"{method} {path} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
        if method in {"POST", "PUT"}:
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if head.count(b"\n") != len(lines) + 1:
            raise ValueError("a header holds a line break")
        # In one piece while that is cheap: one TLS record, one packet.
        if len(body) <= _LINE:
            self._sock.sendall(head + body)
        else:
            self._sock.sendall(head)
            self._sock.sendall(body)
        status, fields = self._read_head()
        while 100 <= status < 200:
            status, fields = self._read_head()
        if method == "HEAD" or status in _NO_BODY:
            return Response(status, fields, b"")
        return Response(status, fields, self._read_body(fields, max_bytes))

    def is_open(self, timeout_seconds: float) -> bool:
        """Whether the other side has left the connection open, and sent nothing that nobody asked for.

        A TLS 1.3 session ticket may wait on one that is open.
        """
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(0):
            return not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending())
        self._sock.settimeout(0)
        try:
            self._sock.recv(1)
        except (ssl.SSLWantReadError, BlockingIOError):
            self._sock.settimeout(timeout_seconds)
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def _read_head(self) -> tuple[int, dict[str, str]]:
        line = self._line()
        if not (found := _STATUS_LINE.match(line)):
            raise NotHttp("no status line")
        version, status = found.groups()
        fields: dict[str, str] = {}
        while line := self._line():
            name, colon, value = line.partition(":")
            if not colon or len(fields) == _HEADERS:
                raise NotHttp("no header" if not colon else f"over {_HEADERS} headers")
            fields[name.lower()] = value.strip()
        wish = fields.get("connection", "").lower()
        self._wishes_to_end = wish != "keep-alive" if version == "HTTP/1.0" else wish == "close"
        return int(status), fields

    def _line(self) -> str:
        at = 0
        while (end := self._received.find(b"\n", at)) < 0:
            at = len(self._received)
            if at > _LINE:
                raise NotHttp("a line without an end")
            if not self._receive():
                raise NotHttp("the connection ended within a line" if at else "the connection ended without a response")
        line = self._received[:end].removesuffix(b"\r")
        del self._received[: end + 1]
        return line.decode("latin-1")

    def _receive(self) -> bool:
        """Take in what comes next; False at the connection's end."""
        data = self._sock.recv(_RECEIVE)
        self._received += data
        return bool(data)

    def _read_body(self, fields: Mapping[str, str], max_bytes: int | None) -> bytes:
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunks()
        length = fields.get("content-length")
        if length is None:
            self._has_length = False
            while self._receive():
                pass
            return bytes(self._received)
        if not length.isdecimal():
            raise NotHttp("Content-Length is no number")
        if max_bytes is not None and int(length) > max_bytes:
            raise TooLarge
        return self._read(int(length))

    def _read_chunks(self) -> bytes:
        chunks: list[bytes] = []
        while True:
            try:
                found = _CHUNK_SIZE.match(self._line())
            except NotHttp as error:
                raise CutOff("no size of a chunk") from error
            if not found:
                raise CutOff("no size of a chunk")
            size = int(found[1], 16)
            if size == 0:
                while self._line():  # trailers
                    pass
                return b"".join(chunks)
            chunks.append(self._read(size))
            self._read(2)

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            if not self._receive():
                raise CutOff(f"{len(self._received)} of {size} bytes")
        read = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return read
