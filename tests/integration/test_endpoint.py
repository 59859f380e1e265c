"""The SageMaker-compatible endpoint, called by unmodified boto3 and the AWS CLI, with the tests' own containers."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
import uvicorn
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError, ResponseStreamingError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.endpoint.api import ERRORS
from local.endpoint.app import Config, create_app
from local.process import free_port
from sluice.aws.errors import translate_errors
from sluice.failures import Operation, ServiceError, classify
from tests.support.service_errors import ROWS

Serve = Callable[[Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves ASGI applications on free ports until the test ends."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Any) -> str:
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            assert thread.is_alive()
        return f"http://127.0.0.1:{port}"

    yield start
    for server, thread in servers:
        server.force_exit = server.should_exit = True
        thread.join(10)


class Container:
    """A SageMaker-compatible container that returns what its test configures, and records the requests."""

    def __init__(self) -> None:
        self.answer: Callable[[], Response] = lambda: Response(b"ok")
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.app = Starlette(routes=[Route("/invocations", self._invocations, methods=["POST"])])

    async def _invocations(self, request: Request) -> Response:
        self.requests.append((dict(request.headers), await request.body()))
        return self.answer()


def client(url: str, read_timeout: float = 10) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=ClientConfig(retries={"total_max_attempts": 1}, read_timeout=read_timeout),
    )


@pytest.fixture
def container() -> Container:
    return Container()


@pytest.fixture
def url(serve: Serve, container: Container) -> str:
    unreachable = f"http://127.0.0.1:{free_port()}"
    endpoints = {"wine": serve(container.app), "gone": unreachable}
    return serve(create_app(Config(endpoints, max_body_bytes=1000, container_timeout_seconds=0.3)))


def faults(url: str, *rules: dict[str, Any]) -> None:
    httpx2.put(f"{url}/_faults", json={"rules": list(rules)}, trust_env=False).raise_for_status()


def calls(url: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = httpx2.get(f"{url}/_calls", trust_env=False).json()["Calls"]
    return listed


def failure(url: str, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as raised:
        client(url).invoke_endpoint(**{"EndpointName": "wine", "Body": b"x", **arguments})
    return dict(raised.value.response)


def test_headers_and_bodies_are_passed_verbatim_in_both_directions(url: str, container: Container) -> None:
    body = bytes(range(256))
    container.answer = lambda: Response(
        body,
        media_type="application/x-answer",
        headers={
            "X-Amzn-SageMaker-Custom-Attributes": "Trace ID: t",
            "X-Amzn-SageMaker-New-Session-Id": "s; Expires=2026-11-24T12:00:00Z",
            "X-Amzn-SageMaker-Closed-Session-Id": "c",
            "X-Something-Else": "stripped",
        },
    )
    given = {
        "ContentType": "a/b",
        "Accept": "c/d",
        "CustomAttributes": "t",
        "TargetModel": "m.tar.gz",
        "TargetVariant": "blue",
        "TargetContainerHostname": "h",
        "InferenceId": "i",
        "EnableExplanations": "`true`",
        "InferenceComponentName": "ic",
        "SessionId": "NEW_SESSION",
        "PrefixAwareId": "p",
    }
    answer = client(url).invoke_endpoint(EndpointName="wine", Body=body, **given)
    assert answer["Body"].read() == body
    assert answer["ContentType"] == "application/x-answer"
    assert answer["CustomAttributes"] == "Trace ID: t"
    assert answer["InvokedProductionVariant"] == "blue"
    assert answer["NewSessionId"] == "s; Expires=2026-11-24T12:00:00Z"
    assert answer["ClosedSessionId"] == "c"
    assert "x-something-else" not in answer["ResponseMetadata"]["HTTPHeaders"]
    assert answer["ResponseMetadata"]["RequestId"]
    ((headers, received),) = container.requests
    assert received == body
    assert set(given.values()) <= set(headers.values())


def test_an_unknown_endpoint_has_the_message_of_aws(url: str) -> None:
    error = failure(url, EndpointName="nope")
    assert error["Error"]["Code"] == "ValidationError"
    assert error["Error"]["Message"] == "Endpoint nope of account 000000000000 not found."
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"Body": b"x" * 1001}, "Value at 'body' failed to satisfy constraint"),
        ({"EndpointName": "under_score"}, "Value at 'endpointName' failed to satisfy constraint"),
        ({"EndpointName": "e" * 64}, "length less than or equal to 63"),
        ({"CustomAttributes": "a" * 1025}, "Value at 'customAttributes'"),
        ({"TargetVariant": "-x"}, "Value at 'targetVariant'"),
        ({"InferenceId": "i" * 65}, "Value at 'inferenceId'"),
    ],
)
def test_limits_of_the_model(url: str, container: Container, arguments: dict[str, Any], says: str) -> None:
    error = failure(url, **arguments)
    assert error["Error"]["Code"] == "ValidationError"
    assert says in error["Error"]["Message"]
    assert not container.requests


def test_a_request_must_be_signed(url: str) -> None:
    answer = httpx2.post(f"{url}/endpoints/wine/invocations", content=b"x", trust_env=False)
    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(("status", "kind"), [(400, "client"), (429, "client"), (500, "server"), (503, "server")])
def test_an_error_of_the_container_is_a_model_error(url: str, container: Container, status: int, kind: str) -> None:
    container.answer = lambda: JSONResponse({"error": "13 features"}, status)
    error = failure(url)
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["Error"]["Code"] == "ModelError"
    assert (
        f'Received {kind} error ({status}) from primary with message "{{"error":"13 features"}}"'
        in (error["Error"]["Message"])
    )
    assert error["OriginalStatusCode"] == status
    assert error["OriginalMessage"] == '{"error":"13 features"}'
    assert error["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/wine")


def test_a_container_that_is_too_slow_is_a_model_error_without_a_status(serve: Serve) -> None:
    async def slow(request: Request) -> Response:
        while not await request.is_disconnected():
            await request.receive()
        return Response()

    slow_app = Starlette(routes=[Route("/invocations", slow, methods=["POST"])])
    error = failure(serve(create_app(Config({"wine": serve(slow_app)}, container_timeout_seconds=0.2))))
    assert error["OriginalStatusCode"] == 0
    assert "Your invocation timed out while waiting for a response from container primary" in error["Error"]["Message"]


def test_a_container_that_cannot_be_reached(url: str) -> None:
    error = failure(url, EndpointName="gone")
    assert error["Error"]["Code"] == "ServiceUnavailable"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 503


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_can_be_injected(url: str, container: Container, code: str) -> None:
    faults(url, {"fault": code, "message": "as you wish"})
    error = failure(url)
    assert error["Error"]["Code"] == code
    assert error["Error"]["Message"] == "as you wish"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == ERRORS[code]
    assert not container.requests


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("capacity", "ValidationError", "has no capacity to process this request"),
        ("timeout", "ModelError", "timed out"),
    ],
)
def test_faults_have_the_messages_of_aws(url: str, fault: str, code: str, says: str) -> None:
    faults(url, {"fault": fault})
    error = failure(url)
    assert error["Error"]["Code"] == code
    assert says in error["Error"]["Message"]


def test_the_responses_of_aws_are_faults(url: str) -> None:
    rows = [row for row in ROWS if row.service == "sagemaker-runtime"]
    faults(
        url,
        *(
            {"fault": "response", "times": 1, "status": row.status, "headers": row.headers, "body": row.body.decode()}
            for row in rows
        ),
    )
    boto = client(url)
    for row in rows:
        with pytest.raises(ServiceError) as raised, translate_errors(Operation.INVOKE):
            boto.invoke_endpoint(EndpointName="wine", Body=b"1")
        failure = classify(raised.value)
        assert (failure.failure_class, failure.code) == (row.failure_class, row.code)


def test_garbage_hang_drop_and_delay(url: str) -> None:
    faults(url, {"fault": "garbage", "nth": [1]}, {"fault": "hang", "nth": [1]}, {"fault": "drop", "nth": [1]})
    assert failure(url)["ResponseMetadata"]["HTTPStatusCode"] == 500
    with pytest.raises(ReadTimeoutError):
        client(url, read_timeout=0.2).invoke_endpoint(EndpointName="wine", Body=b"x")
    with pytest.raises((ConnectionClosedError, ResponseStreamingError)):
        client(url).invoke_endpoint(EndpointName="wine", Body=b"x")["Body"].read()
    faults(url, {"fault": "delay", "delay_seconds": 0.01})
    assert client(url).invoke_endpoint(EndpointName="wine", Body=b"x")["Body"].read() == b"ok"


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ({"nth": [2, 3]}, [1, 2]),
        ({"times": 1}, [0]),
        ({"body_contains": "c2"}, [2]),
        ({"inference_id": "i1"}, [1]),
        ({"custom_attributes_contains": "3"}, [3]),
        ({"endpoint_name": "other"}, []),
        ({"share": 0.0}, []),
        ({"share": 1.0}, [0, 1, 2, 3]),
    ],
)
def test_which_calls_a_rule_applies_to(url: str, rule: dict[str, Any], struck: list[int]) -> None:
    faults(url, {"fault": "ThrottlingException", **rule})
    failed = []
    for number in range(4):
        try:
            client(url).invoke_endpoint(
                EndpointName="wine", Body=f"c{number}", InferenceId=f"i{number}", CustomAttributes=f"a{number}"
            )
        except ClientError:
            failed.append(number)
    assert failed == struck


def test_the_same_seed_selects_the_same_calls(url: str) -> None:
    def strikes() -> list[str | None]:
        faults(url, {"fault": "ThrottlingException", "share": 0.5, "seed": 7})
        httpx2.delete(f"{url}/_calls", trust_env=False)
        for _ in range(20):
            httpx2.post(
                f"{url}/endpoints/wine/invocations",
                headers={"Authorization": "AWS4-HMAC-SHA256 x"},
                content=b"x",
                trust_env=False,
            )
        return [call["Fault"] for call in calls(url)]

    first = strikes()
    assert first == strikes()
    assert None in first
    assert "ThrottlingException" in first


def test_an_unknown_fault_is_refused_by_name(url: str) -> None:
    answer = httpx2.put(f"{url}/_faults", json={"rules": [{"fault": "Oops"}]}, trust_env=False)
    assert answer.status_code == 400
    assert "must be one of" in answer.text


def test_the_recorded_calls_show_what_was_billed(url: str, container: Container) -> None:
    client(url).invoke_endpoint(EndpointName="wine", Body=b"x", InferenceId="good", CustomAttributes="t")
    container.answer = lambda: Response(status_code=500)
    failure(url, InferenceId="bad")
    failure(url, EndpointName="nope", InferenceId="unknown")
    assert [(c["InferenceId"], c["Status"], c["Billed"]) for c in calls(url)] == [
        ("good", 200, True),
        ("bad", 424, False),
        ("unknown", 400, False),
    ]


def test_the_aws_cli(url: str, container: Container, tmp_path: Path) -> None:
    container.answer = lambda: Response(b"answer", headers={"X-Amzn-SageMaker-Custom-Attributes": "Trace ID: t"})
    (tmp_path / "body").write_bytes(b"\x00\x01")
    output = subprocess.run(
        [
            *(sys.executable, "-m", "awscli", "sagemaker-runtime", "invoke-endpoint", "--endpoint-url", url),
            *("--endpoint-name", "wine", "--custom-attributes", "t", "--body", f"fileb://{tmp_path / 'body'}"),
            str(tmp_path / "answer"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(output)["CustomAttributes"] == "Trace ID: t"
    assert (tmp_path / "answer").read_bytes() == b"answer"
    assert container.requests[0][1] == b"\x00\x01"


def control_plane(url: str) -> Any:
    return boto3.client(
        "sagemaker", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


def test_the_control_plane_describes_an_endpoint(url: str) -> None:
    described = control_plane(url).describe_endpoint(EndpointName="wine")
    assert described["EndpointArn"] == "arn:aws:sagemaker:us-east-1:000000000000:endpoint/wine"
    assert described["EndpointStatus"] == "InService"
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert described["CreationTime"].year > 2000


def test_the_control_plane_rejects_other_endpoints_and_operations(url: str) -> None:
    with pytest.raises(ClientError, match=r'ValidationException.*Could not find endpoint "arn:.*/nosuch"'):
        control_plane(url).describe_endpoint(EndpointName="NoSuch")
    with pytest.raises(ClientError, match="UnknownOperationException"):
        control_plane(url).list_endpoints()
