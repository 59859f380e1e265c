"""A stub of S3 with files of any size. Files and their parts are generated from repeated rows; nothing is stored.

The key describes the file: `transform/lines-0/<rows>-<bytes>.csv`. The parts of a file exist if its key has `/done/`.
"""

import asyncio
import re
import sys
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from stub import Stub, response, serve

WINE = b"14.23,1.71,2.43,15.6,127.0,2.8,3.06,0.28,2.29,5.64,1.04,3.92,1065.0\n"
ROWS = {
    "wide": WINE,
    "short": b"5.1,3.25\n",
    "joined": WINE,
    "json": b'{"a":1.5}\n',
    "long": b"0.123456,\n".rjust(3 << 20, b"1"),
    "huge": b"0.123456,\n".rjust(24 << 20, b"1"),
    "wordy": WINE,
}
PART = 1024 * 1024
_METADATA = {
    "joined": "x-amz-meta-join-source: Input\r\nx-amz-meta-input-filter: $[1:]\r\nx-amz-meta-output-filter: $[0,-1]\r\n"
}
_XML = "Content-Type: application/xml\r\n"
_PAGE = 1000
_KEY = re.compile(r"/(wide|short|joined|json|long|huge|wordy)-(\d+)\.csv")
_RANGE = re.compile(rb"range: bytes=(\d+)-(\d+)")
_ANSWERS = b"class_1,0.93\n" * (PART // 13)


def content(rows: bytes, start: int, end: int) -> bytes:
    """The bytes from `start` to `end` of a file that repeats `rows`."""
    offset = start % len(rows)
    return (rows * ((end - start) // len(rows) + 2))[offset : offset + end - start]


def _listing(target: str) -> bytes:
    query = parse_qs(urlsplit(target).query)
    prefix = query["prefix"][0]
    found = _KEY.search(prefix)
    assert found is not None  # noqa: S101 - no other listing is requested
    size = int(found[2]) if "/done/" in prefix and "start-after" not in query else 0
    first = int(query.get("continuation-token", ["0"])[0])
    starts = range(first, min(size, first + _PAGE * PART), PART)
    keys = "".join(
        f"<Contents><Key>{prefix}{start:015d}-{min(size, start + PART):015d}.out</Key></Contents>" for start in starts
    )
    left = starts.stop if starts else size
    more = f"<NextContinuationToken>{left}</NextContinuationToken>" if left < size else ""
    truncated = "true" if more else "false"
    body = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{keys}</ListBucketResult>"
    return response(HTTPStatus.OK, _XML, body.encode())


class BigFiles(Stub):
    """Files, their parts, and the multipart upload of their results."""

    _kind = ""

    def respond(self, target: bytes, method: bytes, fields: bytes) -> bytes:
        """Like `Stub.respond`, for files of any size."""
        path = unquote(target.decode())
        if path.startswith("/endpoints/"):
            return b""
        found = _KEY.search(path)
        if method == b"POST" and path.endswith("?uploads"):
            return response(HTTPStatus.OK, _XML, b"<R><UploadId>1</UploadId></R>")
        if method == b"POST" and "uploadId=" in path:
            return response(HTTPStatus.OK, _XML, b"<CompleteMultipartUploadResult/>")
        if method not in {b"GET", b"HEAD"}:
            return super().respond(target, method, fields)
        if "list-type=2" in path:
            return _listing(target.decode())
        if found is None or (path.startswith("/results/") and "/parts/" not in path):
            return response(HTTPStatus.NOT_FOUND)
        return _part(method) if path.startswith("/results/") else _file(found, method, fields)

    def answer_lines(self, count: int) -> bytes:
        """A response with `count` lines of CSV."""
        return response(HTTPStatus.OK, "Content-Type: text/csv\r\n", b"class_1,0.93\n" * count)


class JsonBigFiles(BigFiles):
    """Responses in the JSON format of SageMaker's containers."""

    def answer_lines(self, count: int) -> bytes:
        """A response with an array of `count` objects."""
        body = b'{"predictions":[' + b",".join([b'{"score":0.73,"label":"second"}'] * count) + b"]}"
        return response(HTTPStatus.OK, "Content-Type: application/json\r\n", body)


class WordyBigFiles(BigFiles):
    """Responses of 2 KB per line."""

    def answer_lines(self, count: int) -> bytes:
        """A response with `count` long lines."""
        return response(HTTPStatus.OK, "Content-Type: text/csv\r\n", (b"0.123456," * 227 + b"1\n") * count)


def _part(method: bytes) -> bytes:
    headers = (
        'Content-Type: text/csv\r\nETag: "0"\r\nx-amz-meta-records: 1\r\nx-amz-meta-failed: 0\r\n'
        "x-amz-meta-calls: 1\r\nx-amz-meta-started: 2026-01-01T00:00:00\r\nx-amz-meta-finished: 2026-01-01T00:00:00\r\n"
    )
    whole = response(HTTPStatus.OK, headers, _ANSWERS)
    return whole if method == b"GET" else whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _file(found: "re.Match[str]", method: bytes, fields: bytes) -> bytes:
    size = int(found[2])
    headers = f'Content-Type: text/csv\r\nETag: "0"\r\n{_METADATA.get(found[1], "")}'
    if found[1] == "json":
        headers = headers.replace("text/csv", "application/jsonlines")
    if method == b"HEAD":
        return f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {size}\r\n\r\n".encode()
    wanted = _RANGE.search(fields)
    if wanted is None:  # the body of a call
        return response(HTTPStatus.OK, headers, content(ROWS[found[1]], 0, size))
    body = content(ROWS[found[1]], int(wanted[1]), int(wanted[2]) + 1)
    return response(HTTPStatus.PARTIAL_CONTENT, headers, body)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), {"json": JsonBigFiles, "wordy": WordyBigFiles}.get(sys.argv[2], BigFiles)))
