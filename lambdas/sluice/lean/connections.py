"""HTTP/1.1 connections to one host, kept open and used again. Errors are those of botocore's HTTP session."""

import http.client
import select
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)


@dataclass(frozen=True, slots=True)
class Response:
    """A response that has been read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TooLarge(Exception):
    """The response's body is over what was asked for; it was not read."""


class Connections:
    """As many connections as are needed at once, and one TLS context for all: loading root certificates is dear."""

    def __init__(
        self, url: str, context: ssl.SSLContext, *, connect_timeout_seconds: float, read_timeout_seconds: float
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host = parts.netloc
        self._https = parts.scheme == "https"
        self._name = parts.hostname or ""
        self._port = parts.port
        self._context = context
        self._connect_timeout = connect_timeout_seconds
        self._read_timeout = read_timeout_seconds
        self._idle: deque[http.client.HTTPConnection] = deque()

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, max_bytes: int | None = None
    ) -> Response:
        """Send one request, once, and read its response.

        Raises subclasses of `botocore.exceptions.BotoCoreError`, and `TooLarge` when the body is over `max_bytes`.
        """
        connection = self._connection()
        try:
            self._send(connection, method, path, headers, body)
            response = self._read(connection, max_bytes)
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # http.client closes where the server said that it will
            self._idle.append(connection)
        return response

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> http.client.HTTPConnection:
        """An open connection: the one that was used last, if the other side hasn't closed it meanwhile."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was first
                break
            if _is_open(connection.sock, self._read_timeout):
                return connection
            connection.close()
        return self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(self._name, self._port, timeout=self._connect_timeout, context=self._context)
            if self._https
            else http.client.HTTPConnection(self._name, self._port, timeout=self._connect_timeout)
        )
        try:
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.sock.settimeout(self._read_timeout)
        except TimeoutError as error:
            connection.close()
            raise ConnectTimeoutError(endpoint_url=self.url, error=error) from error
        except ssl.SSLError as error:
            connection.close()
            raise SSLError(endpoint_url=self.url, error=error) from error
        except OSError as error:
            connection.close()
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from error
        return connection

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if method in {"POST", "PUT"}:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body or None)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self.url, error=error) from error
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionClosedError(endpoint_url=self.url, request=None, error=error) from error

    def _read(self, connection: http.client.HTTPConnection, max_bytes: int | None) -> Response:
        try:
            response = connection.getresponse()
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self.url, error=error) from error
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionClosedError(endpoint_url=self.url, request=None, error=error) from error
        if max_bytes is not None and response.length is not None and response.length > max_bytes:
            raise TooLarge
        try:
            body = response.read()
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self.url, error=error) from error
        except (OSError, http.client.HTTPException) as error:
            raise ResponseStreamingError(error=error) from error
        return Response(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def _is_open(sock: socket.socket, timeout_seconds: float) -> bool:
    """Whether the other side has left the connection open. A TLS 1.3 session ticket can wait on one that is open."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(0):
        return True
    sock.settimeout(0)
    try:
        sock.recv(1)
    except (ssl.SSLWantReadError, BlockingIOError):
        sock.settimeout(timeout_seconds)
        return True
    except OSError:
        return False
    return False  # closed, or bytes that nobody asked for
