"""Connections to one host, kept open and used again. Errors are those of botocore's HTTP session."""

import socket
import ssl
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from sluice.aws.http.http1 import CutOff, Exchange, NotHttp, Response


class Connections:
    """As many connections as are needed at once, and one TLS context for all: loading root certificates is dear."""

    def __init__(
        self, url: str, context: ssl.SSLContext, *, connect_timeout_seconds: float, read_timeout_seconds: float
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host = parts.netloc
        self._address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._context = context if parts.scheme == "https" else None
        self._connect_timeout = connect_timeout_seconds
        self._read_timeout = read_timeout_seconds
        self._idle: deque[Exchange] = deque()

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, max_bytes: int | None = None
    ) -> Response:
        """Send one request, once, and read its response.

        Raises subclasses of `botocore.exceptions.BotoCoreError`, and `TooLarge` when the body is over `max_bytes`.
        """
        exchange = self._exchange()
        try:
            response = exchange.run(method, path, headers, body, max_bytes)
        except BaseException as error:
            exchange.close()
            if isinstance(error, TimeoutError):
                raise ReadTimeoutError(endpoint_url=self.url, error=error) from error
            if isinstance(error, CutOff):
                raise ResponseStreamingError(error=error) from error
            if isinstance(error, OSError | NotHttp):
                raise ConnectionClosedError(endpoint_url=self.url, request=None, error=error) from error
            raise
        if exchange.may_go_on:
            self._idle.append(exchange)
        else:
            exchange.close()
        return response

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _exchange(self) -> Exchange:
        """An open connection: the one that was used last, if the other side hasn't closed it meanwhile."""
        while self._idle:
            try:
                exchange = self._idle.pop()
            except IndexError:  # another thread was first
                break
            if exchange.is_open(self._read_timeout):
                return exchange
            exchange.close()
        return Exchange(self._connect())

    def _connect(self) -> socket.socket:
        sock = None
        try:
            sock = socket.create_connection(self._address, timeout=self._connect_timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=self._address[0])
            sock.settimeout(self._read_timeout)
        except OSError as error:
            if sock is not None:
                sock.close()
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError(endpoint_url=self.url, error=error) from error
            if isinstance(error, ssl.SSLError):
                raise SSLError(endpoint_url=self.url, error=error) from error
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from error
        return sock
