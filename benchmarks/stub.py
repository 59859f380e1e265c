"""A stub of SageMaker, S3 and SQS over TLS: responds immediately or after a fixed latency, and stores nothing.

It serves HTTP/1.1 with keep-alive on one event loop and without a framework, so that it is not the bottleneck.
`python stub.py FOLDER` writes a CA bundle to FOLDER that includes the stub's authority, and prints the port.
"""

import asyncio
import ssl
import sys
from http import HTTPStatus
from pathlib import Path
from typing import cast

import certifi
import trustme

_ANSWER = b'{"predictions":[{"score":0.73,"label":"second"}]}'
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def response(status: HTTPStatus, headers: str = "", body: bytes = b"") -> bytes:
    """The bytes of an HTTP/1.1 response."""
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nx-amzn-RequestId: 0\r\nx-amz-request-id: 0\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


_INVOKED = response(
    HTTPStatus.OK, "Content-Type: application/json\r\nx-Amzn-Invoked-Production-Variant: AllTraffic\r\n", _ANSWER
)
_BY_METHOD = {
    b"PUT": response(HTTPStatus.OK, 'ETag: "d41d8cd98f00b204e9800998ecf8427e"\r\n'),
    b"DELETE": response(HTTPStatus.NO_CONTENT),
    b"POST": response(HTTPStatus.OK, "Content-Type: application/x-amz-json-1.0\r\n", b"{}"),
}
# A file of rows, which is read in parts. No part is stored yet.
ROW = b"0.25,1.50,2.75,3.00,4.25,5.50,6.75\n"
ROWS = 100_000
_FILE = ROW * ROWS
_FILE_FIELDS = 'Content-Type: text/csv\r\nETag: "0"\r\nx-amz-meta-batch-strategy: {strategy}\r\n'
_NO_PARTS = response(
    HTTPStatus.OK, "Content-Type: application/xml\r\n", b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
)


def _read(target: bytes, method: bytes, fields: bytes) -> bytes:
    """The response to HEAD and GET: the file under transform/, an empty listing, or 404."""
    if b"list-type=2" in target:
        return _NO_PARTS
    if b"/transform/" not in target or not target.startswith(b"/input/"):
        return response(HTTPStatus.NOT_FOUND)
    strategy = "SingleRecord" if b"single" in target else "MultiRecord"
    headers = _FILE_FIELDS.format(strategy=strategy)
    if method == b"HEAD":
        return response(HTTPStatus.OK, headers, _FILE).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    start, _, end = fields.partition(b"range: bytes=")[2].partition(b"\r\n")[0].partition(b"-")
    return response(HTTPStatus.PARTIAL_CONTENT, headers, _FILE[int(start) : int(end) + 1])


class Stub(asyncio.Protocol):
    """One connection. The endpoint's name has the model's latency: `latency-200` responds after 200 ms.

    `lines-200` returns one line for each line of the body.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._head = 0  # length of the current request's head in bytes; 0 until it is complete
        self._body: int | None = 0  # length of its body in bytes; None if it is chunked
        self._answer = b""
        self._answers_lines = False
        self._latency = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for responses."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Receive bytes, and respond to each complete request."""
        self._received += data
        while self._head or self._begin():
            end = self._chunked_end() if self._body is None else self._head + self._body
            if end is None or len(self._received) < end:
                return
            if self._answers_lines:
                self._answer = self.answer_lines(self._received.count(b"\n", self._head, end))
            del self._received[:end]
            self._head = 0
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, self._answer)
            else:
                self._transport.write(self._answer)

    def _begin(self) -> bool:
        """Read the head of the next request. Return False if it is incomplete."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        line, _, rest = bytes(self._received[:end]).partition(b"\r\n")
        method, target, _ = line.split(b" ")
        fields = rest.lower()
        at = fields.find(b"content-length:")
        self._head = end + 4
        self._body = int(fields[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if b"transfer-encoding: chunked" in fields:
            self._body = None
        self._answer = self.respond(target, method, fields)
        self._answers_lines = target.startswith(b"/endpoints/lines-")
        self._latency = 0.0
        if target.startswith(b"/endpoints/"):
            self._answer = _INVOKED
            self._latency = float(target.split(b"/")[2].rpartition(b"-")[2]) / 1000
        if b"expect: 100-continue" in fields:
            self._transport.write(_CONTINUE)
        return True

    def answer_lines(self, count: int) -> bytes:
        """The model's response to `count` lines."""
        return response(HTTPStatus.OK, "Content-Type: text/csv\r\n", b"0.5\n" * count)

    def respond(self, target: bytes, method: bytes, fields: bytes) -> bytes:
        """The response to a request to S3 or SQS; `fields` are its headers in lower case."""
        return _read(target, method, fields) if method in {b"HEAD", b"GET"} else _BY_METHOD[method]

    def _chunked_end(self) -> int | None:
        """The end of the chunked body, or None if it is incomplete."""
        at = self._head
        while (end := self._received.find(b"\r\n", at)) >= 0:
            size = int(self._received[at:end], 16)
            at = end + 2 + size + 2
            if size == 0:
                return at
        return None


async def serve(folder: Path, protocol: type[Stub] = Stub) -> None:
    """Serve on a free port of 127.0.0.1 until killed. `folder`/ca.pem gets all public root certificates and ours."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.ECDSA).configure_cert(context)
    bundle = Path(certifi.where()).read_bytes() + authority.cert_pem.bytes()
    await asyncio.to_thread((folder / "ca.pem").write_bytes, bundle)
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=context, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
