"""The awaited clients and boto3 beside each other, before the same server, through the same adapters."""

import contextlib
import functools
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.aws.adapters import S3Inputs, S3Results, SageMakerEndpoint
from sluice.aws.clients import Clients
from sluice.aws.http.async_s3 import AsyncS3
from sluice.aws.http.async_sagemaker import AsyncSageMakerRuntime
from sluice.aws.http.aws_config import aws_config
from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.s3_calls import S3Requests
from sluice.aws.http.signature import Signer
from sluice.aws.loop import Loop
from sluice.concurrency import gather, now
from sluice.failures import ServiceError, classify
from sluice.ports import StoredObject
from tests.integration.test_lean import (
    ANSWERS,
    ETAG,
    MAX_BYTES,
    OBJECT,
    STORED,
    XML,
    clients,
    crc32,
    outcome,
    put,
    serving,
    tls_context,
)
from tests.support.runtime import Answer, Runtime


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with serving() as runtime:
        yield runtime


class Run:
    """A client whose calls are awaited, each in a run of its own."""

    def __init__(self, loop: Loop, client: Any) -> None:
        self._loop = loop
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            try:
                return self._loop.run(getattr(self._client, name)(**arguments))
            finally:
                assert not self._loop.selector.get_map()

        return call


@contextlib.contextmanager
def awaited(
    runtime: Runtime, environment: dict[str, str] | None = None, *, call_seconds: float = 0.5
) -> Iterator[tuple[Loop, AsyncSageMakerRuntime, AsyncS3]]:
    """A loop, and SageMaker's and S3's awaited clients before `runtime`."""
    loop = Loop(threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", runtime.url)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        made = Clients(read_timeout_seconds=0.5, connections=2)
        found = aws_config(os.environ, made)
        boto3: list[Any] = [made.s3, made.sagemaker_runtime]  # made here, while the environment says where
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(found.ca_bundle)
    sagemaker = AsyncSageMakerRuntime(
        loop,
        ConnectionPool(loop, found.sagemaker_url, tls, connect_timeout_seconds=5),
        Signer("sagemaker", found.region, found.credentials),
        lambda: made.sagemaker_runtime,
        call_seconds=call_seconds,
    )
    s3 = AsyncS3(
        loop,
        lambda url: ConnectionPool(loop, url, tls, connect_timeout_seconds=2, limit=4),
        S3Requests(found.s3_url, Signer("s3", found.region, found.credentials), MAX_BYTES),
        lambda: made.s3,
        call_seconds=10,
        max_bytes=MAX_BYTES,
    )
    try:
        yield loop, sagemaker, s3
    finally:
        for client in [sagemaker, s3, loop, *boto3]:
            client.close()


def both(runtime: Runtime, use: Callable[[Any, Any], Any]) -> list[Any]:
    """The outcome with the awaited clients, and with boto3."""
    with awaited(runtime) as (loop, sagemaker, s3):
        lean = outcome(functools.partial(use, Run(loop, sagemaker), Run(loop, s3)))
    with clients(runtime, "boto3") as (sagemaker, s3):
        return [lean, outcome(functools.partial(use, sagemaker, s3))]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_invoke_endpoint_ends_alike(runtime: Runtime, answer: Answer) -> None:
    runtime.answers[b"body"] = answer
    lean, boto3 = both(runtime, lambda sm, s3: SageMakerEndpoint(sm).invoke("wine", b"body", {"InferenceId": "i"}))
    assert lean == boto3
    assert len(runtime.requests) == 2, "each sends once, whatever comes back"


def test_nobody_there_ends_alike() -> None:
    with Runtime() as closed:
        pass
    lean, boto3 = both(closed, lambda sm, s3: SageMakerEndpoint(sm).invoke("wine", b"body", {}))
    assert lean == boto3
    assert lean[0] == "EndpointConnectionError"


@pytest.mark.parametrize(
    ("answer", "replaces"),
    [
        (Answer(200, ETAG, b""), None),
        (Answer(200, ETAG, b""), STORED),
        (Answer(412, {}, XML % b"PreconditionFailed"), None),
        (Answer(409, {}, XML % b"ConditionalRequestConflict"), None),
        (Answer(404, {}, XML % b"NoSuchKey"), STORED),
        (Answer(403, {}, XML % b"AccessDenied"), None),
        (Answer(400, {}, XML % b"ExpiredToken"), None),
    ],
)
def test_put_object_ends_alike(runtime: Runtime, answer: Answer, replaces: StoredObject | None) -> None:
    runtime.answers[b"x"] = answer
    lean, boto3 = both(runtime, lambda sm, s3: put(s3, replaces))
    assert lean == boto3


@pytest.mark.parametrize("status", [200, 404, 403, 400])
def test_head_object_ends_alike(runtime: Runtime, status: int) -> None:
    runtime.answers[b"HEAD /bucket/k"] = Answer(status, OBJECT if status == 200 else {}, b"")
    lean, boto3 = both(runtime, lambda sm, s3: (S3Results(s3, "bucket").head("k"), S3Inputs(s3).current("bucket", "k")))
    assert lean == boto3


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, OBJECT, b"1,2,3"),
        Answer(200, {**OBJECT, "x-amz-checksum-crc32": crc32(b"1,2,3")}, b"1,2,3"),
        Answer(200, {**OBJECT, "x-amz-checksum-crc32": "AAAAAA=="}, b"1,2,3"),
        Answer(200, ETAG, b""),
        Answer(200, OBJECT, b"x" * MAX_BYTES),
        Answer(200, OBJECT, b"x" * (MAX_BYTES + 1)),
        Answer(404, {}, XML % b"NoSuchKey"),
        Answer(403, {}, XML % b"AccessDenied"),
        Answer(200, OBJECT, b"half", cut=True),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:30]!r} {list(answer.headers)[-1:]}",
)
def test_get_object_ends_alike(runtime: Runtime, answer: Answer) -> None:
    runtime.answers[b"GET /bucket/invoke/a"] = answer

    def get(_: Any, s3: Any) -> Any:
        try:
            return S3Inputs(s3).get("bucket", "invoke/a", max_bytes=MAX_BYTES)
        except ServiceError as raised:
            # botocore leaves a wrong checksum and half a body to be told apart by their names alone
            return raised.code, classify(raised).failure_class

    lean, boto3 = both(runtime, get)
    assert lean == boto3


def test_delete_object_is_boto3s(runtime: Runtime) -> None:
    runtime.answers[b"DELETE /bucket/k"] = Answer(204, {}, b"")
    lean, boto3 = both(runtime, lambda sm, s3: S3Results(s3, "bucket").delete("k"))
    assert lean == boto3
    assert len(runtime.requests) == 2


def test_what_s3_refuses_for_a_moment_is_tried_again(runtime: Runtime) -> None:
    with awaited(runtime) as (loop, _, s3):
        runtime.answers[b"x"] = Answer(503, {}, XML % b"SlowDown")
        assert outcome(lambda: put(Run(loop, s3)))[0] == "SlowDown"
        assert len(runtime.requests) == 4  # once by itself, and as often as boto3 does


def test_a_fallback_does_not_hold_up_other_calls(runtime: Runtime) -> None:
    runtime.answers[b"slow"] = Answer(503, {}, XML % b"SlowDown")
    order: list[str] = []
    with awaited(runtime) as (loop, sagemaker, s3):

        async def falls_back() -> None:
            with contextlib.suppress(Exception):
                await s3.put_object(Bucket="bucket", Key="k", Body=b"slow")
            order.append("fallback")

        async def calls() -> None:
            for _ in range(3):
                await sagemaker.invoke_endpoint(EndpointName="wine", Body=b"1")
            order.append("calls")

        async def main() -> None:
            await gather(falls_back(), calls())

        loop.run(main())
    assert order == ["calls", "fallback"]


def test_a_call_ends_when_its_caller_has_no_more_time(runtime: Runtime) -> None:
    runtime.answers[b"1"] = Answer(silent=True)
    with awaited(runtime, call_seconds=60) as (loop, sagemaker, _):

        async def main() -> float:
            began = now()
            with contextlib.suppress(Exception):
                await sagemaker.invoke_endpoint(EndpointName="wine", Body=b"1", until=began + 0.1)
            return now() - began

        assert 0.1 <= loop.run(main()) < 30


def test_tls_connections_are_used_again_and_trusted_by_the_ca_bundle(tmp_path: Path) -> None:
    context, trust = tls_context(tmp_path)
    with serving(context) as runtime, awaited(runtime, trust) as (loop, sagemaker, _):
        for _ in range(3):
            assert SageMakerEndpoint(Run(loop, sagemaker)).invoke("wine", b"1", {}).body == b"answered"  # type: ignore[arg-type]
        assert runtime.connections == 1
