"""When the pool opens a connection, with connections that need no socket."""

from typing import Any, cast

from sluice.aws.http.connection import Connection
from sluice.aws.http.connector import Connector
from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.protocol import Response
from sluice.concurrency import Event, now, sleep, spawn
from tests.support.groups import gather
from tests.support.virtual_time import VirtualTime

_RESPONSE = Response(200, {}, b"")


class Host:
    """A host whose connections open after `opening` seconds.

    They respond after `steps` steps of a busy loop, or `seconds` of waiting.
    """

    host = "host"
    url = "https://host"
    has_session = True

    def __init__(self, *, steps: int = 0, seconds: float = 0.0, opening: float = 0.0) -> None:
        self.opening = opening
        self.steps = steps
        self.seconds = seconds
        self.opened = 0

    async def connect(self) -> Connection:
        self.opened += 1
        if self.opening:
            await sleep(self.opening)
        return cast("Connection", Opened(self))

    def save_session(self, connection: Connection) -> None:
        pass


class Opened:
    may_go_on = True
    idle_since = 0.0

    def __init__(self, host: Host) -> None:
        self._host = host

    async def exchange(self, *_: Any) -> Response:
        for _step in range(self._host.steps):
            event = Event()
            spawn(_set(event))
            await event.wait()
        if self._host.seconds:
            await sleep(self._host.seconds)
        return _RESPONSE

    def is_open(self) -> bool:
        return True

    def close(self) -> None:
        pass


async def _set(event: Event) -> None:
    event.set()


def requests(host: Host, count: int, **options: int) -> float:
    """Make `count` requests at once. Returns the time that they take together, in seconds."""
    pool = ConnectionPool(cast("Connector", host), **options)

    async def main() -> float:
        await gather(*[pool.request("GET", "/", {}, until=now() + 100) for _ in range(count)])
        return now()

    return VirtualTime().run(main())


def test_while_there_is_other_work_requests_share_the_connection() -> None:
    host = Host(steps=10)
    requests(host, 50)
    assert host.opened == 1


def test_while_there_is_none_each_call_in_flight_has_a_connection() -> None:
    host = Host(seconds=1)
    assert requests(host, 50) == 1
    assert host.opened == 50


def test_the_limit_holds() -> None:
    host = Host(seconds=1)
    assert requests(host, 50, limit=10) == 5
    assert host.opened == 10


def test_requests_do_not_wait_for_connections_that_do_not_open() -> None:
    host = Host(opening=1)
    assert requests(host, 50) == 1.25
    assert host.opened == 50


def test_the_limit_holds_for_requests_that_have_waited() -> None:
    host = Host(opening=1)
    assert requests(host, 50, limit=10) == 1.25
    assert host.opened == 10
