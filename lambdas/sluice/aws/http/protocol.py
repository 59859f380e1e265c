"""The HTTP/1.1 protocol (RFC 9112) without I/O: serializes request heads, and parses responses from bytes.

The parser searches for the end of a head and splits it in one step, because most of the CPU time of a response is spent
on reading its head.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from sluice.aws.http.chunks import Chunks, CutOff, TooLarge

__all__ = ["CutOff", "NotHttp", "Response", "ResponseParser", "TooLarge", "request_head"]

_HEADS = 65_536  # maximum bytes of a response's head, including preceding interim responses
_HEADERS = 100  # maximum number of header lines
_NO_BODY = {204, 304}
_HEAD_END = b"\r\n\r\n"
_PREFIX = b"HTTP/1."
_STATUS_LINE = re.compile(r"(HTTP/1\.[0-9]) ([1-9][0-9][0-9])(?: .*)?", re.DOTALL)
_FIELD = re.compile(r"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\n]*)$", re.MULTILINE)
_LENGTH = re.compile(r"[0-9]{1,18}")


class NotHttp(Exception):
    """The data is not an HTTP/1.1 response, or the connection ended without one."""


class Response(NamedTuple):
    """A response, with its complete body. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request_head(method: str, path: str, headers: Mapping[str, str], body_length: int) -> bytes:
    """The bytes before the body of a request. Raises `ValueError` when a header contains a line break."""
    lines = [f"{method} {path} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if method in {"POST", "PUT"}:
        lines.append(f"content-length: {body_length}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if not head.count(b"\n") == head.count(b"\r") == len(lines) + 1:
        raise ValueError("a header holds a line break")
    return head


class ResponseParser:
    """Parses the response to one request from bytes in pieces of any size.

    `feed` and `end` raise `NotHttp`, `CutOff`, and `TooLarge` when the body is over `max_bytes`. After any of these the
    connection is of no more use.
    """

    __slots__ = (
        "_chunks",
        "_fields",
        "_head",
        "_heads",
        "_is_last",
        "_left",
        "_length",
        "_max_bytes",
        "_method",
        "_pieces",
        "_size",
        "_status",
        "response",
    )

    def __init__(self, method: str, max_bytes: int | None = None) -> None:
        self.response: Response | None = None  # once it is complete
        self._method = method
        self._max_bytes = max_bytes
        self._head = bytearray()  # the received part of an incomplete head
        self._heads = 0  # bytes of the complete heads
        self._status = 0  # 0 until the final head is complete
        self._fields: dict[str, str] = {}
        self._pieces: list[bytes] = []  # the received pieces of the body
        self._length = -1  # of the body; negative if the response does not state it
        self._left = -1  # remaining bytes of the body; negative if its length is unknown
        self._size = 0  # received bytes of a body of unknown length
        self._chunks: Chunks | None = None
        self._is_last = False  # True if the connection must not be used for another request

    @property
    def is_length_known(self) -> bool:
        """Whether the response states the length of its body."""
        return self._length >= 0

    @property
    def expected(self) -> int:
        """The bytes of the body, as far as they are known: what the response states, or what has been received."""
        if self._length >= 0:
            return self._length
        return self._size if self._chunks is None else self._chunks.size

    @property
    def may_go_on(self) -> bool:
        """Whether the connection can be reused: the peer permits it, and sent no unrequested data."""
        return self.response is not None and not self._is_last

    def feed(self, data: bytes) -> Response | None:
        """Parse bytes. Returns the response once it is complete."""
        if self.response is not None:
            self._is_last = self._is_last or bool(data)
        elif self._status:
            self._feed_body(data)
        else:
            self._feed_head(data)
        return self.response

    def end(self, *, is_cut: bool = False) -> Response:
        """Note that the connection has ended. Returns the response, if that completes it.

        `is_cut` means that TLS was not closed: then the end completes nothing (RFC 9112, section 9.8).
        """
        if self.response is None:
            if not self._status:
                came = "within the response's head" if self._head or self._heads else "without a response"
                raise NotHttp(f"the connection ended {came}")
            if is_cut or self._chunks is not None or self._left >= 0:
                raise CutOff("the connection ended within the response's body")
            self._finish(b"".join(self._pieces))
        assert self.response is not None  # noqa: S101 - for the type checker
        return self.response

    def _feed_head(self, data: bytes) -> None:
        while True:
            searched = len(self._head)
            if searched:
                self._head += data
            received = self._head if searched else data
            end = received.find(_HEAD_END, max(0, searched - 3))
            if end < 0:
                if not searched:
                    self._head += data
                self._check_incomplete_head()
                return
            self._heads += end + len(_HEAD_END)
            if self._heads > _HEADS:
                raise NotHttp(f"a head of over {_HEADS} bytes")
            self._status = self._read_head(received[:end].decode("latin-1"))
            data = bytes(received[end + len(_HEAD_END) :])
            if self._status >= 200:
                break
            self._status = 0  # this is an interim response, which is followed by another response
            self._fields = {}
            self._head.clear()
        self._head.clear()
        self._begin_body()
        if self.response is None:
            self._feed_body(data)
        elif data:
            self._is_last = True

    def _check_incomplete_head(self) -> None:
        if self._heads + len(self._head) > _HEADS:
            raise NotHttp(f"a head of over {_HEADS} bytes")
        if not _PREFIX.startswith(bytes(self._head[: len(_PREFIX)])) and not self._head.startswith(_PREFIX):
            raise NotHttp("no status line")

    def _read_head(self, head: str) -> int:
        breaks = head.count("\r\n")
        if breaks > _HEADERS:
            raise NotHttp(f"over {_HEADERS} headers")
        if head.count("\n") != breaks or head.count("\r") != breaks or "\0" in head:
            raise NotHttp("a line break or a null within a line")
        status_line, _, lines = head.partition("\r\n")
        found = _STATUS_LINE.fullmatch(status_line)
        if not found:
            raise NotHttp("no status line")
        pairs = _FIELD.findall(lines)
        if len(pairs) != breaks:
            raise NotHttp("a header without a colon, or whose name is none")
        fields = self._fields
        for name, line in pairs:
            key, value = name.lower(), line.strip(" \t\r")
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
        is_old = found[1] == "HTTP/1.0"
        self._is_last = is_old
        if (wishes := fields.get("connection")) is not None:
            tokens = {token.strip(" \t") for token in wishes.lower().split(",")}
            self._is_last = "close" in tokens or (is_old and "keep-alive" not in tokens)
        if "transfer-encoding" in fields and is_old:
            raise NotHttp("HTTP/1.0 has no Transfer-Encoding")
        status = int(found[2])
        if status == 101:
            raise NotHttp("the protocol is switched, unasked")
        return status

    def _begin_body(self) -> None:
        """Determine the length of the body (RFC 9112, section 6.3)."""
        fields = self._fields
        length = fields.get("content-length")
        if length is not None and "," in length and len(once := {one.strip(" \t") for one in length.split(",")}) == 1:
            length = fields["content-length"] = once.pop()  # equal ones are one (RFC 9110, section 8.6)
            self._is_last = True
        if length is not None and not _LENGTH.fullmatch(length):
            raise NotHttp("Content-Length is no number, or there are several")
        coding = fields.get("transfer-encoding")
        if self._method == "HEAD" or self._status in _NO_BODY:
            self._finish(b"")
        elif coding is not None:
            if coding.lower() != "chunked":
                raise NotHttp("a Transfer-Encoding that was not asked for")
            # Transfer-Encoding overrides Content-Length. A response with both may be an attempt at response splitting.
            self._is_last = self._is_last or length is not None
            self._chunks = Chunks(self._max_bytes)
        elif length is None:
            self._is_last = True
        else:
            self._left = self._length = int(length)
            if self._max_bytes is not None and self._left > self._max_bytes:
                raise TooLarge
            if not self._left:
                self._finish(b"")

    def _feed_body(self, data: bytes) -> None:
        if self._chunks is not None:
            if self._chunks.feed(data):
                self._is_last = self._is_last or self._chunks.has_rest
                self._finish(self._chunks.body())
            return
        if self._left < 0:
            self._size += len(data)
            if self._max_bytes is not None and self._size > self._max_bytes:
                raise TooLarge
            self._pieces.append(data)
            return
        if len(data) < self._left:
            self._left -= len(data)
            self._pieces.append(data)
            return
        if len(data) > self._left:
            data = data[: self._left]
            self._is_last = True
        self._pieces.append(data)
        self._finish(b"".join(self._pieces))

    def _finish(self, body: bytes) -> None:
        self._pieces = []
        self.response = Response(self._status, self._fields, body)
