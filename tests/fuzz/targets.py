"""The fuzz targets. Each accepts any bytes, returns a description of the outcome, and raises if a rule is broken.

An input must be parsed, or rejected with a named error; any other exception is a finding.
"""

import asyncio
import contextlib
import itertools
import json
import random
import re
from collections.abc import Callable
from typing import Any, cast

from sluice.aws.http.protocol import CutOff, NotHttp, Response, ResponseParser, TooLarge
from sluice.error_codes import ErrorCode, FailureClass
from sluice.failures import Failure
from sluice.keys import ERR, OUT
from sluice.processing.file_failures import FileFailures
from sluice.processing.outcome import Outcome, Status
from sluice.processing.processor import Processor
from sluice.processing.router import Router
from sluice.processing.settlement import Settlement
from sluice.transform.batch_file import Content, requests_of
from sluice.transform.content_types import JSON_LINES
from sluice.transform.lines import BOM, lines_of, ranges
from sluice.transform.openai_batch import Batch, RequestError, digest_of_custom_id
from tests.fuzz.local_endpoint import LocalEndpoint
from tests.support.events import event_bridge_event, s3_event, sns_envelope
from tests.support.fakes import SETTINGS, SyncProcessor, World, delivery

_KEY = re.compile(r"(messages|files|invoke|transform|buckets/lake)/[^\x00-\x1f\x7f]+\.(out|err)")
_MAX_BYTES = 1000  # of a response's body
_HEADER = re.compile(r"[\x20-\x7e]*")


def message(data: bytes) -> str:
    """The body of an SQS message."""
    return _delivered(_text(data))


def s3_events(data: bytes) -> str:
    """S3's events in both forms. Fields: key, bucket, version, sequencer, the object's content, then its metadata."""
    world = World()
    key, bucket, version, sequencer, content, *metadata = [*_fields(data), *["x"] * 5]
    pairs = dict(zip(metadata[:-5:2], metadata[1:-5:2], strict=False))
    world.inputs.drop(key, content.encode()[:2000], bucket=bucket, metadata=pairs)
    details: dict[str, Any] = {"version_id": version, "sequencer": sequencer, "etag": "e"}
    notified = _delivered(json.dumps(s3_event(key, bucket=bucket, **details)), world)
    raw = _delivered(json.dumps(s3_event("", url_encoded=key or "x", bucket=bucket, **details)), world)
    bridged = _delivered(json.dumps(event_bridge_event(key, bucket=bucket, **details)), world)
    return f"{notified}, {raw}, {bridged}"


def envelopes(data: bytes) -> str:
    """SNS and EventBridge envelopes around the data; the first byte determines their depth and kinds."""
    depth, inner = (data[0] if data else 0), _text(data[1:])
    body: Any = inner
    with contextlib.suppress(ValueError, RecursionError):
        body = json.loads(inner)
    for level in range(depth % 5):
        if depth >> (3 + level) & 1:
            body = sns_envelope(body)
        else:
            body = {"detail-type": "order placed", "source": "shop", "detail": body}
    return _delivered(body if isinstance(body, str) else json.dumps(body))


def lines(data: bytes) -> str:
    """A file, split into ranges of some size: each line belongs to exactly one range, and no line is lost."""
    chunk, content = (data[0] if data else 0) + 1, data[1:]
    found: list[bytes] = []
    for start, end in ranges(len(content), chunk):
        at = max(0, start - 1)
        for upto in range(end, len(content) + 1):
            got = lines_of(content[at:upto], start=start, end=end, at=at, size=len(content))
            if not got.needs_more:
                break
        assert not got.needs_more
        # A byte order mark shifts the first line, possibly into another range.
        assert all(start <= got.place(index) < max(end, 4) for index in range(len(got)))
        found += got
    text = content.removeprefix(b"\xef\xbb\xbf")
    whole = text.removesuffix(b"\n").split(b"\n") if text else []
    if text == b"\n" or whole:
        assert found == [line.removesuffix(b"\r") for line in whole], (found, whole)
    return f"{min(len(found), 9)} lines"


def batch_file(data: bytes) -> str:
    """An OpenAI batch file, read in one go: each line has a result line of JSON, and duplicates are found."""

    async def read(start: int, end: int) -> bytes:
        return data[start:end]

    requests = asyncio.run(requests_of(Content(read, len(data), JSON_LINES, len(data))))
    seen: set[bytes | None] = {None}
    place, duplicates, sent = 0, [], 0
    for line in data.split(b"\n"):
        begin = place + 3 * (place == 0 and line.startswith(BOM))
        digest = digest_of_custom_id(line[begin - place :])
        if digest in seen - {None}:
            duplicates.append(begin)
        seen.add(digest)
        batch = Batch("owner", "trace", None, requests.duplicates)
        results = [batch.refused(line, begin, Failure.of(ErrorCode.INVALID_RECORD))]
        with contextlib.suppress(RequestError):
            assert isinstance(json.loads(batch.body(line, begin)), dict)
            results.append(batch.answered(line, begin, b'{"a":1}'))
            sent += 1
        for result in results:
            assert b"\n" not in result
            assert list(json.loads(result)) == ["id", "custom_id", "response", "error"]
        assert not results[0].endswith(b'"error":null}')
        place += len(line) + 1
    assert requests.duplicates == duplicates
    return f"{min(sent, 9)} requests, {min(len(duplicates), 9)} duplicates"


def response(data: bytes) -> str:
    """Bytes that a server sends instead of an HTTP response, all at once and in pieces.

    The first byte determines the size of the pieces, which must not change the outcome.
    """
    largest, sent = (data[0] if data else 0) + 1, data[1:]
    sizes, cuts = random.Random(largest), [0]
    while cuts[-1] < len(sent):
        cuts.append(cuts[-1] + sizes.randint(1, largest))
    found = _received([sent])
    assert _received([sent[start:end] for start, end in itertools.pairwise(cuts)]) == found
    if not isinstance(found, tuple):
        return found.__name__
    got, _ = found
    assert 200 <= got.status <= 999
    assert len(got.body) <= min(len(sent), _MAX_BYTES)
    return f"response {got.status // 100}xx"


def endpoint(data: bytes) -> str:
    """A request to the local endpoint: its method, path, headers and body."""
    status, document = asyncio.run(LocalEndpoint().request(data))
    assert status in {200, 400, 403, 404, 413, 424}, (status, document)
    return f"status {status}"


TARGETS: dict[str, Callable[[bytes], str]] = {
    one.__name__: one for one in (message, s3_events, envelopes, lines, batch_file, response, endpoint)
}


def _received(pieces: list[bytes]) -> tuple[Response, bool] | type[Exception]:
    """The response and whether its connection can be used again, or the error, when a server sends `pieces`."""
    parser = ResponseParser("GET", _MAX_BYTES)
    try:
        for piece in pieces:
            parser.feed(piece)
        return parser.end(), parser.may_go_on
    except (NotHttp, CutOff, TooLarge) as error:
        return type(error)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _fields(data: bytes) -> list[str]:
    return [_text(field) for field in data.split(b"\0")]


def _delivered(body: str, world: World | None = None) -> str:
    """Deliver a message to the function's own processor, and check all effects."""
    world = world or World()
    already = len(world.queue.sent)
    router = Router(SETTINGS, {"call": world.invoker})
    settlement = Settlement(
        SETTINGS,
        router,
        FileFailures(world.results, world.outcomes),
        world.queue,
        world.queue,
        now=lambda: world.now,
        rng=cast("Any", None),
    )
    world.processor = SyncProcessor(Processor(SETTINGS, router, world.outcomes, settlement, now=lambda: world.now))
    outcomes = world.process(delivery(body, receive_count=SETTINGS.max_receive_count))
    assert outcomes
    for outcome in outcomes:
        _check(outcome)
    for key in world.results.objects:
        assert _KEY.fullmatch(key), key
        assert not {".", ".."} & set(key.removesuffix(OUT).removesuffix(ERR).split("/")), key
        assert len(key.encode()) <= 1024
    for call in world.endpoint.calls:
        assert call.endpoint_name in SETTINGS.endpoint_names
        assert len(call.body) <= SETTINGS.max_body_bytes
        for name, value in call.parameters.items():
            assert len(value) <= 1024, name
            assert _HEADER.fullmatch(value), (name, value)
    for sent, attributes in world.queue.sent[already:]:
        assert sent == body
        assert len(attributes) <= 10
        assert attributes["ErrorCode"].value
    return ", ".join(sorted({_name(outcome) for outcome in outcomes}))


def _check(outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error
    assert outcome.status is not Status.RETRY
    if outcome.failure is not None:
        assert outcome.failure.failure_class in {FailureClass.INVALID, FailureClass.EXPIRED}
        assert outcome.failure.message


def _name(outcome: Outcome) -> str:
    return outcome.failure.code if outcome.failure else outcome.status.value
