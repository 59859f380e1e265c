"""Edge cases on the wire: verbatim bodies, total timeouts, broken responses, and recorded calls."""

import asyncio
import contextlib
import gzip
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import httpx2
import pytest
import uvicorn
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from local.endpoint.api import ERRORS, ServiceFault
from local.endpoint.app import Config, create_app
from local.endpoint.container import Container
from local.endpoint.model_error import ModelErrors

SIGNED = {"Authorization": "AWS4-HMAC-SHA256 x"}


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """The URL of `app`, on a port that is reserved for it."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.force_exit = server.should_exit = True
        thread.join()


class Containers:
    """A container whose behavior the body selects; `requests` has the headers that it received, as bytes."""

    def __init__(self) -> None:
        self.requests: list[dict[bytes, bytes]] = []
        self.app = Starlette(routes=[Route("/invocations", self._invocations, methods=["POST"])])

    async def _invocations(self, request: Request) -> Response:
        self.requests.append(dict(request.headers.raw))
        body = await request.body()
        if body == b"gzip":
            return Response(gzip.compress(b"answer"), headers={"Content-Encoding": "gzip"})
        if body == b"drip":
            return StreamingResponse(self._drip())
        if body == b"long":
            return Response("é" * 5000, 500)
        if body == b"forge":
            return Response(headers={"x-Amzn-Invoked-Production-Variant": "forged"})
        if body == b"utf-8":
            return Response(headers={"X-Amzn-SageMaker-Custom-Attributes": "a…b".encode().decode("latin-1")})
        if body == b"moved":
            return Response(status_code=302, headers={"Location": "http://127.0.0.1:1/"})
        return Response(b"ok")

    async def _drip(self) -> AsyncIterator[bytes]:
        while True:  # sends bytes continuously, and never ends
            yield b"x"
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[str, str, Containers]]:
    containers = Containers()
    with (
        serving(containers.app) as container,
        serving(create_app(Config({"wine": container}, account="123456789012", region="eu-west-1"))) as patient,
        serving(create_app(Config({"wine": container}, container_timeout_seconds=0.2))) as hasty,
    ):
        yield patient, hasty, containers


@pytest.fixture
def url(_servers: tuple[str, str, Containers]) -> str:
    url = _servers[0]
    for path in ("_faults", "_calls"):
        httpx2.delete(f"{url}/{path}", trust_env=False).raise_for_status()
    return url


@pytest.fixture
def hasty_url(_servers: tuple[str, str, Containers]) -> str:
    return _servers[1]


@pytest.fixture
def containers(_servers: tuple[str, str, Containers]) -> Containers:
    _servers[2].requests.clear()
    return _servers[2]


def post(url: str, body: bytes = b"x", **headers: Any) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{url}/endpoints/wine/invocations", content=body, headers={**SIGNED, **sent}, trust_env=False)


def invoke(url: str) -> Any:
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=ClientConfig(retries={"total_max_attempts": 1}),
    )
    return runtime.invoke_endpoint(EndpointName="wine", Body=b"x")


def plan(url: str, *rules: dict[str, Any]) -> None:
    httpx2.put(f"{url}/_faults", json={"rules": list(rules)}, trust_env=False).raise_for_status()


def audit(url: str) -> dict[str, Any]:
    audited: dict[str, Any] = httpx2.get(f"{url}/_calls", trust_env=False).json()
    return audited


def test_a_compressed_response_is_passed_unchanged(url: str, containers: Containers) -> None:
    assert gzip.decompress(post(url, b"gzip").content) == b"answer"
    assert containers.requests[0][b"accept-encoding"] == b"identity"


def test_the_container_timeout_covers_the_whole_response(hasty_url: str) -> None:
    answer = post(hasty_url, b"drip")
    assert answer.status_code == 424
    assert answer.json()["OriginalStatusCode"] == 0


def test_a_connect_timeout_is_no_model_error() -> None:
    def never(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectTimeout("", request=request)

    async def call() -> None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(never)) as client:
            errors = ModelErrors("123456789012", "eu-west-1")
            await Container(client, "wine", "http://container", model_errors=errors, timeout=60).invoke(b"", {})

    with pytest.raises(ServiceFault) as raised:
        asyncio.run(call())
    assert raised.value.code == "ServiceUnavailable"


def test_the_runtime_sets_the_variant(url: str) -> None:
    assert post(url, b"forge").headers["x-amzn-invoked-production-variant"] == "AllTraffic"


def test_bytes_outside_ascii_pass_in_headers_that_allow_them(url: str, containers: Containers) -> None:
    answer = post(url, b"utf-8", X_Amzn_SageMaker_Enable_Explanations="é".encode("latin-1"))
    assert containers.requests[0][b"x-amzn-sagemaker-enable-explanations"] == b"\xe9"
    assert dict(answer.headers.raw)[b"x-amzn-sagemaker-custom-attributes"] == "a…b".encode()
    assert post(url, X_Amzn_SageMaker_Custom_Attributes="é".encode("latin-1")).status_code == 400


def test_a_redirection_is_not_followed(url: str) -> None:
    assert post(url, b"moved").json()["OriginalStatusCode"] == 302


def test_a_model_error_names_the_account_and_truncates_only_the_quoted_message(url: str) -> None:
    error = post(url, b"long").json()
    assert error["OriginalMessage"] == "é" * 5000
    assert "é" * 1024 + '". See https://eu-west-1.console.aws.amazon.com/cloudwatch' in error["Message"]
    assert "é" * 1025 not in error["Message"]
    assert error["Message"].endswith("in account 123456789012 for more information.")
    assert error["LogStreamArn"] == "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/wine"


@pytest.mark.parametrize(("method", "path"), [("GET", "/endpoints/wine/invocations"), ("POST", "/endpoints/a/b/c")])
def test_an_unknown_operation_is_an_error_of_the_api(url: str, method: str, path: str) -> None:
    answer = httpx2.request(method, f"{url}{path}", trust_env=False)
    assert answer.status_code == 404
    assert answer.headers["x-amzn-errortype"] == "UnknownOperationException"
    assert answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_boto3_raises_the_exception_class_of_every_error(url: str, code: str) -> None:
    plan(url, {"fault": code})
    with pytest.raises(ClientError) as raised:
        invoke(url)
    modelled = code not in {"ThrottlingException", "UnknownOperationException"} and not code.endswith(
        ("DeniedException", "TokenException", "ClientException")
    )
    assert type(raised.value).__name__ == (code if modelled else "ClientError")
    assert raised.value.response["ResponseMetadata"]["RequestId"]


def test_faults_of_the_model_have_the_fields_of_real_ones(url: str) -> None:
    plan(url, {"fault": "ModelError", "original_status_code": 400, "nth": [1]}, {"fault": "timeout"})
    refused, timed_out = post(url).json(), post(url).json()
    assert refused["Message"].startswith('Received client error (400) from primary with message "An injected fault')
    assert refused["OriginalStatusCode"] == 400
    assert timed_out["Message"].startswith('Received server error (0) from primary with message "Your invocation timed')
    assert timed_out["OriginalStatusCode"] == 0
    assert refused["LogStreamArn"] == timed_out["LogStreamArn"]


def test_drop_closes_the_connection_without_a_byte(url: str) -> None:
    plan(url, {"fault": "drop"})
    with pytest.raises(ConnectionClosedError):
        invoke(url)
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as raw:
        raw.sendall(b"POST /endpoints/wine/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n")
        raw.sendall(b"Authorization: AWS4-HMAC-SHA256 x\r\n\r\n")
        assert raw.recv(100) == b""


def test_cut_is_a_success_with_an_incomplete_body(url: str) -> None:
    plan(url, {"fault": "cut"})
    answer = invoke(url)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(ResponseStreamingError):
        answer["Body"].read()


def test_garbage_can_have_a_success_status(url: str) -> None:
    plan(url, {"fault": "garbage", "garbage_status_code": 200})
    assert invoke(url)["Body"].read().startswith(b"<html>")


def test_the_plan_is_shown_replaced_and_deleted(url: str, containers: Containers) -> None:
    plan(url, {"fault": "drop"})
    plan(url, {"fault": "ThrottlingException"})
    shown = httpx2.get(f"{url}/_faults", trust_env=False).json()
    assert [rule["fault"] for rule in shown["rules"]] == ["ThrottlingException"]
    httpx2.delete(f"{url}/_faults", trust_env=False)
    assert post(url).status_code == 200
    assert len(containers.requests) == 1


@pytest.mark.parametrize("sent", [b"{", b'{"rules": [{"fault": "drop", "share": NaN}]}', b'{"rules": [{"nht": [1]}]}'])
def test_an_invalid_plan_is_rejected_and_changes_nothing(url: str, sent: bytes) -> None:
    plan(url, {"fault": "ThrottlingException"})
    assert httpx2.put(f"{url}/_faults", content=sent, trust_env=False).status_code == 400
    assert post(url).headers["x-amzn-errortype"] == "ThrottlingException"


def test_recorded_calls_are_counted_and_have_no_status_without_a_response(url: str) -> None:
    plan(url, {"fault": "drop", "nth": [1]}, {"fault": "ThrottlingException", "nth": [1]}, {"fault": "delay"})
    with pytest.raises(httpx2.RemoteProtocolError):
        post(url)
    assert (post(url).status_code, post(url).status_code) == (400, 200)
    audited = audit(url)
    assert audited["Counts"] == {"Calls": 3, "Billed": 1, "Faults": 3, "Errors": 1}
    assert [(call["Fault"], call["Status"], call["Billed"]) for call in audited["Calls"]] == [
        ("drop", None, False),
        ("ThrottlingException", 400, False),
        ("delay", 200, True),
    ]
    httpx2.delete(f"{url}/_calls", trust_env=False)
    assert audit(url) == {"Counts": {"Calls": 0, "Billed": 0, "Faults": 0, "Errors": 0}, "Calls": []}
