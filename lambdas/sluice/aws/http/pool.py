"""A pool of connections to one host. The errors are those of botocore's HTTP session."""

import ssl
import sys
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from sluice.aws.http.connection import Connection, open_connection
from sluice.aws.http.protocol import CutOff, NotHttp, Response, ResponseParser, request_head
from sluice.aws.http.resolver import Resolver
from sluice.aws.loop import Loop
from sluice.concurrency import Semaphore, deadline, now, timeout

# NAT gateways and Network Load Balancers drop a connection that was idle for 350 s without notifying either side.
_IDLE_SECONDS = 300
_SESSION_SECONDS = 60  # the interval of saving a TLS session, which takes 0.2 ms


class ConnectionPool:
    """As many connections as are in use at once, or at most `limit`; further requests wait in order.

    `tls` is for all pools: loading certificates is expensive. Of idle connections the one that was used last is used
    first, so that those that are not needed grow old and are closed.
    """

    def __init__(
        self,
        loop: Loop,
        url: str,
        tls: ssl.SSLContext,
        *,
        connect_timeout_seconds: float,
        limit: int | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        parts = urlsplit(url)
        name = parts.hostname or ""
        self.url = url
        self.host = parts.netloc
        self._loop = loop
        self._name = name
        self._tls = tls if parts.scheme == "https" else None
        self._connect_timeout = connect_timeout_seconds
        self._turns = Semaphore(sys.maxsize if limit is None else limit)
        self._resolver = resolver or Resolver(loop, name, parts.port or (443 if parts.scheme == "https" else 80))
        self._idle: deque[Connection] = deque()
        self._session: ssl.SSLSession | None = None
        self._session_until = -1.0

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        until: float,
        max_bytes: int | None = None,
    ) -> Response:
        """Send a request, without retries, and read its response. `until` is the deadline, on the scheduler's clock.

        Raises subclasses of `botocore.exceptions.BotoCoreError`, and `TooLarge` if the body is over `max_bytes`.
        """
        head = request_head(method, path, headers, len(body))
        parser = ResponseParser(method, max_bytes)
        is_connected = False
        try:
            with deadline(until):
                async with self._turns:
                    connection = self._take_idle() or await self._connect()
                    is_connected = True
                    try:
                        response = await connection.exchange(head, body, parser)
                    except BaseException:
                        connection.close()
                        raise
                    self._put_back(connection)
                    return response
        except BotoCoreError:  # some of these are also OSErrors
            raise
        except TimeoutError as error:
            kind = ReadTimeoutError if is_connected else ConnectTimeoutError
            raise kind(endpoint_url=self.url, error=error) from error
        except CutOff as error:
            raise ResponseStreamingError(error=error) from error
        except (OSError, NotHttp) as error:
            raise ConnectionClosedError(endpoint_url=self.url, request=None, error=error) from error

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> Connection | None:
        oldest = now() - _IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open():
                return connection
            connection.close()
        return None

    def _put_back(self, connection: Connection) -> None:
        connection.idle_since = now()
        if connection.idle_since >= self._session_until:
            self._session = connection.session()
            self._session_until = connection.idle_since + _SESSION_SECONDS
        if connection.may_go_on:
            self._idle.append(connection)
        else:
            connection.close()

    async def _connect(self) -> Connection:
        try:
            with timeout(self._connect_timeout):
                return await self._connect_to_any()
        except TimeoutError as error:
            self._resolver.forget()
            raise ConnectTimeoutError(endpoint_url=self.url, error=error) from error
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=self.url, error=error) from error
        except OSError as error:
            self._resolver.forget()
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from error

    async def _connect_to_any(self) -> Connection:
        failed: OSError | None = None
        for address in await self._resolver.addresses():
            try:
                return await open_connection(self._loop, address, self._tls, self._name, self._session)
            except ssl.SSLError:
                raise
            except OSError as error:
                failed = error
        raise failed or OSError("the host has no address")
