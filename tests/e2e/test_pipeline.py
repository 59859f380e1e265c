"""The deployed pipeline on the local AWS: the synthesized template, the real handler, real models."""

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import pytest

from local.aws import CREDENTIALS
from tests.e2e.conftest import EXAMPLES, Pipeline

ROW = [13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]
WINE = {"EndpointName": "wine", "Body": {"instances": [ROW]}}


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return uuid.uuid4().hex


def test_a_dropped_file_is_answered_byte_for_byte_with_its_trace_id(pipeline: Pipeline, name: str) -> None:
    picture = (EXAMPLES / "digits/7.png").read_bytes()
    pipeline.drop(f"invoke/digits/{name} ü.png", picture)
    result = pipeline.wait(f"invoke/digits/{name} ü.png.out")
    direct = pipeline.engine.clients.sagemaker_runtime.invoke_endpoint(
        EndpointName="digits", Body=picture, ContentType="image/png"
    )
    assert result.body == direct["Body"].read() == b'{"predictions": [{"label": 7}]}'
    assert result.content_type == "application/json"
    trace_id = result.metadata["trace-id"]
    assert result.metadata["custom-attributes"] == f"Trace ID: {trace_id}"
    (call,) = pipeline.calls(trace_id)
    assert call["CustomAttributes"] == trace_id


def test_metadata_of_a_dropped_file_sets_parameters(pipeline: Pipeline, name: str) -> None:
    rows = (EXAMPLES / "wine/three.csv").read_bytes()
    metadata = {"accept": "text/csv", "custom-attributes": "tenant=blue", "trace-id": name, "endpoint-name": "wine"}
    pipeline.drop(f"invoke/{name}.csv", rows, Metadata=metadata)
    result = pipeline.wait(f"invoke/{name}.csv.out")
    assert result.content_type.startswith("text/csv")
    assert result.body.startswith(b"class_2,")
    assert result.metadata["custom-attributes"] == "Trace ID: tenant=blue"
    assert result.metadata["trace-id"] == name


def test_a_message_is_answered_once_however_often_it_is_sent(pipeline: Pipeline, name: str) -> None:
    for _ in range(3):
        pipeline.send({**WINE, "InferenceId": name})
    result = pipeline.wait(f"messages/{name}.out")
    assert json.loads(result.body)["predictions"][0]["label"] == "class_0"
    pipeline.send({**WINE, "InferenceId": name})
    pipeline.send({**WINE, "InferenceId": f"{name}-after"})
    pipeline.wait(f"messages/{name}-after.out")
    assert pipeline.wait(f"messages/{name}.out") == result


def test_a_new_upload_replaces_the_result(pipeline: Pipeline, name: str) -> None:
    for digit in ("3", "5", "5", "8"):
        pipeline.drop(f"invoke/digits/{name}.png", (EXAMPLES / f"digits/{digit}.png").read_bytes())
    pipeline.wait(f"invoke/digits/{name}.png.out", lambda result: b'"label": 8' in result.body)


def test_throttled_then_answered(pipeline: Pipeline, name: str) -> None:
    pipeline.faults({"fault": "ThrottlingException", "inference_id": name, "times": 1})
    pipeline.send({**WINE, "InferenceId": name})
    pipeline.wait(f"messages/{name}.out")
    assert [call["Status"] for call in pipeline.calls(name)] == [400, 200]


BROKEN: list[tuple[str, str, dict[str, str]]] = [
    ('{"EndpointName": ', "message body: is not JSON", {"ErrorCode": "InvalidMessage"}),
    ('{"Body": "x", "Unknown": "NAME"}', "a key is not a parameter", {"ErrorCode": "InvalidMessage"}),
    ('{"Body": "NAME", "BodyBase64": "eA=="}', "exactly one of the three", {"ErrorCode": "InvalidMessage"}),
    ('{"Body": "NAME", "EndpointName": "wein"}', "EndpointName: is not one of", {"ErrorCode": "InvalidMessage"}),
    ('{"InputLocation": "s3://elsewhere/NAME"}', "bucket is not on", {"ErrorCode": "InvalidMessage"}),
    ('{"Body": "NAME", "CustomAttributes": "é"}', "visible ASCII", {"ErrorCode": "InvalidMessage"}),
    ('{"BodyBase64": "NAME!"}', "not valid base64", {"ErrorCode": "InvalidMessage"}),
    ('{"InputLocation": "s3://INPUT/NAME"}', "does not exist", {"ErrorCode": "NoSuchKey"}),
    (
        '{"Body": "1,2,NAME", "EndpointName": "wine"}',
        "Received client error (400)",
        {"ErrorCode": "ModelError", "OriginalStatusCode": "400", "EndpointName": "wine"},
    ),
    (
        '{"Body": "nan,nan,nan,nan,nan,nan,nan,nan,nan,nan,nan,nan,nan", "TargetVariant": "NAME"}',
        "Received server error (500)",
        {"ErrorCode": "ModelError", "OriginalStatusCode": "500"},
    ),
]


@pytest.mark.parametrize(("body", "says", "reason"), BROKEN)
def test_a_broken_message_is_explained_and_the_good_one_beside_it_succeeds(
    pipeline: Pipeline, name: str, body: str, says: str, reason: dict[str, str]
) -> None:
    body = body.replace("NAME", name).replace("INPUT", pipeline.engine.input_bucket)
    message_id = pipeline.send(body)
    pipeline.send({**WINE, "InferenceId": name})
    attributes = pipeline.dead_letter(body)
    assert says in attributes["ErrorMessage"]
    assert attributes.items() >= {"TraceId": message_id, "InferenceId": message_id, "Attempts": "1", **reason}.items()
    document = json.loads(pipeline.wait(f"messages/{message_id}.err").body)
    assert document["ErrorMessage"] == attributes["ErrorMessage"]
    pipeline.wait(f"messages/{name}.out")


def test_a_body_over_the_limit(pipeline: Pipeline, name: str) -> None:
    pipeline.drop(f"invoke/wine/{name}.csv", b"0," * 3_200_000)
    document = json.loads(pipeline.wait(f"invoke/wine/{name}.csv.err").body)
    says = "object: 6400000 bytes are over the deployment's max_body_bytes, 6291456"
    assert document["ErrorMessage"] == says
    letter = pipeline.dead_letter_about(name)
    assert (letter["ErrorCode"], letter["ErrorMessage"]) == ("InvalidMessage", says)
    assert letter["TraceId"] == document["TraceId"]


def test_a_request_that_crashed_the_function_is_dead_lettered_with_its_reason(pipeline: Pipeline, name: str) -> None:
    body = json.dumps({**WINE, "InferenceId": name})
    pipeline.sqs.send_message(QueueUrl=pipeline.engine.outputs["CrashedQueueUrl"], MessageBody=body)
    assert pipeline.dead_letter(body)["ErrorCode"] == "Crashed"
    assert json.loads(pipeline.wait(f"messages/{name}.err").body)["ErrorCode"] == "Crashed"


def test_what_sqs_moves_off_a_queue_can_be_received_from_the_crashed_queue(pipeline: Pipeline, name: str) -> None:
    """With the redrive policies of the deployment, on queues that no function receives from."""
    sqs, outputs = pipeline.sqs, pipeline.engine.outputs

    def policy_of(queue: str) -> dict[str, Any]:
        url = outputs[f"{queue}QueueUrl"]
        policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
        return dict(json.loads(policy))

    def like(queue: str, target: str) -> str:
        arn = sqs.get_queue_attributes(QueueUrl=target, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = policy_of(queue) | {"deadLetterTargetArn": arn}
        attributes: Any = {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "0"}
        return sqs.create_queue(QueueName=f"{queue}-{uuid.uuid4()}", Attributes=attributes)["QueueUrl"]

    dead_letters = sqs.create_queue(QueueName=f"dead-{uuid.uuid4()}")["QueueUrl"]
    crashed = like("Crashed", dead_letters)
    request = like("Request", crashed)
    sqs.send_message(QueueUrl=request, MessageBody=name)
    receives = 0
    while sqs.receive_message(QueueUrl=request, WaitTimeSeconds=0).get("Messages"):
        receives += 1
    assert receives == int(policy_of("Request")["maxReceiveCount"])
    (message,) = sqs.receive_message(QueueUrl=crashed, WaitTimeSeconds=1)["Messages"]
    assert message["Body"] == name


def test_the_last_receive_is_dead_lettered_and_a_redrive_succeeds(pipeline: Pipeline, name: str) -> None:
    pipeline.faults({"fault": "AccessDeniedException", "body_contains": name})
    body = json.dumps({"EndpointName": "wine", "Body": {"instances": [ROW], "note": name}})
    message_id = pipeline.send(body)
    attributes = pipeline.dead_letter(body)
    assert attributes["ErrorCode"] == "AccessDeniedException"
    assert attributes["Attempts"] == "3"
    assert f"messages/{message_id}.err" in pipeline.stored()

    pipeline.faults()
    kept: Any = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    pipeline.send(body, MessageAttributes=kept)
    result = pipeline.wait(f"messages/{message_id}.out")
    assert result.metadata["trace-id"] == message_id
    gone = f"messages/{message_id}.err"
    pipeline.send({**WINE, "InferenceId": f"{name}-after"})
    pipeline.wait(f"messages/{name}-after.out")
    assert gone not in pipeline.stored()


def aws(pipeline: Pipeline, *arguments: str) -> str:
    """Runs the AWS CLI with the exports that `make up` prints."""
    return subprocess.run(
        [sys.executable, "-m", "awscli", *arguments],
        env={"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": pipeline.engine.url, **pipeline.trust(), **CREDENTIALS},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_plain_aws_cli(pipeline: Pipeline, name: str) -> None:
    key = f"invoke/digits/{name}.png"
    aws(pipeline, "s3", "cp", str(EXAMPLES / "digits/2.png"), f"s3://{pipeline.engine.input_bucket}/{key}")
    message = json.dumps({**WINE, "InferenceId": name})
    aws(pipeline, "sqs", "send-message", "--queue-url", pipeline.engine.request_queue_url, "--message-body", message)
    assert b'"label": 2' in pipeline.wait(f"{key}.out").body
    pipeline.wait(f"messages/{name}.out")
    shown = aws(pipeline, "s3", "cp", f"s3://{pipeline.engine.results_bucket}/messages/{name}.out", "-")
    assert json.loads(shown)["predictions"][0]["label"] == "class_0"
