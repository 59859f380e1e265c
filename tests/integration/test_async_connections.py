"""Tests the connection pool on a loop with servers that misbehave. No connection and no task may be left over."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import trustme
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from sluice.aws.http.connector import Connector
from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.protocol import Response, TooLarge
from sluice.aws.http.resolver import Resolver
from sluice.aws.loop import Loop
from sluice.concurrency import Cancelled, current, now, sleep, spawn, timeout
from tests.support.groups import gather

_T = TypeVar("_T")
Handler = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BIG = 6 * 1024 * 1024
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "localhost")


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    return context


def client_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    return context


@dataclass
class Server:
    """Runs `handler` for each connection, in a thread of its own."""

    handler: Handler
    tls: ssl.SSLContext | None = None
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=256))
    accepted: int = 0
    open: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.accepted += 1
                thread = threading.Thread(target=self._handle, args=[sock])
                self.threads.append(thread)
                thread.start()

    def _handle(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.settimeout(10)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.open.append(sock)
            self.handler(sock)
        if sock in self.open:
            self.open.remove(sock)
        sock.close()


@contextlib.contextmanager
def serving(handler: Handler, *, tls: bool = False) -> Iterator[Server]:
    server = Server(handler, server_tls() if tls else None)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        server.listener.close()
        for sock in list(server.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for one in server.threads:
            one.join()


def read_request(sock: socket.socket) -> bytes:
    """A request, or the part of it that was received when the connection ended."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = sock.recv(65_536)
        if not piece:
            return received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    pieces = [body]
    length -= len(body)
    while length > 0 and (piece := sock.recv(65_536)):
        pieces.append(piece)
        length -= len(piece)
    return head + b"\r\n\r\n" + b"".join(pieces)


def answering(answer: bytes = OK, requests: list[bytes] | None = None) -> Handler:
    """A handler that answers each request of a connection."""

    def handle(sock: socket.socket) -> None:
        while request := read_request(sock):
            if requests is not None:
                requests.append(request)
            sock.sendall(answer)

    return handle


class Client:
    """A pool on a loop. Between runs, the loop watches no socket and has no task."""

    def __init__(self, url: str, **options: Any) -> None:
        self.loop = Loop(threads=2, clock=options.pop("clock", time.monotonic))
        tls = options.pop("tls", None) or client_tls()
        if "getaddrinfo" in options:
            port = int(url.rpartition(":")[2])
            options["resolver"] = Resolver(self.loop, "a.test", port, options.pop("getaddrinfo"))
        options.setdefault("connect_timeout_seconds", 5)
        limit = {"limit": options.pop("limit")} if "limit" in options else {}
        self.pool = ConnectionPool(Connector(self.loop, url, tls, **options), **limit)

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        try:
            return self.loop.run(main)
        finally:
            assert not self.loop.selector.get_map()
            assert not self.loop.scheduler._tasks
            assert not self.pool._waiting
            assert self.pool._opening == 0
            assert self.pool._count == len(self.pool._idle)

    async def post(self, body: bytes = b"x", seconds: float = 10, **options: Any) -> Response:
        return await self.pool.request("POST", "/", {"host": "h"}, body, until=now() + seconds, **options)


@contextlib.contextmanager
def client(url: str, **options: Any) -> Iterator[Client]:
    one = Client(url, **options)
    try:
        yield one
    finally:
        one.pool.close()
        one.loop.close()


both = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])


@both
def test_a_connection_is_reused(*, tls: bool) -> None:
    requests: list[bytes] = []
    with serving(answering(requests=requests), tls=tls) as server, client(server.url) as one:

        async def main() -> None:
            for number in range(3):
                assert await one.post(b"%d" % number) == Response(200, {"content-length": "2"}, b"ok")

        one.run(main())
        one.run(main())
        assert server.accepted == 1
    assert requests[2] == b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\n2"


@both
@pytest.mark.parametrize("body", [b"", b"x" * 10, b"x" * 100_000], ids=["empty", "small", "large"])
def test_the_request_on_the_wire(body: bytes, *, tls: bool) -> None:
    requests: list[bytes] = []
    with serving(answering(requests=requests), tls=tls) as server, client(server.url) as one:

        async def main() -> None:
            await one.pool.request("POST", "/a%20b", {"host": "h", "x-a": "é"}, body, until=now() + 10)

        one.run(main())
    head = f"POST /a%20b HTTP/1.1\r\nhost: h\r\nx-a: é\r\ncontent-length: {len(body)}\r\n\r\n".encode("latin-1")
    assert requests == [head + body]


def test_a_line_break_in_a_header_is_never_sent() -> None:
    with serving(answering()) as server, client(server.url) as one:

        async def main() -> None:
            with pytest.raises(ValueError, match="line break"):
                await one.pool.request("POST", "/", {"x": "a\r\ny: z"}, until=now() + 10)

        one.run(main())
        assert server.accepted == 0


@both
def test_100_calls_at_once_reuse_the_connections_of_the_calls_before(*, tls: bool) -> None:
    def echo(sock: socket.socket) -> None:
        while request := read_request(sock):
            body = request.partition(b"\r\n\r\n")[2]
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with serving(echo, tls=tls) as server, client(server.url) as one:

        async def main() -> None:
            for _ in range(3):
                answers = await gather(*[one.post(b"%d" % number) for number in range(100)])
                assert [int(answer.body) for answer in answers] == list(range(100))

        one.run(main())
        one.run(main())
        assert server.accepted <= 100


@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_of_connections_is_kept_and_requests_wait_in_order(limit: int) -> None:
    requests: list[bytes] = []
    with serving(answering(requests=requests)) as server, client(server.url, limit=limit) as one:

        async def main() -> None:
            await gather(*[one.post(b"%02d" % number) for number in range(30)])

        one.run(main())
        assert server.accepted <= limit
    numbers = [int(request[-2:]) for request in requests]
    assert sorted(numbers) == list(range(30))
    # Those that are under way together may arrive in another order than they were sent in.
    assert limit > 1 or numbers == sorted(numbers)


def test_the_deadline_covers_the_wait_for_a_connection() -> None:
    release = threading.Event()

    def handle(sock: socket.socket) -> None:
        read_request(sock)
        release.wait(10)
        sock.sendall(OK)

    with serving(handle) as server, client(server.url, limit=1) as one:

        async def main() -> None:
            first = spawn(one.post())
            await sleep(0)
            with pytest.raises(ConnectTimeoutError):
                await one.post(seconds=0.05)
            release.set()
            assert (await first).body == b"ok"

        one.run(main())


@both
def test_a_connection_that_the_server_has_closed_is_replaced(*, tls: bool) -> None:
    def once(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK)

    with serving(once, tls=tls) as server, client(server.url) as one:

        async def main() -> None:
            assert (await one.post()).body == b"ok"

        for runs in range(1, 4):
            one.run(main())
            wait_for(lambda: not server.open)
            time.sleep(0.01)  # until the end is on this side
            assert server.accepted == runs


@both
def test_many_connections_that_the_server_has_closed_are_replaced(*, tls: bool) -> None:
    with serving(answering(), tls=tls) as server, client(server.url) as one:

        async def main() -> None:
            await gather(*[one.post() for _ in range(20)])

        one.run(main())
        for sock in list(server.open):
            sock.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: not server.open)
        time.sleep(0.01)
        accepted = server.accepted
        one.run(main())
        assert server.accepted > accepted


@both
@pytest.mark.parametrize("at_once", [True, False], ids=["with the response", "later"])
def test_unrequested_bytes_are_not_the_response_to_the_next_request(*, at_once: bool, tls: bool) -> None:
    unrequested = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    response_is_read = threading.Event()
    later_is_sent = threading.Event()

    def handle(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK + unrequested if at_once else OK)
        response_is_read.wait(10)
        if not at_once:
            sock.sendall(unrequested)
        later_is_sent.set()
        sock.recv(1)  # until the client closes the connection

    with serving(handle, tls=tls) as server, client(server.url) as one:

        async def post() -> None:
            assert await one.post() == Response(200, {"content-length": "2"}, b"ok")

        one.run(post())
        assert bool(one.pool._idle) is not at_once
        response_is_read.set()
        assert later_is_sent.wait(10)
        time.sleep(0.01)  # the client's side needs a moment to receive the bytes
        one.run(post())
        assert server.accepted == 2


def together(count: int) -> Handler:
    """A handler that answers when each of `count` connections has a request. Then it answers each request at once."""
    barrier = threading.Barrier(count, timeout=10)

    def handle(sock: socket.socket) -> None:
        is_first = True
        while read_request(sock):
            if is_first:
                barrier.wait()
            is_first = False
            sock.sendall(OK)

    return handle


def test_a_connection_that_was_idle_for_too_long_is_not_reused() -> None:
    elapsed = 0.0
    with serving(together(2)) as server, client(server.url, clock=lambda: time.monotonic() + elapsed) as one:

        async def main() -> None:
            await gather(one.post(), one.post())

        one.run(main())
        elapsed = 299.0
        one.run(main())
        assert server.accepted == 2
        elapsed += 301.0
        one.run(main())
        assert server.accepted == 4
        wait_for(lambda: len(server.open) == 2)


def test_the_connection_that_was_used_last_is_reused_first() -> None:
    elapsed = 0.0
    with serving(together(5)) as server, client(server.url, clock=lambda: time.monotonic() + elapsed) as one:

        async def burst() -> None:
            await gather(*[one.post() for _ in range(5)])

        one.run(burst())
        for _ in range(4):
            elapsed += 100.0
            one.run(one.post())
        assert server.accepted == 5
        wait_for(lambda: len(server.open) == 1)


# What goes wrong.


@both
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionClosedError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionClosedError),
        (b"SSH-2.0-OpenSSH\r\n", ConnectionClosedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", ConnectionClosedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", ResponseStreamingError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", ResponseStreamingError),
    ],
)
def test_an_incomplete_or_invalid_response_is_an_error(answer: bytes, error: type[Exception], *, tls: bool) -> None:
    requests: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        requests.append(read_request(sock))
        sock.sendall(answer)

    with serving(handle, tls=tls) as server, client(server.url) as one:

        async def main() -> None:
            with pytest.raises(error):
                await one.post()

        one.run(main())
    assert len(requests) == 1, "the request is sent once"


def test_a_request_that_fails_on_a_used_connection_is_not_sent_again() -> None:
    requests: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        requests.append(read_request(sock))
        sock.sendall(OK)
        requests.append(read_request(sock))  # and closes

    with serving(handle) as server, client(server.url) as one:

        async def main() -> None:
            await one.post(b"first")
            with pytest.raises(ConnectionClosedError):
                await one.post(b"second")

        one.run(main())
        assert server.accepted == 1
    assert [request[-5:] for request in requests] == [b"first", b"econd"]


@both
@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ids=["head", "body"])
def test_a_slow_response_ends_at_the_deadline(head: bytes, *, tls: bool) -> None:
    def drip(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(head)
        for byte in OK * 100:
            sock.sendall(bytes([byte]))
            time.sleep(0.01)

    with serving(drip, tls=tls) as server, client(server.url) as one:

        async def main() -> float:
            began = now()
            with pytest.raises(ReadTimeoutError):
                await one.post(seconds=0.3)
            return now() - began

        assert 0.3 <= one.run(main()) < 2


@both
def test_silence_ends_at_the_deadline(*, tls: bool) -> None:
    def silent(sock: socket.socket) -> None:
        read_request(sock)
        sock.recv(1)

    with serving(silent, tls=tls) as server, client(server.url) as one:

        async def main() -> None:
            with pytest.raises(ReadTimeoutError):
                await one.post(seconds=0.1)

        one.run(main())
        wait_for(lambda: server.accepted == 1 and not server.open)


def test_a_server_that_does_not_read_ends_at_the_deadline() -> None:
    release = threading.Event()

    def handle(_: socket.socket) -> None:
        release.wait(10)

    with serving(handle) as server, client(server.url) as one:

        async def main() -> None:
            with pytest.raises(ReadTimeoutError):
                await one.post(b"x" * BIG * 4, seconds=0.2)

        one.run(main())
        release.set()


@contextlib.contextmanager
def half_open() -> Iterator[int]:
    """The port of a server that accepts no more connections."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("limit", "deadline"), [(0.1, 10.0), (10.0, 0.1)], ids=["connect timeout", "deadline"])
def test_connecting_ends_at_the_connect_timeout_or_the_deadline(limit: float, deadline: float) -> None:
    with half_open() as port, client(f"http://127.0.0.1:{port}", connect_timeout_seconds=limit) as one:

        async def main() -> float:
            began = now()
            with pytest.raises(ConnectTimeoutError):
                await one.post(seconds=deadline)
            return now() - began

        assert 0.1 <= one.run(main()) < 2


def test_a_handshake_that_does_not_end_ends_at_the_connect_timeout() -> None:
    def silent(sock: socket.socket) -> None:
        while sock.recv(1000):
            pass

    with (
        serving(silent) as server,
        client(f"https://127.0.0.1:{server.port}", connect_timeout_seconds=0.1) as one,
    ):

        async def main() -> None:
            with pytest.raises(ConnectTimeoutError):
                await one.post()

        one.run(main())
        wait_for(lambda: server.accepted == 1 and not server.open)


@pytest.mark.parametrize("trouble", ["untrusted", "another name", "no TLS"])
def test_a_handshake_that_fails(trouble: str) -> None:
    tls = client_tls()
    host = "127.0.0.1"
    if trouble == "untrusted":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trustme.CA().configure_trust(tls)
    if trouble == "another name":
        host = "127.0.0.2"

    def garbage(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with (
        serving(garbage if trouble == "no TLS" else answering(), tls=trouble != "no TLS") as server,
        client(f"https://{host}:{server.port}", tls=tls, getaddrinfo=local) as one,
    ):

        async def main() -> None:
            with pytest.raises(SSLError):
                await one.post()

        one.run(main())


def test_a_refused_connection_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with client(f"http://127.0.0.1:{port}") as one:

        async def main() -> None:
            with pytest.raises(EndpointConnectionError):
                await one.post()

        one.run(main())


@pytest.mark.parametrize("max_bytes", [1, 2])
def test_a_body_over_the_limit_is_not_read(max_bytes: int) -> None:
    with serving(answering()) as server, client(server.url) as one:

        async def main() -> None:
            if max_bytes == 2:
                assert (await one.post(max_bytes=max_bytes)).body == b"ok"
            else:
                with pytest.raises(TooLarge):
                    await one.post(max_bytes=max_bytes)

        one.run(main())
        wait_for(lambda: len(server.open) == max_bytes - 1)


# Names.


def local(host: str, port: int, **_: Any) -> list[Any]:
    return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)


def named(find: Callable[[int], list[Any]], lookups: list[int]) -> Any:
    """A `socket.getaddrinfo` for one name. `find` returns its addresses, in a thread."""

    def getaddrinfo(host: str, port: int, *, type: int, flags: int = 0) -> list[Any]:  # noqa: A002
        if flags:
            raise socket.gaierror("it is a name")
        assert threading.current_thread() is not threading.main_thread()
        lookups.append(port)
        time.sleep(0.01)
        return find(port)

    return getaddrinfo


def address(host: str, port: int) -> Any:
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)


def test_a_name_is_looked_up_once_for_all_requests_and_again_after_30_seconds() -> None:
    lookups: list[int] = []
    elapsed = 0.0
    find = named(lambda port: [address("127.0.0.1", port)], lookups)
    with (
        serving(answering()) as server,
        client(server.url, getaddrinfo=find, clock=lambda: time.monotonic() + elapsed) as one,
    ):

        async def main() -> None:
            await gather(*[one.post() for _ in range(10)])

        one.run(main())
        one.pool.close()
        one.run(main())
        assert len(lookups) == 1
        one.pool.close()
        elapsed = 31.0
        one.run(main())
        assert len(lookups) == 2


def test_an_unknown_name_is_an_error_and_is_looked_up_again() -> None:
    lookups: list[int] = []

    def find(port: int) -> list[Any]:
        if len(lookups) == 1:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [address("127.0.0.1", port)]

    with serving(answering()) as server, client(server.url, getaddrinfo=named(find, lookups)) as one:

        async def main() -> None:
            with pytest.raises(EndpointConnectionError):
                await one.post()
            assert (await one.post()).body == b"ok"

        one.run(main())


def test_a_lookup_that_a_run_has_abandoned_does_not_delay_the_next_run() -> None:
    lookups: list[int] = []
    release = threading.Event()

    def find(port: int) -> list[Any]:
        if len(lookups) == 1:
            release.wait(10)
        return [address("127.0.0.1", port)]

    with serving(answering()) as server, client(server.url, getaddrinfo=named(find, lookups)) as one:

        async def first() -> None:
            with pytest.raises(ConnectTimeoutError):
                await one.post(seconds=0.1)

        async def second() -> None:
            assert (await one.post()).body == b"ok"

        one.run(first())
        one.run(second())
        release.set()
        assert len(lookups) == 2


def test_an_address_that_refuses_connections_is_skipped() -> None:
    lookups: list[int] = []
    find = named(lambda port: [address("127.0.0.9", port), address("127.0.0.1", port)], lookups)
    with serving(answering()) as server, client(server.url, getaddrinfo=find) as one:

        async def main() -> None:
            answers = await gather(*[one.post() for _ in range(4)])
            assert [answer.body for answer in answers] == [b"ok"] * 4

        one.run(main())


# Cancellation.


@pytest.mark.parametrize("stage", ["connecting", "reading", "sending"])
@both
def test_a_cancelled_call_leaves_no_connection(stage: str, *, tls: bool) -> None:
    release = threading.Event()

    def handle(sock: socket.socket) -> None:
        if stage == "sending":
            release.wait(10)
        else:
            read_request(sock)
            sock.recv(1)

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(handle, tls=tls))
        port = stack.enter_context(half_open()) if stage == "connecting" else server.port
        one = stack.enter_context(client(f"{'https' if tls else 'http'}://127.0.0.1:{port}", limit=1))

        async def main() -> None:
            with pytest.raises(TimeoutError), timeout(0.1):
                await one.post(b"x" * BIG * 4 if stage == "sending" else b"x")
            assert not one.pool._idle

        one.run(main())
        release.set()
        wait_for(lambda: not server.open)


def test_calls_that_are_under_way_when_a_run_ends_are_cancelled_and_their_connections_closed() -> None:
    def silent(sock: socket.socket) -> None:
        read_request(sock)
        sock.recv(1)

    with serving(silent) as server, client(server.url) as one:

        async def main() -> None:
            for _ in range(3):
                spawn(one.post())
            await sleep(0.1)

        one.run(main())
        assert server.accepted == 3
        wait_for(lambda: not server.open)


# Big bodies.


@both
def test_a_large_request_and_a_large_response(*, tls: bool) -> None:
    def handle(sock: socket.socket) -> None:
        body = read_request(sock).partition(b"\r\n\r\n")[2]
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        sock.sendall(body[::-1])

    body = bytes(range(256)) * (BIG // 256)
    with serving(handle, tls=tls) as server, client(server.url) as one:

        async def main() -> list[Response]:
            return await gather(one.post(body), one.post(body))

        for response in one.run(main()):
            assert response.body == body[::-1]


@both
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_a_large_body_is_read_when_it_is_admitted(*, chunked: bool, tls: bool) -> None:
    body = b"y" * 1_000_000
    chunks = b"".join(b"2710\r\n" + body[:10_000] + b"\r\n" for _ in range(100)) + b"0\r\n\r\n"
    coding = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000"
    answer = b"HTTP/1.1 200 OK\r\n" + coding + b"\r\n\r\n" + (chunks if chunked else body)
    asked: list[int] = []

    async def admit(size: int) -> None:
        asked.append(size)
        await sleep(0.02)

    with serving(answering(answer), tls=tls) as server, client(server.url) as one:

        async def main() -> Response:
            return await one.post(admit=admit)

        assert one.run(main()).body == body
    if chunked:
        assert asked == sorted(set(asked))
        assert asked[-1] >= len(body)
    else:
        assert asked == [len(body)]


@both
def test_a_response_that_begins_before_the_request_is_sent_is_read(*, tls: bool) -> None:
    """The server stops reading until its response is read."""

    def handle(sock: socket.socket) -> None:
        left = BIG
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
        while left > 0:
            sock.sendall(b"y" * min(left, 65_536))
            left -= 65_536
            sock.recv(65_536)
        while sock.recv(65_536):
            pass

    with serving(handle, tls=tls) as server, client(server.url) as one:

        async def main() -> Response:
            return await one.post(b"x" * BIG)

        assert one.run(main()).body == b"y" * BIG


@both
def test_a_response_that_ends_before_the_request_is_sent_is_returned(*, tls: bool) -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
    release = threading.Event()

    def handle(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(refusal)
        release.wait(10)

    with serving(handle, tls=tls) as server, client(server.url) as one:

        async def main() -> Response:
            return await one.post(b"x" * BIG)

        assert one.run(main()).status == 413
        assert not one.pool._idle, "the rest of the body was never sent"
        release.set()


# What must not be sent, and to whom.


@pytest.mark.parametrize("waits", [False, True], ids=["an idle connection", "one that is handed over"])
def test_no_request_is_sent_after_its_deadline(*, waits: bool) -> None:
    requests: list[bytes] = []
    with serving(answering(requests=requests)) as server, client(server.url, limit=1) as one:

        async def main() -> None:
            await one.post(b"first")
            if waits:
                first = spawn(one.post(b"slow!"))
                await sleep(0)
            with pytest.raises(ConnectTimeoutError):
                await one.post(b"never", seconds=-3)
            if waits:
                await first
            assert (await one.post(b"after")).body == b"ok"

        one.run(main())
        assert server.accepted == 1, "the connection stays"
    assert [request[-5:] for request in requests if request[-5:] != b"slow!"] == [b"first", b"after"]


def test_no_request_is_sent_after_its_cancellation() -> None:
    requests: list[bytes] = []
    with serving(answering(requests=requests)) as server, client(server.url) as one:

        async def main() -> None:
            await one.post(b"first")
            current().running.interrupt(Cancelled())  # type: ignore[union-attr]
            with pytest.raises(Cancelled):
                await one.post(b"never")

        one.run(main())
    assert [request[-5:] for request in requests] == [b"first"]


def cork(sock: socket.socket, *, on: bool) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, on)


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="requires Linux")
@both
def test_a_waiting_request_gets_no_connection_with_unrequested_data(*, tls: bool) -> None:
    """TLS returns one record at a time: data after the response may not have been read with it."""

    def handle(sock: socket.socket) -> None:
        while request := read_request(sock):
            body = request[-1:]
            cork(sock, on=True)  # so that both arrive together
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + body)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n?")
            cork(sock, on=False)

    with serving(handle, tls=tls) as server, client(server.url, limit=1) as one:

        async def main() -> None:
            answers = await gather(*[one.post(body) for body in (b"a", b"b", b"c", b"d")])
            assert [answer.body for answer in answers] == [b"a", b"b", b"c", b"d"]

        one.run(main())


def test_an_address_that_does_not_respond_is_skipped() -> None:
    lookups: list[int] = []
    with serving(answering()) as server, half_open() as silent:
        find = named(lambda port: [address("127.0.0.1", silent), address("127.0.0.1", server.port)], lookups)
        with client(server.url, getaddrinfo=find, connect_timeout_seconds=0.1) as one:

            async def main() -> None:
                answers = await gather(*[one.post() for _ in range(4)])
                assert [answer.body for answer in answers] == [b"ok"] * 4

            one.run(main())


def test_a_server_that_refuses_a_session_is_connected_to_without_one() -> None:
    offered: list[bool] = []

    def accept(sock: socket.socket) -> None:
        # pre_shared_key, the extension that offers a session, is the last one (RFC 8446, section 4.2.11).
        hello = sock.recv(65_536, socket.MSG_PEEK)
        at = hello.rfind(b"\x00\x29")
        offered.append(at > 0 and at + 4 + int.from_bytes(hello[at + 2 : at + 4], "big") == len(hello))
        if offered[-1]:
            sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # a fatal alert: handshake_failure
            return
        with server_tls().wrap_socket(sock, server_side=True) as tls:
            read_request(tls)
            tls.sendall(OK)

    with serving(accept) as server, client(server.url.replace("http:", "https:")) as one:

        async def main() -> None:
            for _ in range(3):
                assert (await one.post()).body == b"ok"
                one.pool.close()

        one.run(main())
    assert True in offered


def test_a_body_without_a_length_that_is_cut_is_incomplete() -> None:
    def handle(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf of the ans")
        sock.shutdown(socket.SHUT_RDWR)  # without TLS's close_notify

    with serving(handle, tls=True) as server, client(server.url) as one:

        async def main() -> None:
            with pytest.raises(ResponseStreamingError):
                await one.post()

        one.run(main())


def test_the_first_connection_is_opened_alone_and_the_others_resume_its_session() -> None:
    reused: list[bool | None] = []

    def handle(sock: socket.socket) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        reused.append(sock.session_reused)
        answering()(sock)

    with serving(handle, tls=True) as server, client(server.url) as one:

        async def main() -> None:
            await gather(*[one.post() for _ in range(20)])

        one.run(main())
    assert reused[0] is False
    assert all(reused[1:])


# TLS.


def test_a_tls_session_is_resumed() -> None:
    reused: list[bool | None] = []

    def handle(sock: socket.socket) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        reused.append(sock.session_reused)
        answering()(sock)

    with serving(handle, tls=True) as server, client(server.url) as one:

        async def main() -> None:
            await gather(one.post(), one.post())

        for _ in range(3):
            one.run(main())
            one.pool.close()
        assert reused[0] is False
        assert reused[2:] == [True] * (len(reused) - 2)


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)
