"""The notify function with moto's S3, SNS and SQS: a notification is retried when its topic fails."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

import notify
from tests.support.events import s3_event
from tests.support.lambda_events import context, sqs_record

METADATA = {"trace-id": "t", "inference-id": "i", "endpoint-name": "wine", "received-at": "2026-11-24T11:59:59.000Z"}


class Deployment:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.s3, self.sqs, sns = boto3.client("s3"), boto3.client("sqs"), boto3.client("sns")
        self.s3.create_bucket(Bucket="results")
        self.s3.put_bucket_versioning(Bucket="results", VersioningConfiguration={"Status": "Enabled"})
        self.url = self.sqs.create_queue(QueueName="subscriber")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for kind in ("SUCCESS", "ERROR"):
            topic = sns.create_topic(Name=kind)["TopicArn"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
            monkeypatch.setenv(f"SLUICE_{kind}_TOPIC_ARN", topic)

    def store(self, key: str, body: bytes = b"42") -> dict[str, Any]:
        """Put an object, and return the SQS record with its S3 event."""
        put = self.s3.put_object(Bucket="results", Key=key, Body=body, ContentType="text/plain", Metadata=METADATA)
        return sqs_record(s3_event(key, bucket="results", version_id=put["VersionId"]))

    def published(self) -> list[dict[str, Any]]:
        messages = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(json.loads(message["Body"])["Message"]) for message in messages]


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SLUICE_INPUT_BUCKET": "input",
        "SLUICE_RESULTS_BUCKET": "results",
        # Powertools keeps one log handler for each service, with the stdout of the first test that created it.
        "POWERTOOLS_SERVICE_NAME": str(uuid.uuid4()),
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        made = Deployment(monkeypatch)
        notify.handler.close()
        yield made
    notify.handler.close()


def run(*records: dict[str, Any], remaining_ms: int = 90_000) -> list[str]:
    """The message IDs that SQS delivers again."""
    response = notify.handler({"Records": list(records)}, context(remaining_ms))
    return [failure["itemIdentifier"] for failure in response["batchItemFailures"]]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_batch(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"ErrorCode": "ModelError", "ErrorMessage": "no", "TraceId": "t2", "InferenceId": "i2"}
    bad = deployment.store("messages/i2.err", json.dumps(document).encode())
    assert run(deployment.store("messages/i.out"), bad) == []
    notifications = {one["invocationStatus"]: one for one in deployment.published()}
    assert notifications["Completed"]["inferenceId"] == "i"
    assert notifications["Completed"]["responseParameters"]["outputLocation"] == "s3://results/messages/i.out"
    assert notifications["Failed"]["failureReason"] == "ModelError: no"
    *outcomes, metrics = lines(capsys)
    assert [(one["message"], one["trace_id"], one["inference_id"], one["result"]) for one in outcomes] == [
        ("notified", "t", "i", "messages/i.out"),
        ("notified", "t2", "i2", "messages/i2.err"),
    ]
    assert outcomes[1]["error_code"] == "ModelError"
    assert metrics["Notified"] == [1.0, 1.0]


def test_a_failing_topic_fails_only_its_message_until_it_works(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    sns = notify.application().notifier._topics._clients.sns  # type: ignore[attr-defined]
    good, late = deployment.store("messages/good.out"), deployment.store("messages/late.out")
    with Stubber(sns) as stubber:
        stubber.add_response("publish", {"MessageId": "1"})
        stubber.add_client_error("publish", "AuthorizationError", "not allowed", 403)
        assert run(good, late) == [late["messageId"]]
        for code, status in (("InternalError", 500), ("NotFound", 404), ("Throttled", 429)):
            stubber.add_client_error("publish", code, "not now", status)
            assert run(late) == [late["messageId"]]
    assert deployment.published() == []
    assert run(late) == []
    (notification,) = deployment.published()
    assert notification["responseParameters"]["outputLocation"] == "s3://results/messages/late.out"
    stored = deployment.s3.get_object(Bucket="results", Key="messages/late.out")
    assert (stored["Body"].read(), stored["Metadata"]) == (b"42", METADATA), "the result is untouched"
    assert len(deployment.s3.list_object_versions(Bucket="results", Prefix="messages/late")["Versions"]) == 1
    logged = lines(capsys)
    reasons = [line["error_code"] for line in logged if line.get("message") == "not notified"]
    assert reasons == ["AuthorizationError", "InternalError", "NotFound", "Throttled"]
    assert sum(len(line.get("NotificationsFailed", [])) for line in logged) == 4


def test_each_version_gets_its_own_notification(deployment: Deployment) -> None:
    first = deployment.store("messages/i.err", b'{"ErrorCode": "First", "ErrorMessage": "no"}')
    second = deployment.store("messages/i.err", b'{"ErrorCode": "Second", "ErrorMessage": "no"}')
    deployment.s3.delete_object(Bucket="results", Key="messages/i.err")  # as after a successful redrive
    assert run(first, second) == []
    assert {one["failureReason"] for one in deployment.published()} == {"First: no", "Second: no"}


def test_a_deleted_version_is_acknowledged(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    records = [deployment.store("messages/i.out"), deployment.store("messages/i.err", b"{}")]
    for version in deployment.s3.list_object_versions(Bucket="results")["Versions"]:
        deployment.s3.delete_object(Bucket="results", Key=version["Key"], VersionId=version["VersionId"])
    assert run(*records) == []
    assert deployment.published() == []
    assert [line["message"] for line in lines(capsys)[:2]] == ["nothing to notify of"] * 2


def test_a_missing_bucket_is_a_configuration_failure(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_RESULTS_BUCKET", "elsewhere")
    record = deployment.store("messages/i.err", b"{}")
    assert run(record) == [record["messageId"]]


def test_no_notification_is_started_without_enough_time(deployment: Deployment) -> None:
    record = deployment.store("messages/i.out")
    assert run(record, remaining_ms=60_000) == [record["messageId"]]
    assert deployment.published() == []


def test_s3s_test_event_and_invalid_events(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    unreadable = deployment.store("messages/binary.err", b"\xff")
    other = sqs_record("{}")
    assert run(sqs_record({"Event": "s3:TestEvent"}), other, unreadable) == [
        other["messageId"],
        unreadable["messageId"],
    ]
    refused, unforeseen, *_ = lines(capsys)
    assert refused["error_code"] == "InvalidMessage"
    assert "UnicodeDecodeError" in unforeseen["exception"]
