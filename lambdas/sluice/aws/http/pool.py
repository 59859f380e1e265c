"""A pool of connections to one host. The errors are those of botocore's HTTP session."""

import sys
from collections import deque
from collections.abc import Mapping

from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from sluice.aws.http.connection import Connection
from sluice.aws.http.connector import Connector
from sluice.aws.http.protocol import CutOff, NotHttp, Response, ResponseParser, request_head
from sluice.concurrency import Future, Timer, checkpoint, current, deadline, now
from sluice.ports import Admit

# NAT gateways and Network Load Balancers drop a connection that was idle for 350 s without notifying either side.
_IDLE_SECONDS = 300
_IDLE = 512  # connections that stay open, of the 1,024 descriptors of a function
_OPENING = 8  # connections that are opened at once
_OPENING_SECONDS = 0.25  # how long a request waits for its turn to open a connection: the host may not respond


class _Turn(Future[Connection | None]):
    """What a request waits for: a connection, or None if it is to open one, which is counted already."""

    __slots__ = ("since",)

    def __init__(self) -> None:
        super().__init__()
        self.since = now()


class ConnectionPool:
    """At most `limit` connections; further requests wait in order, for a connection or their turn to open one.

    A handshake takes more CPU time than several calls, so it begins when there is nothing else to do: where the CPU is
    what limits the calls, a few connections serve them all.

    Of idle connections the one that was used last is used first, so that those that are not needed grow old and are
    closed.
    """

    def __init__(self, connector: Connector, *, limit: int = sys.maxsize) -> None:
        self.host = connector.host
        self._connector = connector
        self._limit = limit
        self._count = 0  # connections, including those that are being opened
        self._opening = 0  # connections that are being opened
        self._idle: deque[Connection] = deque()
        self._waiting: deque[_Turn] = deque()
        self._overdue: Timer | None = None  # of the request that waits longest; one of its own would cost each request

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        until: float,
        max_bytes: int | None = None,
        admit: Admit | None = None,
    ) -> Response:
        """Send a request, without retries, and read its response. `until` is the deadline, on the scheduler's clock.

        `admit` is awaited before a large body is read, with its size, or with twice what has been received if the
        response does not state it.

        Raises subclasses of `botocore.exceptions.BotoCoreError`, and `TooLarge` if the body is over `max_bytes`.
        """
        head = request_head(method, path, headers, len(body))
        parser = ResponseParser(method, max_bytes)
        url = self._connector.url
        is_connected = False
        try:
            with deadline(until):
                connection = self._take_idle() or await self._wait_for_connection()
                self._check_time(until, connection)
                is_connected = True
                try:
                    response = await connection.exchange(head, body, parser, admit)
                except BaseException:
                    self._drop(connection)
                    raise
                self._put_back(connection)
                return response
        except BotoCoreError:  # some of these are also OSErrors
            raise
        except TimeoutError as error:
            kind = ReadTimeoutError if is_connected else ConnectTimeoutError
            raise kind(endpoint_url=url, error=error) from error
        except CutOff as error:
            raise ResponseStreamingError(error=error) from error
        except (OSError, NotHttp) as error:
            raise ConnectionClosedError(endpoint_url=url, request=None, error=error) from error

    def _check_time(self, until: float, connection: Connection) -> None:
        """Raise if no request may be sent any more: a call that is begun is billed. The connection stays."""
        try:
            checkpoint()
        except BaseException:
            self._put_back(connection)
            raise
        if now() >= until:  # before the timer has been called
            self._put_back(connection)
            raise TimeoutError("the deadline has passed")

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._drop(self._idle.pop())

    def _take_idle(self) -> Connection | None:
        oldest = now() - _IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < oldest:
            self._drop(self._idle.popleft())
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open():
                return connection
            self._drop(connection)
        return None

    def _put_back(self, connection: Connection) -> None:
        self._connector.save_session(connection)
        # Unrequested data would be taken for the response to the next request, and a closed connection fails it.
        if not connection.may_go_on or (self._waiting and not connection.is_open()):
            self._drop(connection)
        elif self._waiting:
            self._waiting.popleft().set_result(connection)
        elif len(self._idle) >= _IDLE:
            self._drop(connection)
        else:
            connection.idle_since = now()
            self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._count -= 1
        self._give_turns()

    async def _wait_for_connection(self) -> Connection:
        """A connection that another request has put back, or a new one."""
        if not self._count:
            self._count_opening()
        elif (connection := await self._wait_for_turn()) is not None:
            return connection
        try:
            return await self._connector.connect()
        except BaseException:
            self._count -= 1
            raise
        finally:
            self._opening -= 1
            self._give_turns()

    async def _wait_for_turn(self) -> Connection | None:
        turn = _Turn()
        self._waiting.append(turn)
        self._give_turns()
        self._watch_overdue()
        try:
            return await turn
        except BaseException:
            self._waiting.remove(turn)
            raise

    def _watch_overdue(self) -> None:
        if self._waiting and (self._overdue is None or self._overdue.callback is None):
            since = self._waiting[0].since if self._count < self._limit else now()
            self._overdue = current().timers.add(since + _OPENING_SECONDS, self._give_overdue_turns)

    def _give_overdue_turns(self) -> None:
        """Let requests open connections that have waited for too long, whatever else there is to do."""
        while self._waiting and self._count < self._limit and self._waiting[0].since + _OPENING_SECONDS <= now():
            self._open_for_next()
        self._watch_overdue()

    def _may_open(self) -> bool:
        # The first one is opened alone: all others resume its TLS session.
        return self._count < self._limit and self._opening < (_OPENING if self._connector.has_session else 1)

    def _count_opening(self) -> None:
        self._count += 1
        self._opening += 1

    def _give_turns(self) -> None:
        """Let requests that wait open connections, when there is nothing else to do."""
        if self._waiting and self._may_open() and self._give_turn not in (idle := current().idle):
            idle.append(self._give_turn)

    def _give_turn(self) -> None:
        if self._waiting and self._may_open():
            self._open_for_next()
            self._give_turns()

    def _open_for_next(self) -> None:
        self._count_opening()
        self._waiting.popleft().set_result(None)
