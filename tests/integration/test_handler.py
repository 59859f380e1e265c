"""The real handler, composed as in Lambda, with moto's S3 and SQS, and a small HTTP server as the SageMaker runtime."""

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

import crashed
import invoke
from tests.support.fakes import TIMED_OUT
from tests.support.lambda_events import context, sqs_record
from tests.support.runtime import Answer, Runtime, error

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SLUICE_ENDPOINT_NAMES": "wine,digits",
    "SLUICE_DEFAULT_ENDPOINT_NAME": "wine",
    "SLUICE_INPUT_BUCKET": "input-bucket",
    "SLUICE_RESULTS_BUCKET": "results-bucket",
    "SLUICE_MAX_RECEIVE_COUNT": "3",
    "SLUICE_RETRY_BASE_SECONDS": "5",
    "SLUICE_RETRY_CAP_SECONDS": "900",
    "SLUICE_MAX_BODY_BYTES": "6291456",
    "SLUICE_DEFAULT_CONTENT_TYPE": "text/csv",
    "SLUICE_READ_TIMEOUT_SECONDS": "70",
    "SLUICE_CONCURRENT_CALLS": "4",
    "SLUICE_TRANSPORT": "boto3",  # moto patches botocore, which the lean transport does not use
    "POWERTOOLS_SERVICE_NAME": "Sluice",
    "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
}


@dataclass
class Deployment:
    runtime: Runtime
    s3: Any
    sqs: Any
    request_queue_url: str
    dead_letter_queue_url: str

    def run(self, *records: dict[str, Any], remaining_ms: int = 90_000) -> set[str]:
        """Call the handler with a batch, and return the message IDs that failed."""
        response = invoke.handler({"Records": list(records)}, context(remaining_ms))
        return {failure["itemIdentifier"] for failure in response["batchItemFailures"]}

    def result(self, key: str) -> Any:
        return self.s3.get_object(Bucket="results-bucket", Key=key)

    def results(self) -> set[str]:
        return {item["Key"] for item in self.s3.list_objects_v2(Bucket="results-bucket").get("Contents", [])}

    def dead_letters(self) -> dict[str, dict[str, str]]:
        """Attributes by body."""
        messages: list[Any] = []
        while received := self.sqs.receive_message(
            QueueUrl=self.dead_letter_queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            messages += received
        return {
            m["Body"]: {name: a["StringValue"] for name, a in m.get("MessageAttributes", {}).items()} for m in messages
        }


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    runtime = Runtime()
    thread = threading.Thread(target=runtime.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
    with mock_aws(config={"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1.*"]}}}):
        s3, sqs = boto3.client("s3"), boto3.client("sqs")
        s3.create_bucket(Bucket="input-bucket")
        s3.create_bucket(Bucket="results-bucket")
        request_queue_url = sqs.create_queue(QueueName="request")["QueueUrl"]
        dead_letter_queue_url = sqs.create_queue(QueueName="dead-letter")["QueueUrl"]
        monkeypatch.setenv("SLUICE_SOURCE_QUEUE_URL", request_queue_url)
        monkeypatch.setenv("SLUICE_DEAD_LETTER_QUEUE_URL", dead_letter_queue_url)
        monkeypatch.setenv("SLUICE_PART_QUEUE_URL", request_queue_url)
        monkeypatch.setenv("SLUICE_ASSEMBLY_QUEUE_URL", request_queue_url)
        invoke.handler.close()
        yield Deployment(runtime, s3, sqs, request_queue_url, dead_letter_queue_url)
    invoke.handler.close()
    crashed.handler.close()
    runtime.shutdown()
    runtime.server_close()
    thread.join()


@pytest.fixture
def output(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], list[str]]:
    """The function's output, by lines."""
    # Powertools keeps one log handler for each service, with the stdout of the first test that created it.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", str(uuid.uuid4()))

    def printed() -> list[str]:
        lines: list[str] = capsys.readouterr().out.splitlines()
        return lines

    return printed


def test_a_message_becomes_a_result_byte_for_byte(deployment: Deployment) -> None:
    body = bytes(range(256))
    deployment.runtime.answers[b"1,2"] = Answer(
        200,
        {
            "Content-Type": "application/x-bytes",
            "x-Amzn-Invoked-Production-Variant": "blue",
            "X-Amzn-SageMaker-Custom-Attributes": "Trace ID: my-trace",
        },
        body,
    )
    record = sqs_record({"EndpointName": "digits", "Body": "1,2", "TraceId": "my-trace", "InferenceId": "order/7"})
    assert deployment.run(record) == set()
    stored = deployment.result("messages/order%2F7.out")
    assert stored["Body"].read() == body
    assert stored["ContentType"] == "application/x-bytes"
    metadata = stored["Metadata"]
    assert metadata["trace-id"] == "my-trace"
    assert metadata["inference-id"] == "order/7"
    assert metadata["invoked-production-variant"] == "blue"
    assert metadata["custom-attributes"] == "Trace ID: my-trace"
    ((path, headers, sent),) = deployment.runtime.requests
    assert path == "/endpoints/digits/invocations"
    assert sent == b"1,2"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "my-trace"
    assert headers["x-amzn-sagemaker-inference-id"] == "order/7"
    assert headers["content-type"] == "text/csv"


def test_a_dropped_object_becomes_a_result_and_its_new_version_replaces_it(deployment: Deployment) -> None:
    def drop(body: bytes, sequencer: str) -> dict[str, Any]:
        put = deployment.s3.put_object(Bucket="input-bucket", Key="invoke/digits/a b.png", Body=body)
        details = {"key": "invoke/digits/a+b.png", "size": len(body), "eTag": put["ETag"].strip('"')}
        return sqs_record(
            {
                "Records": [
                    {
                        "eventVersion": "2.1",
                        "eventSource": "aws:s3",
                        "eventName": "ObjectCreated:Put",
                        "s3": {"bucket": {"name": "input-bucket"}, "object": {**details, "sequencer": sequencer}},
                    }
                ]
            }
        )

    deployment.runtime.answers = {b"one": Answer(body=b"1"), b"two": Answer(body=b"2")}
    first = drop(b"one", "0A")
    assert deployment.run(first) == set()
    assert deployment.result("invoke/digits/a b.png.out")["Body"].read() == b"1"
    assert deployment.run(drop(b"two", "0B"), first) == set()
    assert deployment.result("invoke/digits/a b.png.out")["Body"].read() == b"2"
    assert [body for _, _, body in deployment.runtime.requests] == [b"one", b"two"]


# Each kind of invalid message: its body, its error code, a part of its reason.
BROKEN = [
    ('{"Body": ', "InvalidMessage", "message body: is not JSON"),
    ('{"Body": "x",  "Unknown": 1}', "InvalidMessage", "a key is not a parameter"),
    ('{"Body": "x", "BodyBase64": "eA=="}', "InvalidMessage", "exactly one of the three"),
    ('{"Body": "x", "EndpointName": "nope"}', "InvalidMessage", "EndpointName: is not one of"),
    ('{"InputLocation": "s3://elsewhere/x"}', "InvalidMessage", "bucket is not on"),
    ('{"InputLocation": "s3://input-bucket/large"}', "InvalidMessage", "6291457 bytes"),
    ('{"Body": "x", "CustomAttributes": "\u00e9"}', "InvalidMessage", "visible ASCII"),
    ('{"BodyBase64": "eA=!"}', "InvalidMessage", "not valid base64"),
    ('{"InputLocation": "s3://input-bucket/missing"}', "NoSuchKey", "does not exist"),
    ('{"Body": "model 400"}', "ModelError", "Received client error (400) from primary"),
    ('{"Body": "model 500"}', "ModelError", "Received server error (500)"),
    ('{"Body": "refused"}', "ValidationError", "Inspect your request"),
]
BROKEN_BY_THE_MODEL = {
    b"model 400": error(
        424,
        "ModelError",
        Message="Received client error (400) from primary",
        OriginalStatusCode=400,
        OriginalMessage="13 features expected",
        LogStreamArn="arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/wine",
    ),
    b"model 500": error(424, "ModelError", Message="Received server error (500)", OriginalStatusCode=500),
    b"refused": error(400, "ValidationError", Message="Inspect your request"),
}


def test_good_and_bad_in_one_batch(deployment: Deployment) -> None:
    """Each kind of invalid message is dead-lettered with its reason; the valid message in the same batch succeeds."""
    deployment.runtime.answers = dict(BROKEN_BY_THE_MODEL)
    deployment.s3.put_object(Bucket="input-bucket", Key="large", Body=bytes(6_291_457))
    bad = {body: sqs_record(body) for body, _, _ in BROKEN}
    good = sqs_record({"Body": "good", "InferenceId": "good"})
    assert deployment.run(*bad.values(), good) == set()
    letters = deployment.dead_letters()
    assert set(letters) == set(bad), "bodies verbatim"
    for body, code, says in BROKEN:
        letter, message_id = letters[body], bad[body]["messageId"]
        assert letter["ErrorCode"] == code, body
        assert says in letter["ErrorMessage"], body
        assert letter["TraceId"] == letter["InferenceId"] == message_id
        assert letter["Attempts"] == "1"
        assert datetime.fromisoformat(letter["FailedAt"])
        document = json.loads(deployment.result(f"messages/{message_id}.err")["Body"].read())
        assert (document["ErrorCode"], document["ErrorMessage"]) == (code, letter["ErrorMessage"])
    model = letters['{"Body": "model 400"}']
    assert model["EndpointName"] == "wine"
    assert model["OriginalStatusCode"] == "400"
    assert model["OriginalMessage"] == "13 features expected"
    assert model["LogStreamArn"].startswith("arn:aws:logs:")
    assert letters['{"Body": "model 500"}']["OriginalStatusCode"] == "500"
    assert deployment.result("messages/good.out")["Body"].read() == b"answered"
    assert len(deployment.results()) == len(bad) + 1
    assert sorted(body for _, _, body in deployment.runtime.requests) == sorted([*BROKEN_BY_THE_MODEL, b"good"])


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "ThrottlingException", message="Rate exceeded"),
        error(503, "ServiceUnavailable", Message="try again"),
        error(429, "ModelNotReadyException", Message="loading"),
        error(500, "InternalFailure", Message="oops"),
        error(530, "InternalDependencyException", Message="oops"),
        error(400, "ValidationError", Message="Endpoint wine of account 123456789012 not found."),
        error(400, "ValidationError", Message="Inference Component has no capacity to process this request."),
        error(403, "AccessDeniedException", Message="not authorized"),
        error(424, "ModelError", Message="Received server error (503)", OriginalStatusCode=503),
        Answer(500, {}, b"<html>garbage</html>"),
    ],
)
def test_a_retryable_failure_is_an_item_failure_and_billed_once(deployment: Deployment, answer: Answer) -> None:
    deployment.runtime.answers[b"bad"] = answer
    bad, good = sqs_record({"Body": "bad"}), sqs_record({"Body": "good"})
    assert deployment.run(bad, good) == {bad["messageId"]}
    assert [body for _, _, body in deployment.runtime.requests].count(b"bad") == 1, "botocore must not retry by itself"
    assert deployment.dead_letters() == {}
    last = sqs_record({"Body": "bad"}, receive_count=3)
    assert deployment.run(last) == set()
    assert set(deployment.dead_letters()) == {last["body"]}


def test_a_redrive_by_its_attributes_removes_the_err(deployment: Deployment) -> None:
    deployment.runtime.answers[b"x"] = error(424, "ModelError", Message="boom", OriginalStatusCode=500)
    failed = sqs_record({"Body": "x"})
    deployment.run(failed)
    ((body, reason),) = deployment.dead_letters().items()
    assert deployment.results() == {f"messages/{failed['messageId']}.err"}
    deployment.runtime.answers.clear()
    assert deployment.run(sqs_record(body, attributes=reason)) == set()
    assert deployment.results() == {f"messages/{failed['messageId']}.out"}


def test_a_crashed_message_is_dead_lettered(deployment: Deployment, output: Callable[[], list[str]]) -> None:
    crashed.handler.close()
    answered = sqs_record({"Body": "answered"})
    deployment.run(answered)
    lost, unreadable = sqs_record({"Body": "x", "TraceId": "t"}), sqs_record("{")
    response = crashed.handler({"Records": [answered, lost, unreadable]}, context())
    assert response == {"batchItemFailures": []}
    reasons = deployment.dead_letters()
    assert set(reasons) == {lost["body"], unreadable["body"]}, "what was answered has not failed"
    assert reasons[lost["body"]]["ErrorCode"] == "Crashed"
    assert reasons[lost["body"]]["TraceId"] == "t"
    assert "out of memory" in reasons[lost["body"]]["ErrorMessage"]
    assert deployment.results() == {
        f"messages/{answered['messageId']}.out",
        f"messages/{lost['messageId']}.err",
        f"messages/{unreadable['messageId']}.err",
    }
    assert len(deployment.runtime.requests) == 1, "nothing was called again"
    assert any('"CrashedFailures":[1.0]' in line for line in output()), "countable"


def test_with_little_time_left_the_crashed_function_begins_no_further_message(deployment: Deployment) -> None:
    """If Lambda ended the function, SQS would deliver the whole batch again, and count it."""
    crashed.handler.close()
    first, second = sqs_record({"Body": "x"}), sqs_record({"Body": "y"})
    response = crashed.handler({"Records": [first, second]}, context(30_000))
    assert response == {"batchItemFailures": [{"itemIdentifier": second["messageId"]}]}
    assert set(deployment.dead_letters()) == {first["body"]}


def test_a_body_of_the_largest_message_arrives_whole_in_the_dead_letter_queue(deployment: Deployment) -> None:
    deployment.runtime.answers = dict.fromkeys([b"y" * 1_040_000], error(424, "ModelError", Message="m" * 4000))
    record = sqs_record({"Body": "y" * 1_040_000})
    assert deployment.run(record) == set()
    assert set(deployment.dead_letters()) == {record["body"]}


def test_no_call_is_started_without_enough_time(deployment: Deployment) -> None:
    records = [sqs_record({"Body": str(n)}) for n in range(3)]
    assert deployment.run(*records, remaining_ms=79_000) == {record["messageId"] for record in records}
    assert not deployment.runtime.requests


def test_a_hanging_endpoint_costs_one_read_timeout_and_delays_no_other_request(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, output: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("SLUICE_READ_TIMEOUT_SECONDS", "0.3")
    deployment.runtime.answers = {b"hung": Answer(silent=True)}
    hung = [sqs_record({"EndpointName": "wine", "Body": "hung"}) for _ in range(2)]
    good = [sqs_record({"EndpointName": "digits", "Body": "good"}) for _ in range(6)]
    assert deployment.run(*hung, *good) == {record["messageId"] for record in hung}
    codes = [json.loads(line).get("error_code") for line in output()]
    assert codes.count("ReadTimeoutError") == 2
    assert [body for _, _, body in deployment.runtime.requests].count(b"hung") == 2, "one attempt each"


def test_each_log_line_has_the_trace_id_and_no_payload(deployment: Deployment, output: Callable[[], list[str]]) -> None:
    deployment.run(
        sqs_record({"Body": "s3cr3t-payload", "TraceId": "trace-1", "CustomAttributes": "s3cr3t-attribute"}),
        sqs_record({"Body": "s3cr3t-payload", "TraceId": "trace-2", "Unknown": "s3cr3t-value"}),
    )
    printed = output()
    assert "s3cr3t" not in "".join(printed)
    lines = [json.loads(line) for line in printed]
    metrics = [line for line in lines if "_aws" in line]
    logs = [line for line in lines if "_aws" not in line]
    assert {line["trace_id"]: line["message"] for line in logs} == {"trace-1": "succeeded", "trace-2": "dead-lettered"}
    (emf,) = metrics
    assert emf["Succeeded"] == [1.0]
    assert emf["DeadLettered"] == [1.0]
    assert emf["InvalidFailures"] == [1.0]
    assert emf["service"] == os.environ["POWERTOOLS_SERVICE_NAME"]


@pytest.mark.parametrize("kept", [True, False])
def test_the_models_message_is_kept_unless_model_messages_is_false(
    deployment: Deployment, output: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setenv("SLUICE_MODEL_MESSAGES", str(kept).lower())
    invoke.handler.close()
    deployment.runtime.answers[b"x"] = error(
        424, "ModelError", Message="bad value s3cr3t", OriginalStatusCode=400, OriginalMessage="bad value s3cr3t"
    )
    timed_out = error(424, "ModelError", Message=f"{TIMED_OUT} s3cr3t", OriginalStatusCode=0)
    deployment.runtime.answers[b"late"] = timed_out
    record, late = sqs_record({"Body": "x"}), sqs_record({"Body": "late"})
    deployment.run(record, late)
    letters = deployment.dead_letters()
    document = deployment.result(f"messages/{record['messageId']}.err")["Body"].read().decode()
    for place in ("".join(output()), json.dumps(letters), document):
        assert ("s3cr3t" in place) is kept
    assert letters[record["body"]]["OriginalStatusCode"] == "400"
    assert letters[late["body"]]["ErrorCode"] == "ModelTimeout", "the table reads it all the same"


def test_an_unforeseen_error_is_logged_with_its_traceback(
    deployment: Deployment, output: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*args: object, **how: object) -> None:
        raise ZeroDivisionError("s3cr3t".upper())

    monkeypatch.setattr("sluice.processing.invoker.build", bug)
    record = sqs_record({"Body": "x"})
    assert deployment.run(record) == {record["messageId"]}
    text, *_ = output()
    line = json.loads(text)
    assert line["level"] == "ERROR"
    assert line["exception_name"] == "ZeroDivisionError"
    assert ", in bug\n" in line["exception"]
    assert "S3CR3T" not in text, "the text of an error may be content of the request"


def test_a_missing_setting_is_named(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_RESULTS_BUCKET")
    invoke.handler.close()
    with pytest.raises(ValueError, match="results_bucket"):
        deployment.run(sqs_record({"Body": "x"}))


def test_no_garbage_is_collected_during_the_initialization() -> None:
    program = """
import gc
def collections(): return sum(one["collections"] for one in gc.get_stats())
before = collections()
import invoke
print(collections() - before, gc.isenabled(), gc.get_freeze_count())
"""
    queues = {f"SLUICE_{name}_QUEUE_URL": "https://queue" for name in ("SOURCE", "DEAD_LETTER", "PART", "ASSEMBLY")}
    environment = {**os.environ, **ENVIRONMENT, **queues, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}
    lambdas = Path(invoke.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=lambdas, capture_output=True, text=True, check=True
    )
    collections, enabled, frozen = done.stdout.split()
    assert int(collections) <= 3, (
        "some may come before the first module is imported; with the collector on it is hundreds"
    )
    assert enabled == "True"
    assert int(frozen) > 10_000
