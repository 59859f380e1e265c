"""Compares the lean transport's HTTP/1.1 with http.client, and tests its handling of invalid HTTP."""

import contextlib
import http.client
import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.aws.http.http1 import CutOff, Exchange, NotHttp, Response, TooLarge

OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.contextmanager
def exchange(answer: bytes, *, stays_open: bool = False) -> Iterator[tuple[Exchange, socket.socket]]:
    """A connection whose other side has already sent `answer`, and closed it unless it stays open."""
    here, there = socket.socketpair()
    here.settimeout(0.05 if stays_open else 5)
    there.sendall(answer)
    if not stays_open:
        there.shutdown(socket.SHUT_WR)
    one = Exchange(here)
    with there, contextlib.closing(one):
        yield one, there


def read(answer: bytes, method: str = "POST", *, stays_open: bool = False, max_bytes: int | None = None) -> Response:
    with exchange(answer, stays_open=stays_open) as (one, _):
        return one.run(method, "/", {}, b"", max_bytes)


def read_by_http_client(answer: bytes, method: str) -> Response:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(answer)
        there.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(here, method=method)
        response.begin()
        with response:
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, fields, response.read())


names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).filter(
    lambda name: name.lower() not in {"content-length", "transfer-encoding", "connection"}
)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
bodies = st.binary(max_size=200)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from([200, 201, 204, 301, 304, 400, 404, 424, 500, 503]))
    body = draw(bodies)
    fields = draw(st.dictionaries(names, values, max_size=5))
    lines = [f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{value}" for name, value in fields.items()]
    # 204 and 304 have no body, regardless of their headers; http.client would look for a chunked one.
    framing = "none" if status in {204, 304} else draw(st.sampled_from(["length", "chunks", "end"]))
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunks":
        lines.append("Transfer-Encoding: chunked")
        cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=3))})
        pieces = [body[a:b] for a, b in itertools.pairwise(cuts)]
        extension = draw(st.sampled_from([b"", b";a=b"]))
        body = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n\r\n"
    before = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    head = "\r\n".join([f"HTTP/1.1 {status} Some Reason", *lines, "", ""]).encode()
    return before + head + (b"" if framing == "none" else body)


@given(answer=answers(), method=st.sampled_from(["POST", "PUT", "GET", "HEAD"]))
def test_a_response_is_read_as_http_client_reads_it(answer: bytes, method: str) -> None:
    assert read(answer, method) == read_by_http_client(answer, method)


@given(answer=answers(), data=st.data())
def test_an_incomplete_response_is_an_error(answer: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(answer) - 1))
    framed = b"Content-Length" in answer or b"chunked" in answer
    try:
        found = read(answer[:cut])
    except (NotHttp, CutOff):
        return
    # A body without a length ends with the connection; or the missing rest has no effect.
    whole = read(answer)
    assert not framed or found.body == whole.body


@given(st.binary(max_size=300))
def test_any_bytes_are_a_response_or_an_error(answer: bytes) -> None:
    with contextlib.suppress(NotHttp, CutOff):
        read(answer)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", NotHttp),
        (b"SSH-2.0-OpenSSH\r\n\r\n", NotHttp),
        (b"HTTP/1.1 abc\r\n\r\n", NotHttp),
        (b"HTTP/1.1 020 OK\r\n\r\n", NotHttp),
        (b"HTTP/1.1 2000\r\n\r\n", NotHttp),
        (OK + b"no colon\r\n\r\n", NotHttp),
        (OK + b"Content-Length: -1\r\n\r\n", NotHttp),
        (OK + b"A: " + b"x" * 90_000 + b"\r\n\r\n", NotHttp),
        (OK + b"".join(b"A%d: x\r\n" % n for n in range(101)) + b"\r\n", NotHttp),
        (OK + b"Content-Length: 5\r\n\r\nabc", CutOff),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", CutOff),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", CutOff),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nabcd\r\n0\r\n\r\n", CutOff),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n", CutOff),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", CutOff),
    ],
)
def test_incomplete_and_invalid_responses(answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(answer)


def test_silence_ends_at_the_timeout() -> None:
    with pytest.raises(TimeoutError):
        read(b"HTTP/1.1 200", stays_open=True)


def test_a_body_over_the_limit_is_not_read() -> None:
    with pytest.raises(TooLarge):
        read(OK + b"Content-Length: 11\r\n\r\n", max_bytes=10, stays_open=True)


@pytest.mark.parametrize(
    ("fields", "goes_on"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_whether_the_connection_can_be_reused(fields: bytes, *, goes_on: bool) -> None:
    with exchange(fields) as (one, _):
        one.run("POST", "/", {}, b"")
        assert one.may_go_on is goes_on


@pytest.mark.parametrize("body", [b"", b"x" * 10, b"x" * 100_000])
def test_the_request_on_the_wire(body: bytes) -> None:
    with exchange(OK + b"Content-Length: 0\r\n\r\n") as (one, there):
        there.settimeout(5)
        one.run("POST", "/a%20b", {"host": "h", "x-a": "é"}, body)
        head = f"POST /a%20b HTTP/1.1\r\nhost: h\r\nx-a: é\r\ncontent-length: {len(body)}\r\n\r\n".encode("latin-1")
        with there.makefile("rb") as sent:
            assert sent.read(len(head) + len(body)) == head + body


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb"])
def test_a_line_break_in_a_header_is_never_sent(value: str) -> None:
    with exchange(b"") as (one, _), pytest.raises(ValueError, match="line break"):
        one.run("POST", "/", {"x": value}, b"")


def test_bytes_after_the_response_close_a_connection() -> None:
    with exchange(OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", stays_open=True) as (one, _):
        assert one.run("POST", "/", {}, b"").body == b"ok"
        assert not one.may_go_on, "else the next request would be answered with them"


def test_unrequested_bytes_close_a_connection() -> None:
    with exchange(b"HTTP/1.1 408 Request Timeout\r\n\r\n", stays_open=True) as (one, _):
        assert not one.is_open(1)
    with exchange(b"", stays_open=True) as (one, _):
        assert one.is_open(1)
    with exchange(b"") as (one, _):
        assert not one.is_open(1)
