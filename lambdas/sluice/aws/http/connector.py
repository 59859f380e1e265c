"""Opens connections to one host. The errors are those of botocore's HTTP session."""

import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, SSLError

from sluice.aws.http.connection import Connection, open_connection
from sluice.aws.http.resolver import Address, Resolver
from sluice.aws.loop import Loop
from sluice.concurrency import now, timeout

_SESSION_SECONDS = 60  # the interval of saving a TLS session, which takes 0.2 ms
_TICKET_SECONDS = 0.01  # a server that sends a ticket does so one round trip after the handshake


class Connector:
    """Opens connections to the host of `url`. Those after the first resume its TLS session, at 3/4 of the CPU time.

    `tls` is for all connectors: loading certificates is expensive.
    """

    def __init__(
        self,
        loop: Loop,
        url: str,
        tls: ssl.SSLContext,
        *,
        connect_timeout_seconds: float,
        resolver: Resolver | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host = parts.netloc
        self.has_session = parts.scheme != "https"  # whether another connection could resume one, as far as known
        self._loop = loop
        self._name = parts.hostname or ""
        self._tls = tls if parts.scheme == "https" else None
        self._timeout = connect_timeout_seconds
        self._resolver = resolver or Resolver(loop, self._name, parts.port or (443 if parts.scheme == "https" else 80))
        self._session: ssl.SSLSession | None = None
        self._session_until = -1.0

    async def connect(self) -> Connection:
        """Open a connection. Raises subclasses of `botocore.exceptions.BotoCoreError`."""
        try:
            connection = await self._connect_to_any()
        except TimeoutError as error:
            self._resolver.forget()
            raise ConnectTimeoutError(endpoint_url=self.url, error=error) from error
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=self.url, error=error) from error
        except OSError as error:
            self._resolver.forget()
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from error
        if not self.has_session:
            await self._receive_ticket(connection)
        return connection

    def save_session(self, connection: Connection) -> None:
        """Let later connections resume the TLS session of `connection`, which has received data, if it is time to."""
        if now() >= self._session_until:
            self._session = connection.session()
            self._session_until = now() + _SESSION_SECONDS

    async def _connect_to_any(self) -> Connection:
        with timeout(self._timeout):
            addresses = await self._resolver.addresses()
        failed: OSError | None = None
        for address in addresses:  # each with its own time: the first one may not respond
            try:
                return await self._open(address)
            except ssl.SSLError:
                raise
            except OSError as error:  # also a TimeoutError
                failed = error
        raise failed or OSError("the host has no address")

    async def _open(self, address: Address) -> Connection:
        session = self._session
        try:
            with timeout(self._timeout):
                return await open_connection(self._loop, address, self._tls, self._name, session)
        except (ssl.SSLError, ConnectionResetError):
            if session is None:
                raise
        self._session = None  # the host may refuse it
        with timeout(self._timeout):
            return await open_connection(self._loop, address, self._tls, self._name, None)

    async def _receive_ticket(self, connection: Connection) -> None:
        """Wait for the ticket that TLS 1.3 sends after the handshake, and save the session."""
        try:
            with suppress(TimeoutError), timeout(_TICKET_SECONDS):
                await connection.readable()
            connection.is_open()  # reads the ticket; a connection that is closed fails at its first request
        except BaseException:
            connection.close()
            raise
        self.save_session(connection)
        self.has_session = True
