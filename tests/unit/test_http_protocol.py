"""HTTP/1.1 as bytes: beside http.client, however the bytes are cut, and what is no HTTP/1.1."""

import contextlib
import http.client
import io
import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.aws.http.protocol import CutOff, NotHttp, Response, ResponseParser, TooLarge, request_head

OK = b"HTTP/1.1 200 OK\r\n"
ERRORS = (NotHttp, CutOff, TooLarge)
Outcome = tuple[Any, bool]


def read(answer: bytes, method: str = "POST", *, max_bytes: int | None = None, at_once: bool = True) -> Response:
    """What `answer` is, when the connection ends after it."""
    parser = ResponseParser(method, max_bytes)
    for piece in [answer] if at_once else [answer[at : at + 1] for at in range(len(answer))]:
        parser.feed(piece)
    return parser.end()


def outcome(pieces: list[bytes], method: str, max_bytes: int | None) -> Outcome:
    """The response or the error, and whether the connection may go on."""
    parser = ResponseParser(method, max_bytes)
    try:
        for piece in pieces:
            parser.feed(piece)
        return parser.end(), parser.may_go_on
    except ERRORS as error:
        return type(error), False


def read_by_http_client(answer: bytes, method: str) -> Response:
    class Sock:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(answer)

    response = http.client.HTTPResponse(Sock(), method=method)  # type: ignore[arg-type]
    response.begin()
    with response:
        fields: dict[str, str] = {}
        for name, value in response.getheaders():
            known = fields.get(name.lower())
            fields[name.lower()] = value if known is None else f"{known}, {value}"
        return Response(response.status, fields, response.read())


names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).filter(
    lambda name: name.lower() not in {"content-length", "transfer-encoding", "connection"}
)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
bodies = st.binary(max_size=200)
methods = st.sampled_from(["POST", "PUT", "GET", "HEAD"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    status = draw(st.sampled_from([200, 201, 204, 301, 304, 400, 404, 424, 500, 503]))
    body = draw(bodies)
    fields = draw(st.dictionaries(names, values, max_size=5))
    lines = [f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{value}" for name, value in fields.items()]
    # A 204 and a 304 have no body, whatever they say; http.client would look for one in chunks.
    framing = "none" if status in {204, 304} else draw(st.sampled_from(["length", "chunks", "end"]))
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunks":
        lines.append("Transfer-Encoding: chunked")
        cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=3))})
        pieces = [body[a:b] for a, b in itertools.pairwise(cuts)]
        extension = draw(st.sampled_from([b"", b";a=b"]))
        trailer = draw(st.sampled_from([b"", b"x-trailer: 1\r\n"]))
        body = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
        body += b"0\r\n" + trailer + b"\r\n"
    before = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    head = "\r\n".join([f"HTTP/1.1 {status} Some Reason", *lines, "", ""]).encode()
    return before + head + (b"" if framing == "none" else body)


def cut(data: st.DataObject, answer: bytes) -> list[bytes]:
    at = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    return [answer[a:b] for a, b in itertools.pairwise([0, *at, len(answer)])]


@given(answer=answers(), method=methods)
def test_a_response_is_read_as_http_client_reads_it(answer: bytes, method: str) -> None:
    assert read(answer, method) == read_by_http_client(answer, method)


# Pieces of which responses are made, so that what is no response comes close to one.
fragments = st.one_of(
    answers(),
    st.binary(max_size=20),
    st.sampled_from(
        [
            *[OK, b"HTTP/1.0 200\r\n", b"HTTP/1.1 100 \r\n\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b":", b"\0"],
            *[b"Content-Length: 3\r\n", b"Content-Length: 3\r\n", b"Content-Length: x\r\n", b"Connection: close\r\n"],
            *[b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"3\r\nabc\r\n", b"0\r\n", b"abc"],
            *[b"a: b\r\n", b"A: c\r\n", b" folded\r\n", b"no colon\r\n", b"x : y\r\n", b"f" * 16 + b"\r\n"],
        ]
    ),
)
near_answers = st.lists(fragments, max_size=8).map(b"".join)
limits = st.sampled_from([None, 0, 2, 3, 100])


@given(answer=near_answers, method=methods, max_bytes=limits, data=st.data())
def test_it_is_the_same_however_its_bytes_are_cut(
    answer: bytes, method: str, max_bytes: int | None, data: st.DataObject
) -> None:
    whole = outcome([answer], method, max_bytes)
    assert outcome(cut(data, answer), method, max_bytes) == whole
    assert outcome([answer[at : at + 1] for at in range(len(answer))], method, max_bytes) == whole


@given(st.binary(max_size=300) | near_answers, methods)
@example(b"HTTP/1.1 100 \r\n\r\n" * 3000, "GET")
@example(OK + "Content-Length: ²\r\n\r\n".encode("latin-1"), "GET")
def test_whatever_comes_is_a_response_or_an_error(answer: bytes, method: str) -> None:
    with contextlib.suppress(NotHttp, CutOff):
        read(answer, method)


@given(answer=answers(), data=st.data())
def test_a_response_that_ends_early_is_never_taken_for_a_whole_one(answer: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(answer) - 1))
    framed = b"Content-Length" in answer or b"chunked" in answer
    try:
        found = read(answer[:end])
    except (NotHttp, CutOff):
        return
    # Only the connection's own end tells the end of a body without a length; or its rest was of no consequence.
    assert not framed or found.body == read(answer).body


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", NotHttp),
        (b"HT", NotHttp),
        (b"SSH-2.0-OpenSSH\r\n\r\n", NotHttp),
        (b"HTTP/2 200 OK\r\n\r\n", NotHttp),
        (b"HTTP/1.1 abc\r\n\r\n", NotHttp),
        (b"HTTP/1.1 020 OK\r\n\r\n", NotHttp),
        (b"HTTP/1.1 2000\r\n\r\n", NotHttp),
        (b"HTTP/1.1 200OK\r\n\r\n", NotHttp),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", NotHttp),
        (b"HTTP/1.1 100 Continue\r\n\r\n", NotHttp),
        (OK + b"no colon\r\n\r\n", NotHttp),
        (OK + b"a : b\r\n\r\n", NotHttp),
        (OK + b": b\r\n\r\n", NotHttp),
        (OK + b"a: b\r\n folded\r\n\r\n", NotHttp),
        (OK + b"a: b\nc: d\r\n\r\n", NotHttp),
        (OK + b"a: b\rc: d\r\n\r\n", NotHttp),
        (OK + b"a: \0\r\n\r\n", NotHttp),
        (OK + b"Content-Length: -1\r\n\r\n", NotHttp),
        (OK + b"Content-Length: +1\r\n\r\n", NotHttp),
        (OK + b"Content-Length:\r\n\r\n", NotHttp),
        (OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", NotHttp),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", NotHttp),
        (OK + b"Content-Length: 5, 5, 6\r\n\r\nabcde", NotHttp),
        (OK + b"Content-Length: x, x\r\n\r\nabcde", NotHttp),
        (OK + b"Content-Length: ,\r\n\r\nabcde", NotHttp),
        (OK + b"Content-Length: 1, 2\r\n\r\nab", NotHttp),
        (OK + b"content-length: 2\r\na: b\r\nCONTENT-LENGTH: 1\r\n\r\nab", NotHttp),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", NotHttp),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", NotHttp),
        (OK + b"Transfer-Encoding: identity\r\n\r\n", NotHttp),
        (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NotHttp),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NotHttp),
        (OK + b"A: " + b"x" * 70_000 + b"\r\n\r\n", NotHttp),
        (b"HTTP/1.1 100 \r\nA: " + b"x" * 40_000 + b"\r\n\r\n" + OK + b"A: " + b"x" * 40_000 + b"\r\n\r\n", NotHttp),
        (OK + b"".join(b"A%d: x\r\n" % n for n in range(101)) + b"\r\n", NotHttp),
        (OK + b"Content-Length: 5\r\n\r\nabc", CutOff),
        (CHUNKED + b"5\r\nab", CutOff),
        (CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", CutOff),
        (CHUNKED + b"zz\r\n", CutOff),
        (CHUNKED + b"\r\n", CutOff),
        (CHUNKED + b"-2\r\nabcd\r\n0\r\n\r\n", CutOff),
        (CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n", CutOff),
        (CHUNKED + b"2\n\r\nab\r\n0\r\n\r\n", CutOff),
        (CHUNKED + b"1" + b"0" * 16 + b"\r\nab\r\n", CutOff),
        (CHUNKED, CutOff),
        (CHUNKED + b"2\r\nab\r\n0\r\n", CutOff),
        (CHUNKED + b"2;" + b"x" * 5_000 + b"\r\nab\r\n0\r\n\r\n", CutOff),
        (CHUNKED + (b"1;" + b"x" * 4_000 + b"\r\na\r\n") * 20 + b"0\r\n\r\n", CutOff),
        (CHUNKED + b"0\r\n" + (b"a: " + b"x" * 4_000 + b"\r\n") * 20 + b"\r\n", CutOff),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, bytes) else value.__name__,
)
def test_what_is_no_whole_response(answer: bytes, error: type[Exception], *, at_once: bool) -> None:
    with pytest.raises(error):
        read(answer, at_once=at_once)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 11\r\n\r\n",
        CHUNKED + b"6\r\nabcdef\r\n5\r\n",
        OK + b"\r\n" + b"x" * 11,
    ],
)
def test_a_body_over_the_limit_is_not_read(answer: bytes) -> None:
    with pytest.raises(TooLarge):
        ResponseParser("GET", 10).feed(answer)


@pytest.mark.parametrize(
    "answer",
    [OK + b"Content-Length: 10\r\n\r\n" + b"x" * 10, CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n0\r\n\r\n"],
)
def test_a_body_of_just_the_limit_is_read(answer: bytes) -> None:
    assert read(answer, max_bytes=10).body == b"x" * 10


@pytest.mark.parametrize(
    ("answer", "goes_on"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (CHUNKED + b"0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 100 \r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        # Bytes after the response would be taken for the answer to the next request.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n", False),
        (CHUNKED + b"0\r\n\r\nHTTP/1.1 200 OK\r\n", False),
        # Two lengths: the chunks decide (RFC 9112, section 6.3), and the connection is not used again.
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n", False),
    ],
)
def test_whether_the_connection_can_be_used_again(answer: bytes, *, goes_on: bool) -> None:
    parser = ResponseParser("POST")
    assert not parser.may_go_on
    parser.feed(answer)
    parser.end()
    assert parser.may_go_on is goes_on


def test_bytes_that_come_after_the_response_end_a_connection() -> None:
    parser = ResponseParser("POST")
    whole = parser.feed(OK + b"Content-Length: 2\r\n\r\nok")
    assert parser.feed(b"") == whole
    assert parser.may_go_on
    assert parser.feed(b"x") == whole
    assert not parser.may_go_on


def test_chunks_decide_over_a_content_length() -> None:
    assert read(OK + b"Content-Length: 9\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").body == b"ok"


@pytest.mark.parametrize("lengths", [b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5, 5"])
def test_equal_content_lengths_are_one(lengths: bytes) -> None:
    parser = ResponseParser("GET")
    assert parser.feed(OK + lengths + b"\r\n\r\nabcde") == Response(200, {"content-length": "5"}, b"abcde")
    assert not parser.may_go_on


def test_headers_of_one_name_are_joined() -> None:
    assert read(OK + b"A: 1\r\na:  2 \r\n\r\n").headers == {"a": "1, 2"}


@pytest.mark.parametrize("status", [100, 102, 103])
def test_interim_responses_are_passed_over(status: int) -> None:
    interim = b"HTTP/1.1 %d x\r\nA: b\r\n\r\n" % status
    assert read(interim * 3 + OK + b"Content-Length: 1\r\n\r\nx") == Response(200, {"content-length": "1"}, b"x")


def test_the_head_of_a_request() -> None:
    assert request_head("POST", "/a%20b", {"host": "h", "x-a": "é"}, 5) == (
        "POST /a%20b HTTP/1.1\r\nhost: h\r\nx-a: é\r\ncontent-length: 5\r\n\r\n".encode("latin-1")
    )
    assert request_head("PUT", "/", {}, 0) == b"PUT / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
    assert request_head("GET", "/", {}, 0) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb"])
def test_a_line_break_in_a_header_is_never_sent(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        request_head("POST", "/", {"x": value}, 0)
