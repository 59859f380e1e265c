"""Compares the lean transport with boto3 on the same server: the core gets the same outcomes from both."""

import base64
import contextlib
import functools
import hashlib
import json
import os
import select
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme

from sluice.aws.clients import Clients
from sluice.aws.http.s3 import LeanS3
from sluice.aws.http.sagemaker import LeanSageMakerRuntime
from sluice.aws.s3 import S3Bucket
from sluice.aws.sagemaker import SageMakerEndpoint
from sluice.aws.transport import hot_clients
from sluice.failures import Operation, ServiceError, classify
from sluice.ports import Condition
from tests.support.fakes import with_settings
from tests.support.runtime import Answer, Runtime, error

MAX_BYTES = 1000
ETAG = {"ETag": '"0123"'}


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


Pair = tuple[Any, Any]


@contextlib.contextmanager
def clients(
    runtime: Runtime, transport: Literal["lean", "boto3"], environment: dict[str, str] | None = None
) -> Iterator[Pair]:
    """Clients of SageMaker and S3 that call `runtime`."""
    settings = with_settings(max_body_bytes=MAX_BYTES, read_timeout_seconds=0.5, threads=2, transport=transport)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", runtime.url)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        made = Clients(read_timeout_seconds=0.5, connections=2)
        hot = hot_clients(settings, os.environ, made)
        every = [*hot, made.s3, made.sagemaker_runtime]  # created here, while the environment has the endpoint
    try:
        yield hot
    finally:
        for client in every:
            client.close()


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


def both(runtime: Runtime, use: Callable[[Any, Any], Any]) -> list[Any]:
    """The outcome with the lean transport, and with boto3."""
    outcomes = []
    transports: tuple[Literal["lean"], Literal["boto3"]] = ("lean", "boto3")
    for transport in transports:
        with clients(runtime, transport) as (sagemaker, s3):
            outcomes.append(outcome(functools.partial(use, sagemaker, s3)))
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
    lean, boto3 = both(runtime, lambda sm, s3: SageMakerEndpoint(sm).invoke("wine", b"body", {"InferenceId": "i"}))
    assert lean == boto3
    assert len(runtime.requests) == 2, "each sends once, whatever comes back"


def test_a_refused_connection_has_the_same_outcome() -> None:
    with Runtime() as closed:
        pass
    lean, boto3 = both(closed, lambda sm, s3: SageMakerEndpoint(sm).invoke("wine", b"body", {}))
    assert lean == boto3
    assert lean[0] == "EndpointConnectionError"


XML = b"<Error><Code>%s</Code><Message>no</Message></Error>"
ABSENT, STORED = Condition(), Condition("old")
OBJECT = {**ETAG, "x-amz-meta-trace-id": "t", "x-amz-version-id": "v", "Content-Type": "text/csv"}


def bucket(s3: Any, name: str = "bucket", operation: Operation = Operation.STORE_RESULT) -> S3Bucket:
    return S3Bucket(name, Clients(connections=1), s3, read=operation)


def put(s3: Any, condition: Condition = ABSENT) -> Any:
    return bucket(s3).put("k", b"x", content_type="a/b", metadata={"a": "b"}, condition=condition)


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
    lean, boto3 = both(runtime, lambda sm, s3: put(s3, condition))
    assert lean == boto3


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
    lean, boto3 = both(
        runtime, lambda sm, s3: (bucket(s3).head("k"), bucket(s3, operation=Operation.READ_INPUT).head("k"))
    )
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

    def get(_: Any, s3: Any) -> Any:
        try:
            return bucket(s3, operation=Operation.READ_INPUT).get("invoke/a", max_bytes=MAX_BYTES)
        except ServiceError as raised:
            # botocore distinguishes a wrong checksum and an incomplete body only by the exception's name
            return raised.code, classify(raised).failure_class

    lean, boto3 = both(runtime, get)
    assert lean == boto3


def test_a_transient_error_of_s3_is_retried(runtime: Runtime) -> None:
    with clients(runtime, "lean") as (_, s3):
        runtime.answers[b"x"] = Answer(503, {}, XML % b"SlowDown")
        assert outcome(lambda: put(s3))[0] == "SlowDown"
        assert len(runtime.requests) == 4  # once by the lean transport, then boto3's own attempts


def test_connections_are_reused(runtime: Runtime) -> None:
    with clients(runtime, "lean") as (sagemaker, s3):
        assert isinstance(sagemaker, LeanSageMakerRuntime)
        assert isinstance(s3, LeanS3)
        for _ in range(3):
            SageMakerEndpoint(sagemaker).invoke("wine", b"1", {})
        assert runtime.connections == 1


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_the_server_has_closed_costs_nothing(tls: bool, tmp_path: Path) -> None:
    context, trust = tls_context(tmp_path)
    with serving(context if tls else None) as runtime, clients(runtime, "lean", trust) as (sagemaker, _):
        # The server closes the connection after its response, without announcing it.
        runtime.answers[b"1"] = Answer(body=b"x", cut=True)
        for _ in range(3):
            assert SageMakerEndpoint(sagemaker).invoke("wine", b"1", {}).body == b"x"
            wait_for_the_end(sagemaker)
        assert runtime.connections == 3


def wait_for_the_end(sagemaker: Any) -> None:
    """Wait until the other side has closed the idle connection."""
    (idle,) = sagemaker._connections._idle
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
    with serving(context) as runtime, clients(runtime, "lean", trust) as (sagemaker, _):
        for _ in range(3):
            assert SageMakerEndpoint(sagemaker).invoke("wine", b"1", {}).body == b"answered"
        assert runtime.connections == 1


def test_an_untrusted_certificate_is_rejected_with_the_same_outcome(tmp_path: Path) -> None:
    context, _ = tls_context(tmp_path)
    with serving(context) as runtime:
        lean, boto3 = both(runtime, lambda sm, s3: SageMakerEndpoint(sm).invoke("wine", b"1", {}))
        assert lean == boto3
        assert lean[0] == "SSLError"
        assert not runtime.requests


def test_a_proxy_is_left_to_boto3(runtime: Runtime) -> None:
    with Runtime() as nowhere:
        pass
    with clients(nowhere, "lean", {"HTTP_PROXY": runtime.url}) as (sagemaker, s3):
        assert not isinstance(sagemaker, LeanSageMakerRuntime)
        assert not isinstance(s3, LeanS3)
        assert SageMakerEndpoint(sagemaker).invoke("wine", b"1", {}).body == b"answered"
        assert runtime.requests[0][0].startswith(nowhere.url), "it went by way of the proxy"


def test_the_endpoint_url_of_each_service_is_honoured(runtime: Runtime) -> None:
    with serving() as other, clients(runtime, "lean", {"AWS_ENDPOINT_URL_S3": other.url}) as (sagemaker, s3):
        SageMakerEndpoint(sagemaker).invoke("wine", b"1", {})
        other.answers[b"x"] = Answer(200, ETAG, b"")
        put(s3)
    assert [path for path, _, _ in runtime.requests] == ["/endpoints/wine/invocations"]
    assert [path for path, _, _ in other.requests] == ["/bucket/k"]


def test_credentials_are_those_that_botocore_finds(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[other]\naws_access_key_id=fromfile\naws_secret_access_key=s\n")
    with clients(runtime, "lean", {"AWS_PROFILE": "other", "AWS_ACCESS_KEY_ID": ""}) as (sagemaker, _):
        SageMakerEndpoint(sagemaker).invoke("wine", b"1", {})
        assert "Credential=fromfile/" in runtime.requests[0][1]["authorization"]


def test_the_error_of_a_garbled_answer_is_explained(runtime: Runtime) -> None:
    runtime.answers[b"1"] = Answer(500, {}, json.dumps({"Message": "é" * 10}).encode())
    with clients(runtime, "lean") as (sagemaker, _), pytest.raises(ServiceError, match="é"):
        SageMakerEndpoint(sagemaker).invoke("wine", b"1", {})


@pytest.mark.parametrize("transport", ["lean", "boto3"])
def test_a_result_with_a_content_type_that_is_not_ascii_is_stored(
    runtime: Runtime, transport: Literal["lean", "boto3"]
) -> None:
    runtime.answers[b"x"] = Answer(200, ETAG, b"")
    with clients(runtime, transport) as (_, s3):
        bucket(s3).put("k", b"x", content_type="text/é")
    assert "é" not in runtime.requests[0][1].get("content-type", "")
