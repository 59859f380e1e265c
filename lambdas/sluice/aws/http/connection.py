"""A connection, and the exchanges over it. Its socket is non-blocking."""

import errno
import os
import select
import socket
import ssl
import sys
from typing import Any

from sluice.aws.http.protocol import Response, ResponseParser
from sluice.aws.http.resolver import Address
from sluice.aws.loop import READ, WRITE, Loop
from sluice.ports import UNASKED_BYTES, Admit

_RECEIVE = 65_536  # bytes of one receive call; over TLS, it returns one record of up to 16 KB
_SMALL = 65_536  # maximum bytes of a body that is copied, to be sent in one call with the head
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """A connected socket. After an exchange `may_go_on` is true if it can be reused."""

    __slots__ = ("_poll", "_sock", "_watch", "idle_since", "may_go_on")

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self.may_go_on = False
        self.idle_since = 0.0  # seconds on the scheduler's clock; set by the pool
        self._sock = sock
        self._watch = loop.watch(sock)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    async def exchange(self, head: bytes, body: bytes, parser: ResponseParser, admit: Admit | None = None) -> Response:
        """Send a request and read its response. If the peer responds early, reading starts before sending has ended.

        Raises `OSError` and the errors of `parser`. After an error or a cancellation, the connection must be closed.
        """
        if len(body) <= _SMALL:
            is_sent = await self._send(head + body, parser)
        else:
            is_sent = await self._send(head, parser) and await self._send(body, parser)
        if parser.response is None:
            await self._watch.wait(READ)
            admitted = sys.maxsize if admit is None else UNASKED_BYTES
            while not self._receive(parser, admitted):
                if admit is not None and parser.expected > admitted:
                    admitted = parser.expected if parser.is_length_known else 2 * parser.expected
                    await admit(admitted)  # meanwhile, the peer must wait: nothing is read
                else:
                    await self._watch.wait(READ)
        assert parser.response is not None  # noqa: S101 - for the type checker
        self.may_go_on = is_sent and parser.may_go_on
        return parser.response

    def is_open(self) -> bool:
        """Whether the peer has kept the idle connection open, and sent no unrequested data.

        A TLS 1.3 session ticket may wait on one that is open.
        """
        if not self._poll.poll(0):
            return not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending())
        try:
            self._sock.recv(1)
        except _WOULD_BLOCK:
            return True
        except OSError:
            return False
        return False

    async def readable(self) -> None:
        """Wait until the peer has sent something, or has closed the connection."""
        await self._watch.wait(READ)

    def session(self) -> ssl.SSLSession | None:
        """The TLS session, which another connection to the same host may resume. TLS 1.3 has one after the ticket."""
        return self._sock.session if isinstance(self._sock, ssl.SSLSocket) else None

    def close(self) -> None:
        """Close the connection."""
        self._watch.close()
        self._sock.close()

    async def _send(self, data: bytes, parser: ResponseParser) -> bool:
        """Send `data`. Returns False if the response was complete first; the rest is not sent."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._sock.send(left) :]
                continue
            except _WOULD_BLOCK:
                pass
            except OSError:
                # The peer may have rejected the request and closed the connection.
                if self._receive_last(parser):
                    return False
                raise
            # If both sides only wrote, they would wait for each other forever.
            if await self._watch.wait(READ | WRITE) & READ and self._receive(parser):
                return False
        return True

    def _receive(self, parser: ResponseParser, most: int = sys.maxsize) -> bool:
        """Read the available data of a response of at most `most` bytes. Returns whether the response is complete."""
        while parser.response is None:
            if parser.expected > most:
                return False
            try:
                data = self._sock.recv(_RECEIVE)
            except _WOULD_BLOCK:
                return False
            except ssl.SSLEOFError:
                parser.end(is_cut=True)
                return True
            if data:
                parser.feed(data)
            else:
                parser.end()
        return True

    def _receive_last(self, parser: ResponseParser) -> bool:
        try:
            return self._receive(parser)
        except OSError:
            return False


async def open_connection(
    loop: Loop, address: Address, tls: ssl.SSLContext | None, host: str, session: ssl.SSLSession | None
) -> Connection:
    """Open a connection to `address`. If `tls` is given, use TLS and verify `host`. Raises `OSError`."""
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the signature of socket.setblocking
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await _connect(loop, sock, where)
        if tls is not None:
            sock = tls.wrap_socket(
                sock,
                server_hostname=host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,  # a connection that is cut is not one that ends (RFC 9112, section 9.8)
                session=session,
            )
            await _shake_hands(loop, sock)
    except BaseException:
        sock.close()
        raise
    return Connection(loop, sock)


async def _connect(loop: Loop, sock: socket.socket, where: Any) -> None:
    error = sock.connect_ex(where)
    if error == errno.EINPROGRESS:
        watch = loop.watch(sock)
        try:
            await watch.wait(WRITE)
        finally:
            watch.close()
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


async def _shake_hands(loop: Loop, sock: ssl.SSLSocket) -> None:
    watch = loop.watch(sock)
    try:
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await watch.wait(READ)
            except ssl.SSLWantWriteError:
                await watch.wait(WRITE)
            else:
                return
    finally:
        watch.close()
