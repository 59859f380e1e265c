"""Compares the lean transport with boto3 on the same server: the core gets the same outcomes from both."""

import base64
import contextlib
import functools
import hashlib
import io
import json
import os
import select
import ssl
import threading
import zlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
import trustme
from botocore.exceptions import ConnectionClosedError
from botocore.response import StreamingBody

from sluice.aws.clients import Clients
from sluice.aws.http.s3 import LeanS3
from sluice.aws.http.sagemaker import LeanSageMakerRuntime
from sluice.aws.loop import Loop
from sluice.aws.s3 import S3Bucket
from sluice.aws.sagemaker import Boto3SageMakerRuntime, SageMakerEndpoint
from sluice.aws.transport import hot_clients
from sluice.concurrency import now
from sluice.error_codes import FailureClass
from sluice.failures import Operation, ServiceError, classify
from sluice.ports import Condition, Inference
from tests.support.fakes import with_settings
from tests.support.groups import gather
from tests.support.runtime import Answer, Runtime, error

MAX_BYTES = 1000
READ_TIMEOUT = 0.5  # seconds
ETAG = {"ETag": '"0123"'}
ABSENT, STORED = Condition(), Condition("old")

Transport = Literal["lean", "boto3"]
_T = TypeVar("_T")


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Runtime]:
    with Runtime(context) as runtime:
        thread = threading.Thread(target=runtime.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield runtime
        finally:
            runtime.shutdown()
            thread.join()


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with serving() as runtime:
        yield runtime


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@dataclass(frozen=True)
class Adapters:
    """The adapters on one of the transports. Each call is a run of its own, which leaves nothing on the loop."""

    loop: Loop
    clients: Clients
    sagemaker: LeanSageMakerRuntime | Boto3SageMakerRuntime
    s3: LeanS3 | None

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        try:
            return self.loop.run(main)
        finally:
            assert not self.loop.selector.get_map()

    def endpoint(self) -> SageMakerEndpoint:
        return SageMakerEndpoint(self.sagemaker)

    def invoke(self, body: bytes = b"1", parameters: Mapping[str, str] | None = None, seconds: float = 60) -> Inference:
        return self.run(self.endpoint().invoke("wine", body, parameters or {}, seconds=seconds))

    def bucket(self, operation: Operation = Operation.STORE_RESULT) -> S3Bucket:
        return S3Bucket("bucket", self.loop, self.clients, self.s3, read=operation)

    def put(self, condition: Condition = ABSENT) -> None:
        self.run(self.bucket().put("k", b"x", content_type="a/b", metadata={"a": "b"}, condition=condition))


@contextlib.contextmanager
def adapters(
    runtime: Runtime,
    transport: Transport = "lean",
    environment: Mapping[str, str] | None = None,
    *,
    read_timeout_seconds: float = READ_TIMEOUT,
) -> Iterator[Adapters]:
    """Adapters that call `runtime`."""
    settings = with_settings(
        max_body_bytes=MAX_BYTES, read_timeout_seconds=read_timeout_seconds, threads=2, transport=transport
    )
    loop = Loop(threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", runtime.url)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        clients = Clients(read_timeout_seconds=read_timeout_seconds, connections=2)
        sagemaker, s3 = hot_clients(loop, settings, os.environ, clients)
        # These are created here, while the environment has the endpoint.
        closed: list[Any] = [clients.s3, clients.sagemaker_runtime, loop]
    closed += [one for one in (sagemaker, s3) if isinstance(one, LeanSageMakerRuntime | LeanS3)]
    try:
        yield Adapters(loop, clients, sagemaker, s3)
    finally:
        for one in reversed(closed):
            one.close()


def outcome(call: Callable[[], Any]) -> Any:
    """The return value of `call`, or the parts of its exception that the core uses."""
    try:
        return call()
    except ServiceError as raised:
        transport = raised.status is None  # the message is the transport's own, and has no effect
        message = "" if transport else raised.message.replace(" (reached max retries: 0)", "")
        return raised.code, message, raised.status, raised.original_status_code, classify(raised).failure_class
    except Exception as raised:  # noqa: BLE001 - the core handles any exception
        return type(raised).__name__


def both(runtime: Runtime, use: Callable[[Adapters], Any]) -> list[Any]:
    """The outcome with the lean transport, and with boto3."""
    outcomes = []
    transports: tuple[Transport, Transport] = ("lean", "boto3")
    for transport in transports:
        with adapters(runtime, transport) as one:
            assert isinstance(one.sagemaker, LeanSageMakerRuntime) is (transport == "lean")
            assert isinstance(one.s3, LeanS3) is (transport == "lean")
            outcomes.append(outcome(lambda: use(one)))
    return outcomes


ANSWERS = {
    "an answer": Answer(
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "x-Amzn-Invoked-Production-Variant": "AllTraffic",
            "X-Amzn-SageMaker-Custom-Attributes": "trace_id=é".encode().decode("latin-1"),
            "X-Amzn-SageMaker-New-Session-Id": "a; Expires=2026-01-01T00:00:00Z",
            "X-Amzn-SageMaker-Closed-Session-Id": "b",
            "X-Other": "c",
        },
        body=bytes(range(256)),
    ),
    "an empty answer": Answer(body=b""),
    "an encoded answer": Answer(headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8bnot really"),
    "a model error": error(
        424, "ModelError", Message="it failed", OriginalStatusCode=400, OriginalMessage="é", LogStreamArn="arn"
    ),
    "a model error in another case": error(424, "ModelError", message="it failed", OriginalStatusCode=0),
    "a validation error": error(400, "ValidationError", Message="Endpoint wine of account not found."),
    "throttling": error(400, "ThrottlingException", message="Rate exceeded"),
    "not ready": error(429, "ModelNotReadyException", Message="not ready"),
    "unavailable": error(503, "ServiceUnavailable", Message="no"),
    "an internal failure": error(500, "InternalFailure", Message="no"),
    "a dependency": error(530, "InternalDependencyException", Message="no"),
    "a code in the body": Answer(400, {}, b'{"__type": "com.amazonaws#ExpiredTokenException", "message": "old"}'),
    "a code with a URL": Answer(403, {"x-amzn-errortype": "AccessDeniedException:http://x/"}, b'{"Message": "no"}'),
    "an unknown error": error(418, "TeapotException", Message="short and stout"),
    "an error without a body": Answer(503, {}, b""),
    "a page in place of an error": Answer(502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"),
    "a list in place of an error": Answer(400, {}, b"[1]"),
    "a redirection": Answer(301, {"Location": "http://127.0.0.1:1/"}, b""),
    "silence": Answer(silent=True),
    "no answer": Answer(drop=True),
    "half an answer": Answer(cut=True),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_invoke_endpoint_has_the_same_outcome(runtime: Runtime, answer: Answer) -> None:
    runtime.answers[b"body"] = answer
    # The lean client takes its read timeout and the time to connect as one limit; the caller's limit is shorter.
    seconds = READ_TIMEOUT if answer.silent else 60
    lean, boto3 = both(runtime, lambda one: one.invoke(b"body", {"InferenceId": "i"}, seconds))
    assert lean == boto3
    assert len(runtime.requests) == 2, "each sends once, whatever comes back"


def test_a_refused_connection_has_the_same_outcome() -> None:
    with Runtime() as closed:
        pass
    lean, boto3 = both(closed, lambda one: one.invoke(b"body"))
    assert lean == boto3
    assert lean[0] == "EndpointConnectionError"


XML = b"<Error><Code>%s</Code><Message>no</Message></Error>"
OBJECT = {**ETAG, "x-amz-meta-trace-id": "t", "x-amz-version-id": "v", "Content-Type": "text/csv"}


@pytest.mark.parametrize(
    ("answer", "condition"),
    [
        (Answer(200, ETAG, b""), ABSENT),
        (Answer(200, ETAG, b""), STORED),
        (Answer(412, {}, XML % b"PreconditionFailed"), ABSENT),
        (Answer(409, {}, XML % b"ConditionalRequestConflict"), ABSENT),
        (Answer(404, {}, XML % b"NoSuchKey"), STORED),
        (Answer(404, {}, XML % b"NoSuchBucket"), STORED),
        (Answer(403, {}, XML % b"AccessDenied"), ABSENT),
        (Answer(400, {}, XML % b"ExpiredToken"), ABSENT),
    ],
)
def test_put_object_has_the_same_outcome(runtime: Runtime, answer: Answer, condition: Condition) -> None:
    runtime.answers[b"x"] = answer
    lean, boto3 = both(runtime, lambda one: one.put(condition))
    assert lean == boto3


@pytest.mark.parametrize("condition", [ABSENT, STORED], ids=["absent", "stored"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(412, {}, XML % b"PreconditionFailed"), "PreconditionFailed"),
        (Answer(409, {}, XML % b"ConditionalRequestConflict"), "ConditionalRequestConflict"),
    ],
    ids=["412", "409"],
)
def test_a_conflict_is_not_taken_for_a_condition_that_failed(
    runtime: Runtime, answer: Answer, expected: str, condition: Condition
) -> None:
    """After 409 there may be nothing: another write was in progress, and may have failed."""
    runtime.answers[b"x"] = answer
    for found in both(runtime, lambda one: one.put(condition)):
        assert expected in str(found)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, OBJECT, b""),
        Answer(404, {}, b""),
        Answer(403, {}, b""),
        Answer(400, {}, b""),
    ],
)
def test_head_object_has_the_same_outcome(runtime: Runtime, answer: Answer) -> None:
    runtime.answers[b"HEAD /bucket/k"] = answer

    def head(one: Adapters) -> list[Any]:
        buckets = [one.bucket(Operation.STORE_RESULT), one.bucket(Operation.READ_INPUT)]
        return [outcome(functools.partial(one.run, bucket.head("k"))) for bucket in buckets]

    lean, boto3 = both(runtime, head)
    assert lean == boto3


def crc32(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, OBJECT, b"1,2,3"),
        Answer(200, {**OBJECT, "x-amz-version-id": "null", "x-amz-checksum-crc32": crc32(b"1,2,3")}, b"1,2,3"),
        Answer(200, {**OBJECT, "x-amz-checksum-crc32": "AAAAAA==-2"}, b"1,2,3"),
        Answer(
            200, {**OBJECT, "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"a").digest()).decode()}, b"a"
        ),
        Answer(200, {**OBJECT, "x-amz-checksum-crc32": "AAAAAA=="}, b"1,2,3"),
        Answer(200, ETAG, b""),
        Answer(200, OBJECT, b"x" * MAX_BYTES),
        Answer(200, OBJECT, b"x" * (MAX_BYTES + 1)),
        Answer(404, {}, XML % b"NoSuchKey"),
        Answer(404, {}, XML % b"NoSuchBucket"),
        Answer(403, {}, XML % b"AccessDenied"),
        Answer(200, OBJECT, b"half", cut=True),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:30]!r} {list(answer.headers)[-1:]}",
)
def test_get_object_has_the_same_outcome(runtime: Runtime, answer: Answer) -> None:
    runtime.answers[b"GET /bucket/invoke/a"] = answer

    def get(one: Adapters) -> Any:
        try:
            return one.run(one.bucket(Operation.READ_INPUT).get("invoke/a", max_bytes=MAX_BYTES))
        except ServiceError as raised:
            # botocore distinguishes a wrong checksum and an incomplete body only by the exception's name
            return raised.code, classify(raised).failure_class

    lean, boto3 = both(runtime, get)
    assert lean == boto3


def test_an_object_over_the_lean_limit_is_read_where_the_caller_has_no_limit(runtime: Runtime) -> None:
    runtime.answers[b"GET /bucket/k"] = Answer(200, OBJECT, b"x" * (MAX_BYTES + 1))
    lean, boto3 = both(runtime, lambda one: one.run(one.bucket().get("k")))
    assert lean == boto3
    assert len(lean.body) == MAX_BYTES + 1


def test_an_object_that_boto3_reads_does_not_block_other_calls(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.answers[b"GET /bucket/k"] = Answer(200, OBJECT, b"x" * (MAX_BYTES + 1))
    readers: list[threading.Thread] = []

    class Body(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            readers.append(threading.current_thread())
            return super().read(size)

    with adapters(runtime) as lean:
        stream = StreamingBody(Body(b"x" * (MAX_BYTES + 1)), MAX_BYTES + 1)
        response = {"ContentLength": MAX_BYTES + 1, "ETag": '"0123"', "Body": stream}
        monkeypatch.setattr(lean.clients.s3, "get_object", lambda **_: response)
        assert len(lean.run(lean.bucket().get("k")).body) == MAX_BYTES + 1
    assert readers
    assert threading.main_thread() not in readers


def test_delete_object_has_the_same_outcome(runtime: Runtime) -> None:
    runtime.answers[b"DELETE /bucket/k"] = Answer(204, {}, b"")
    lean, boto3 = both(runtime, lambda one: one.run(one.bucket().delete("k")))
    assert lean == boto3
    assert len(runtime.requests) == 2


def test_a_transient_error_of_s3_is_retried(runtime: Runtime) -> None:
    with adapters(runtime) as lean:
        runtime.answers[b"x"] = Answer(503, {}, XML % b"SlowDown")
        assert outcome(lean.put)[0] == "SlowDown"
        assert len(runtime.requests) == 4  # once by the lean transport, then boto3's own attempts


def test_a_call_that_boto3_repeats_does_not_block_others(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.answers[b"x"] = Answer(503, {}, XML % b"SlowDown")
    others_have_ended = threading.Event()

    def put_object(**_: Any) -> Any:
        assert others_have_ended.wait(10)
        raise ConnectionClosedError(endpoint_url=runtime.url)

    with adapters(runtime) as lean:
        monkeypatch.setattr(lean.clients.s3, "put_object", put_object)

        async def falls_back() -> None:
            with pytest.raises(ServiceError, match="ConnectionClosedError"):
                await lean.bucket().put("k", b"x", content_type=None)

        async def others() -> None:
            for _ in range(3):
                await lean.endpoint().invoke("wine", b"1", {}, seconds=60)
            others_have_ended.set()

        async def main() -> None:
            await gather(falls_back(), others())

        lean.run(main())


def test_a_call_ends_when_its_caller_has_no_more_time(runtime: Runtime) -> None:
    runtime.answers[b"1"] = Answer(silent=True)
    with adapters(runtime, read_timeout_seconds=60) as lean:

        async def main() -> float:
            began = now()
            with pytest.raises(ServiceError, match="ReadTimeoutError"):
                await lean.endpoint().invoke("wine", b"1", {}, seconds=0.1)
            return now() - began

        assert 0.1 <= lean.run(main()) < 30


def test_connections_are_reused(runtime: Runtime) -> None:
    with adapters(runtime) as lean:
        for _ in range(3):
            lean.invoke()
        assert runtime.connections == 1


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_the_server_has_closed_costs_nothing(tls: bool, tmp_path: Path) -> None:
    context, trust = tls_context(tmp_path)
    with serving(context if tls else None) as runtime, adapters(runtime, environment=trust) as lean:
        # The server closes the connection after its response, without announcing it.
        runtime.answers[b"1"] = Answer(body=b"x", cut=True)
        for _ in range(3):
            assert lean.invoke().body == b"x"
            wait_for_the_end(lean.sagemaker)
        assert runtime.connections == 3


def wait_for_the_end(sagemaker: Any) -> None:
    """Wait until the other side has closed the idle connection."""
    (idle,) = sagemaker._pool._idle
    poll = select.poll()
    poll.register(idle._sock, select.POLLIN)
    assert poll.poll(5000)


def tls_context(folder: Path) -> tuple[ssl.SSLContext, dict[str, str]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return context, {"AWS_CA_BUNDLE": str(folder / "ca.pem")}


def test_tls_connections_are_reused_and_verified_with_the_ca_bundle(tmp_path: Path) -> None:
    context, trust = tls_context(tmp_path)
    with serving(context) as runtime, adapters(runtime, environment=trust) as lean:
        for _ in range(3):
            assert lean.invoke().body == b"answered"
        assert runtime.connections == 1


def test_an_untrusted_certificate_is_rejected_with_the_same_outcome(tmp_path: Path) -> None:
    context, _ = tls_context(tmp_path)
    with serving(context) as runtime:
        lean, boto3 = both(runtime, lambda one: one.invoke())
        assert lean == boto3
        assert lean[0] == "SSLError"
        assert not runtime.requests


def test_a_proxy_is_left_to_boto3(runtime: Runtime) -> None:
    with Runtime() as nowhere:
        pass
    with adapters(nowhere, environment={"HTTP_PROXY": runtime.url}) as one:
        assert not isinstance(one.sagemaker, LeanSageMakerRuntime)
        assert not isinstance(one.s3, LeanS3)
        assert one.invoke().body == b"answered"
        assert runtime.requests[0][0].startswith(nowhere.url), "it went by way of the proxy"


def test_the_endpoint_url_of_each_service_is_honoured(runtime: Runtime) -> None:
    with serving() as other, adapters(runtime, environment={"AWS_ENDPOINT_URL_S3": other.url}) as lean:
        lean.invoke()
        other.answers[b"x"] = Answer(200, ETAG, b"")
        lean.put()
    assert [path for path, _, _ in runtime.requests] == ["/endpoints/wine/invocations"]
    assert [path for path, _, _ in other.requests] == ["/bucket/k"]


def test_credentials_are_those_that_botocore_finds(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[other]\naws_access_key_id=fromfile\naws_secret_access_key=s\n")
    with adapters(runtime, environment={"AWS_PROFILE": "other", "AWS_ACCESS_KEY_ID": ""}) as lean:
        lean.invoke()
        assert "Credential=fromfile/" in runtime.requests[0][1]["authorization"]


def test_the_error_of_a_garbled_answer_is_explained(runtime: Runtime) -> None:
    runtime.answers[b"1"] = Answer(500, {}, json.dumps({"Message": "é" * 10}).encode())
    with adapters(runtime) as lean, pytest.raises(ServiceError, match="é"):
        lean.invoke()


def test_an_error_response_of_deep_json_is_classified_by_its_header(runtime: Runtime) -> None:
    runtime.answers[b"1"] = Answer(424, {"x-amzn-errortype": "ModelError"}, b"[" * 100_000 + b"]" * 100_000)
    with adapters(runtime) as lean, pytest.raises(ServiceError) as raised:
        lean.invoke()
    assert classify(raised.value).failure_class is FailureClass.MODEL, "not transient: a retry would be billed, too"


@pytest.mark.parametrize("transport", ["lean", "boto3"])
def test_a_result_with_a_content_type_that_is_not_ascii_is_stored(runtime: Runtime, transport: Transport) -> None:
    runtime.answers[b"x"] = Answer(200, ETAG, b"")
    with adapters(runtime, transport) as one:
        one.run(one.bucket().put("k", b"x", content_type="text/é"))
    assert "é" not in runtime.requests[0][1].get("content-type", "")
