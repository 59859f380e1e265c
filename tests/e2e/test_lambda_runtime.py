"""What is uploaded, run by AWS's own runtime client with the environment of the deployed functions."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infrastructure import build
from infrastructure.code import code
from local import aws
from local.deploy import zipped
from tests.e2e.conftest import Pipeline
from tests.support import lambda_package
from tests.support.lambda_package import NoRuntimeError, Package
from tests.support.relay import Relay
from tests.support.runtime_api import TRACE_ID, Sandbox

HANDLERS = ("invoke", "part", "split", "assemble", "crashed", "notify")
_SECONDS = 30.0
ROW = {"instances": [[13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]]}

Start = Callable[..., Sandbox]


class Deployed:
    """The deployed functions' environment, and a queue that only the tests receive from."""

    def __init__(self, pipeline: Pipeline, relay: Relay) -> None:
        self.pipeline = pipeline
        self.relay = relay
        self.queue_url = pipeline.sqs.create_queue(QueueName="runtime-tests")["QueueUrl"]

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a function, as the stack sets it and Lambda adds to it."""
        pages = self.pipeline.engine.clients.lambda_.get_paginator("list_functions").paginate()
        (found,) = (
            one
            for page in pages
            for one in page["Functions"]
            if one["Handler"] == f"{name}.handler" and one["FunctionName"].startswith("Sluice-")
        )
        return {
            **found["Environment"]["Variables"],
            **aws.CREDENTIALS,
            **self.pipeline.trust(),
            "AWS_REGION": aws.REGION,
            "AWS_LAMBDA_FUNCTION_NAME": found["FunctionName"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(found["MemorySize"]),
            "AWS_ENDPOINT_URL": self.pipeline.engine.url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.relay.url,
            "SLUICE_SOURCE_QUEUE_URL": self.queue_url,
        }

    def send(self, inference_id: str, **message: Any) -> None:
        body = json.dumps({"EndpointName": "wine", "Body": ROW, "InferenceId": inference_id, **message})
        self.pipeline.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    def receive(self) -> dict[str, Any]:
        """Receive one message, as a record of Lambda's event."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            found = self.pipeline.sqs.receive_message(
                QueueUrl=self.queue_url, MessageSystemAttributeNames=["All"], WaitTimeSeconds=1
            )
            for one in found.get("Messages", []):
                return {
                    "messageId": one["MessageId"],
                    "receiptHandle": one["ReceiptHandle"],
                    "body": one["Body"],
                    "attributes": one["Attributes"],
                    "messageAttributes": {},
                    "md5OfBody": one["MD5OfBody"],
                    "eventSource": "aws:sqs",
                    "eventSourceARN": f"arn:aws:sqs:{aws.REGION}:{aws.ACCOUNT}:runtime-tests",
                    "awsRegion": aws.REGION,
                }
        raise AssertionError("no message was received")

    def again(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Receive the message of `record` again, as after its visibility timeout."""
        self.pipeline.sqs.change_message_visibility(
            QueueUrl=self.queue_url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
        )
        return self.receive()

    def sent(self, inference_id: str, **message: Any) -> dict[str, Any]:
        """Send a message and receive it."""
        self.send(inference_id, **message)
        return self.receive()

    def calls(self, inference_id: str, at_least: int = 0) -> int:
        """How many calls have reached the endpoint; waits for the first `at_least`."""
        deadline = time.monotonic() + _SECONDS
        while (made := len(self.pipeline.calls(inference_id))) < at_least:
            assert time.monotonic() < deadline, f"{made} calls"
            time.sleep(0.01)
        return made


@pytest.fixture
def deployed(pipeline: Pipeline) -> Iterator[Deployed]:
    relay = Relay(pipeline.engine.sagemaker_runtime_url)
    found = Deployed(pipeline, relay)
    yield found
    relay.close()
    pipeline.sqs.delete_queue(QueueUrl=found.queue_url)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return lambda_package.package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def start(deployed: Deployed, package: Package, tmp_path: Path) -> Iterator[Start]:
    """Start a function's process. It has not ended its init phase."""
    with ExitStack() as stack:

        def started(name: str = "invoke", package: Package = package, **environment: str) -> Sandbox:
            number = len(list(tmp_path.glob("*.log")))
            variables = {**deployed.environment(name), **environment}
            variables = {variable: value for variable, value in variables.items() if value}
            return stack.enter_context(
                Sandbox(package, f"{name}.handler", variables, tmp_path / f"{number}-{name}.log")
            )

        yield started


@pytest.mark.parametrize("python", ["this", "lambda"])
def test_batches_are_answered(python: str, start: Start, deployed: Deployed, package: Package, tmp_path: Path) -> None:
    """Init phase, two invocations: the results, the response, the log lines; one connection to the endpoint."""
    if python == "lambda":
        try:
            package = lambda_package.lambdas_package(tmp_path)
        except NoRuntimeError as error:
            pytest.skip(str(error))
    sandbox = start(package=package).wait_ready()
    assert deployed.relay.accepted == 0, "a connection was opened in the init phase"
    assert sandbox.invoke(deployed.sent(f"{python}-1")) == []
    assert sandbox.invoke(deployed.sent(f"{python}-2"), deployed.sent(f"{python}-3", Unknown=1)) == []
    answers = [deployed.pipeline.wait(f"messages/{python}-{number}.out") for number in (1, 2)]
    assert all("class_0" in answer.body.decode() for answer in answers)
    assert json.loads(deployed.pipeline.wait(f"messages/{python}-3.err").body)["ErrorCode"] == "InvalidMessage"
    assert deployed.relay.accepted == 1
    lines = [json.loads(line) for line in sandbox.logged().splitlines()]
    outcomes = [line for line in lines if line.get("message") in {"succeeded", "dead-lettered"}]
    assert len(outcomes) == 3, lines
    assert len({line["function_request_id"] for line in outcomes}) == 2
    assert {line["xray_trace_id"] for line in outcomes} == {TRACE_ID.partition(";")[0].removeprefix("Root=")}
    compiled = {path for path in sandbox.libraries() if "pydantic_core" in path.name}
    assert {path.is_relative_to(package.machine or package.layer) for path in compiled} == {True}, compiled


def test_each_function_is_initialized(start: Start) -> None:
    for sandbox in [start(name) for name in HANDLERS]:
        sandbox.wait_ready()


def test_a_function_without_a_setting_fails_in_the_init_phase(start: Start) -> None:
    """Lambda then reports an error of the function, and SQS delivers its messages again."""
    path, document = start(SLUICE_RESULTS_BUCKET="").response()
    assert path == "init/error"
    assert "results_bucket" in document["errorMessage"]


def test_without_the_time_for_a_call_a_message_is_returned(start: Start, deployed: Deployed) -> None:
    record = deployed.sent("no-time")
    assert start().wait_ready().invoke(record, seconds=5) == [record["messageId"]]
    assert deployed.calls("no-time") == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_ended_in_the_middle_is_done_once_by_the_next(
    how: signal.Signals, start: Start, deployed: Deployed
) -> None:
    """Lambda kills a function at its timeout, and sends SIGTERM when it shuts an environment down."""
    inference_id = f"ended-{how.name}"
    deployed.pipeline.faults({"fault": "hang", "nth": [1]})
    record = deployed.sent(inference_id)
    first = start().wait_ready()
    first.begin(record)
    deployed.calls(inference_id, at_least=1)
    os.kill(first.process.pid, how)
    assert first.process.wait(_SECONDS) == -how
    assert first.silent(), "it has acknowledged what it has not done"
    deployed.pipeline.faults()
    record = deployed.again(record)
    assert record["attributes"]["ApproximateReceiveCount"] == "2"
    assert start().wait_ready().invoke(record) == []
    deployed.pipeline.wait(f"messages/{inference_id}.out")
    assert deployed.calls(inference_id) == 2


def test_sigterm_ends_an_idle_function(start: Start) -> None:
    """A function has 500 ms between SIGTERM and SIGKILL. It has nothing to do in that time."""
    sandbox = start().wait_ready()
    sandbox.process.terminate()
    assert sandbox.process.wait(_SECONDS) == -signal.SIGTERM


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_a_thawed_function_does_not_use_connections_that_ended(reset: bool, start: Start, deployed: Deployed) -> None:
    """While it is frozen, the endpoint and S3 close idle connections."""
    how = "reset" if reset else "closed"
    storage = Relay(deployed.pipeline.engine.url)
    try:
        sandbox = start(AWS_ENDPOINT_URL_S3=storage.url).wait_ready()
        assert sandbox.invoke(deployed.sent(f"{how}-1")) == []
        before = (deployed.relay.accepted, storage.accepted)
        record = deployed.sent(f"{how}-2")
        sandbox.freeze()
        deployed.relay.end_connections(reset=reset)
        storage.end_connections(reset=reset)
        sandbox.thaw()
        assert sandbox.invoke(record) == [], sandbox.logged()
        assert deployed.relay.accepted == before[0] + 1
        assert storage.accepted > before[1]
    finally:
        storage.close()
    deployed.pipeline.wait(f"messages/{how}-2.out")
    assert deployed.calls(f"{how}-2") == 1


def test_a_snapshot_has_no_connections(start: Start, deployed: Deployed) -> None:
    """With SnapStart, the function is initialized once, frozen, and restored many times."""
    sandbox = start(AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
    sandbox.wait_initialized()
    assert deployed.relay.accepted == 0
    sandbox.freeze()
    sandbox.thaw()
    sandbox.restore()
    assert sandbox.wait_ready().invoke(deployed.sent("restored")) == []
    deployed.pipeline.wait("messages/restored.out")


def test_lambda_can_read_what_was_built_with_umask_077(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Lambda, another user than the owner of the files reads them."""
    monkeypatch.setattr(build, "_CACHE", tmp_path / "cache")
    before = os.umask(0o077)
    try:
        folder = lambda_package.unpack(zipped(code("host")), tmp_path / "task")
    finally:
        os.umask(before)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o444 != 0o444] == []
