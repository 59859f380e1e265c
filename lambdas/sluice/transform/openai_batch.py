"""The records of an OpenAI batch file: a request in each line, and a line of OpenAI's output file for each of them.

The lines are those of OpenAI's API reference, "Batch", "The request input object" and "The request output object".
"""

import hashlib
import json
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sluice.failures import Failure, quoted
from sluice.inputs.strict_json import compact_bytes, loads
from sluice.transform import json_slices

_FIRST_FIELD = re.compile(rb'\s*\{\s*"custom_id"\s*:\s*"([^"\\\x00-\x1f]+)"')
_DIGEST_BYTES = 16
_HTTP_STATUSES = range(100, 600)


class RequestError(Exception):
    """A line is not a request of an OpenAI batch file; the text names the field."""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request: its `custom_id` and its `body` as they are written in the line, both JSON, and its `url`."""

    custom_id: bytes
    url: str
    body: bytes

    @classmethod
    def parse(cls, line: bytes) -> "BatchRequest":
        """The request in a line. Fields with other names are ignored. Raises `RequestError`."""
        try:
            fields = json_slices.fields_of(json_slices.text_of(line))
        except ValueError as error:
            why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).partition(": line ")[0]
            raise RequestError(f"the line must be one JSON object: {why}") from None
        custom_id = fields.get("custom_id", b"")
        if not custom_id.startswith(b'"') or custom_id == b'""':
            raise RequestError("custom_id: must be a string that is not empty")
        if fields.get("method") != b'"POST"':
            raise RequestError('method: must be "POST"')
        url = fields.get("url", b"")
        if not url.startswith(b'"') or url == b'""':
            raise RequestError("url: must be a string that is not empty, such as /v1/chat/completions")
        body = fields.get("body", b"")
        if not body.startswith(b"{"):
            raise RequestError("body: must be a JSON object")
        return cls(custom_id, json.loads(url), body)


def is_request(line: bytes) -> bool:
    """Whether a line is a request of an OpenAI batch file."""
    try:
        BatchRequest.parse(line)
    except RequestError:
        return False
    return True


def digest_of_custom_id(line: bytes) -> bytes | None:
    """A digest of a line's custom_id; None when it has none. A line that is no request otherwise may have one.

    Usually it is the first field, so that a large line need not be parsed.
    """
    if found := _FIRST_FIELD.match(line):
        custom_id = found[1]
    else:
        try:
            value = loads(line)
        except ValueError:
            return None
        named = value.get("custom_id") if isinstance(value, dict) else None
        if not isinstance(named, str):
            return None
        custom_id = named.encode(errors="surrogatepass")
    return hashlib.blake2b(custom_id, digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Batch:
    """The requests of one file. `owner` and `trace_id` are the dataset's.

    `url` is the one that each request must have; None if any will do. `duplicates` are the bytes of the file at which
    the requests begin whose custom_id an earlier line has. Other methods take such a byte as `place`, too.
    """

    owner: str
    trace_id: str
    url: str | None
    duplicates: Collection[int]

    def body(self, line: bytes, place: int) -> bytes:
        """What is sent for a line. Raises `RequestError`."""
        request = BatchRequest.parse(line)
        if self.url is not None and request.url != self.url:
            raise RequestError(f"url: must be the file's request-url, {quoted(self.url)}")
        if place in self.duplicates:
            raise RequestError("custom_id: an earlier line of the file has the same")
        return request.body

    def id_of(self, place: int) -> str:
        """The id of a request's line in the result. It is the same at each delivery."""
        return f"batch_req_{uuid.uuid5(uuid.NAMESPACE_URL, f'{self.owner}/{place}').hex}"

    def answered(self, line: bytes, place: int, answer: bytes) -> bytes:
        """The result line of a request that the model has answered. Raises `RequestError` if that is not JSON."""
        try:
            body = json_slices.whole(json_slices.text_of(answer))
        except ValueError:
            raise RequestError("its answer is not one JSON document") from None
        custom_id = BatchRequest.parse(line).custom_id
        return _result_line(self.id_of(place), custom_id, self.trace_id, (200, body), b"null")

    def refused(self, line: bytes, place: int, failure: Failure) -> bytes:
        """The result line of a request without an answer."""
        return refused_line(self.id_of(place), _custom_id(line), self.trace_id, failure)

    def names(self, line: bytes, place: int) -> dict[str, str]:
        """What `.errors.jsonl` says of a request beside the reason: its result line's id, and its custom_id."""
        custom_id = json.loads(_custom_id(line))
        return {"Id": self.id_of(place)} | ({"CustomId": custom_id} if custom_id is not None else {})


def refused_line(name: str, custom_id: bytes, trace_id: str, failure: Failure) -> bytes:
    """The result line of a request without an answer. It has a response if the model has responded.

    `name` is its id, and `custom_id` is JSON.
    """
    status = failure.original_status_code
    response = (status, _error_body(failure)) if status is not None and status in _HTTP_STATUSES else None
    error = compact_bytes({"code": failure.code, "message": failure.message})
    return _result_line(name, custom_id, trace_id, response, error)


def _result_line(name: str, custom_id: bytes, trace_id: str, response: tuple[int, bytes] | None, error: bytes) -> bytes:
    stated = b"null"
    if response is not None:
        request_id = compact_bytes(trace_id)
        stated = b'{"status_code":%d,"request_id":%b,"body":%b}' % (response[0], request_id, response[1])
    return b'{"id":"%b","custom_id":%b,"response":%b,"error":%b}' % (name.encode(), custom_id, stated, error)


def _error_body(failure: Failure) -> bytes:
    """The body of the model's response: itself if it is a JSON object, else its text as OpenAI writes errors."""
    text = failure.original_message or failure.message
    try:
        if text.lstrip().startswith("{"):
            return json_slices.whole(json_slices.text_of(text.encode()))
    except ValueError:
        pass
    return compact_bytes({"error": {"message": text, "type": "model_error", "param": None, "code": None}})


def _custom_id(line: bytes) -> bytes:
    """The custom_id of a line as JSON, `null` if it has none. It may be cut, or wrong otherwise."""
    if found := _FIRST_FIELD.match(line):
        return compact_bytes(found[1].decode(errors="replace"))
    try:
        value = loads(line)
    except ValueError:
        return b"null"
    named = value.get("custom_id") if isinstance(value, dict) else None
    return compact_bytes(named) if isinstance(named, str) else b"null"
