"""Notifications on the local AWS, as subscribers of the topics and EventBridge receive them."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import ACCOUNT, REGION
from tests.e2e.conftest import EXAMPLES, Pipeline
from tests.e2e.test_pipeline import WINE, aws

_SECONDS = 60.0


def may_send(service: str, queue_arn: str) -> str:
    """The policy of a queue that an AWS service may send to."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
    }
    return json.dumps({"Statement": [statement]})


class Subscriber:
    """A queue on both topics."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.sqs, self.sns = pipeline.sqs, pipeline.engine.clients.sns
        name = f"subscriber-{uuid.uuid4().hex}"
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        policy = may_send("sns.amazonaws.com", arn)
        self.url = self.sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
        outputs = pipeline.engine.outputs
        self.subscriptions = [
            self.sns.subscribe(
                TopicArn=outputs[topic], Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
            )["SubscriptionArn"]
            for topic in ("SuccessTopicArn", "ErrorTopicArn")
        ]
        self.received: list[tuple[dict[str, Any], dict[str, str]]] = []

    def wait(self, location: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The notification of the object at `location`, and its attributes."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for notification, attributes in self.received:
                if location in notification["responseParameters"].values():
                    return notification, attributes
            received = self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=1
            )
            for message in received.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
                self.received.append((json.loads(message["Body"]), attributes))
        raise AssertionError(f"no notification of {location}; received: {self.received}")

    def close(self) -> None:
        for arn in self.subscriptions:
            self.sns.unsubscribe(SubscriptionArn=arn)
        self.sqs.delete_queue(QueueUrl=self.url)


@pytest.fixture
def subscriber(pipeline: Pipeline) -> Iterator[Subscriber]:
    made = Subscriber(pipeline)
    yield made
    made.close()


def test_both_topics_get_each_notification_once(pipeline: Pipeline, subscriber: Subscriber) -> None:
    name = uuid.uuid4().hex
    results, inputs = pipeline.engine.results_bucket, pipeline.engine.input_bucket
    pipeline.drop(f"invoke/digits/{name} ü.png", (EXAMPLES / "digits/7.png").read_bytes(), Metadata={"trace-id": name})
    notification, attributes = subscriber.wait(f"s3://{results}/invoke/digits/{name} ü.png.out")
    times = notification.pop("receivedTime"), notification.pop("eventTime")
    assert times == tuple(sorted(times))
    assert notification == {
        "awsRegion": REGION,
        "invocationStatus": "Completed",
        "requestParameters": {
            "contentType": "image/png",
            "endpointName": "digits",
            "inputLocation": f"s3://{inputs}/invoke/digits/{name} ü.png",
        },
        "responseParameters": {
            "contentType": "application/json",
            "outputLocation": f"s3://{results}/invoke/digits/{name} ü.png.out",
        },
        "inferenceId": name,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert attributes == {"InvocationStatus": "Completed", "EndpointName": "digits", "TraceId": name}

    bad = f"{name}-bad"
    pipeline.send({"EndpointName": "wine", "Body": "1,2,3", "InferenceId": bad})
    notification, attributes = subscriber.wait(f"s3://{results}/messages/{bad}.err")
    del notification["receivedTime"], notification["eventTime"]
    assert notification.pop("failureReason").startswith("ModelError: Received client error (400)")
    assert notification == {
        "awsRegion": REGION,
        "invocationStatus": "Failed",
        "requestParameters": {"endpointName": "wine"},
        "responseParameters": {"failureLocation": f"s3://{results}/messages/{bad}.err"},
        "inferenceId": bad,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert attributes == {
        "InvocationStatus": "Failed",
        "EndpointName": "wine",
        "TraceId": bad,
        "ErrorCode": "ModelError",
    }

    pipeline.drop(f"transform/wine/{name}.csv", (EXAMPLES / "wine/three.csv").read_bytes())
    notification, _ = subscriber.wait(f"s3://{results}/transform/wine/{name}.csv.out")
    assert notification["requestParameters"]["endpointName"] == "wine"
    assert notification["requestParameters"]["inputLocation"] == f"s3://{inputs}/transform/wine/{name}.csv"
    mine = [one for one, _ in subscriber.received if name in json.dumps(one)]
    assert len(mine) == 3, "neither the parts of the file nor its summary are results"


def test_an_event_bridge_rule_matches_results(pipeline: Pipeline) -> None:
    name = uuid.uuid4().hex
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [pipeline.engine.results_bucket]},
            "object": {"key": [{"wildcard": f"messages/{name}*.out"}]},
        },
    }
    queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    url = pipeline.sqs.create_queue(QueueName=name, Attributes={"Policy": may_send("events.amazonaws.com", queue_arn)})[
        "QueueUrl"
    ]
    aws(pipeline, "events", "put-rule", "--name", name, "--event-pattern", json.dumps(pattern))
    aws(pipeline, "events", "put-targets", "--rule", name, "--targets", json.dumps([{"Id": "1", "Arn": queue_arn}]))
    pipeline.send({**WINE, "InferenceId": name})
    (message,) = pipeline.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    assert json.loads(message["Body"])["detail"]["object"]["key"] == f"messages/{name}.out"
