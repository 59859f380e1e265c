"""The exact notification of an outcome, from the delivery through the real metadata and `.err`."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.failures import Failure, Operation
from sluice.inputs.s3_events import S3Record, created_records
from sluice.notify.notification import Notification, is_failure, of_failure, of_result
from sluice.notify.notifier import Notifier
from sluice.ports import ObjectHead, StoredObject
from sluice.settings import NotifySettings
from tests.support.asyncapi import MESSAGES, check
from tests.support.events import s3_event
from tests.support.fakes import FakeBucket, World, delivery, service_error
from tests.support.transform import Transforms
from tests.support.virtual_time import run

EVENT_TIME = "2026-11-24T12:00:00.000Z"
MESSAGE_ID = "11111111-1111-4111-8111-111111111111"


def record(key: str, version_id: str | None = None) -> S3Record:
    """The S3 event record of a created object."""
    details: Any = {"version_id": version_id} if version_id else {}
    (one,) = created_records(json.dumps(s3_event(key, bucket="results", **details)))
    return one


def notification(results: FakeBucket, key: str) -> Notification:
    stored, one = results.objects[key], record(key)
    if is_failure(one):
        made, documented = of_failure(one, "input", stored.body), MESSAGES["failed"]
    else:
        made, documented = of_result(one, "input", stored.content_type, stored.metadata), MESSAGES["completed"]
    check(documented["payload"], json.loads(made.message))
    check(documented["headers"], made.attributes)
    return made


def completed(received: str, inference_id: str, location: str, **request: str) -> dict[str, Any]:
    return {
        "awsRegion": "us-east-1",
        "eventTime": EVENT_TIME,
        "receivedTime": received,
        "invocationStatus": "Completed",
        "requestParameters": request,
        "responseParameters": {"contentType": "text/plain", "outputLocation": f"s3://results/{location}"},
        "inferenceId": inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def failed(reason: str, inference_id: str, location: str, received: str = EVENT_TIME, **request: str) -> dict[str, Any]:
    return {
        "awsRegion": "us-east-1",
        "eventTime": EVENT_TIME,
        "receivedTime": received,
        "invocationStatus": "Failed",
        "failureReason": reason,
        "requestParameters": request,
        "responseParameters": {"failureLocation": f"s3://results/{location}"},
        "inferenceId": inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_a_dropped_file() -> None:
    world = World()
    event = world.inputs.drop(
        "invoke/digits/sieben ü.csv", metadata={"accept": "text/plain", "trace-id": "t-7", "inference-id": "i-7"}
    )
    world.deliver(event, age=timedelta(seconds=1.5))
    made = notification(world.results, "invoke/digits/sieben ü.csv.out")
    assert json.loads(made.message) == completed(
        "2026-11-24T11:59:58.500Z",
        "i-7",
        "invoke/digits/sieben ü.csv.out",
        accept="text/plain",
        contentType="text/csv",
        endpointName="digits",
        inputLocation="s3://input/invoke/digits/sieben ü.csv",
    )
    assert list(json.loads(made.message)) == list(completed("", "", "")), "in the order of theirs, too"
    assert made.attributes == {"InvocationStatus": "Completed", "EndpointName": "digits", "TraceId": "t-7"}


def test_an_object_of_another_bucket() -> None:
    world = World()
    world.deliver(world.inputs.drop("a/b.csv", bucket="lake"))
    made = json.loads(notification(world.results, "buckets/lake/a/b.csv.out").message)
    assert made["requestParameters"]["inputLocation"] == "s3://lake/a/b.csv"


def test_a_message_with_its_body_has_no_input_location() -> None:
    world = World()
    world.deliver({"Body": [1, 2], "InferenceId": "order 7", "Accept": "text/plain"})
    made = notification(world.results, "messages/order%207.out")
    assert json.loads(made.message) == completed(
        EVENT_TIME,
        "order 7",
        "messages/order%207.out",
        accept="text/plain",
        contentType="application/json",
        endpointName="wine",
    )


def test_a_message_with_an_input_location() -> None:
    world = World()
    world.inputs.drop("a ü.csv", bucket="lake")
    world.deliver({"InputLocation": "s3://lake/a ü.csv"})
    made = json.loads(notification(world.results, f"messages/{MESSAGE_ID}.out").message)
    assert made["requestParameters"]["inputLocation"] == "s3://lake/a ü.csv"
    assert made["inferenceId"] == MESSAGE_ID


def test_a_location_too_long_for_the_metadata_is_omitted() -> None:
    world = World()
    world.inputs.drop("ü" * 500, bucket="lake")
    world.deliver({"InputLocation": "s3://lake/" + "ü" * 500})
    made = json.loads(notification(world.results, f"messages/{MESSAGE_ID}.out").message)
    assert made["requestParameters"] == {"endpointName": "wine"}


def test_an_error_of_the_model() -> None:
    world = World()
    error = service_error(Operation.INVOKE, "ModelError", "Received client error (400)", original_status_code=400)
    world.endpoint.answer = lambda call: error
    world.deliver(world.inputs.drop("invoke/digits/7.csv", metadata={"trace-id": "t-7"}), age=timedelta(seconds=1))
    made = notification(world.results, "invoke/digits/7.csv.err")
    assert json.loads(made.message) == failed(
        "ModelError: Received client error (400)",
        "t-7",
        "invoke/digits/7.csv.err",
        "2026-11-24T11:59:59.000Z",
        endpointName="digits",
        inputLocation="s3://input/invoke/digits/7.csv",
    )
    assert made.attributes == {
        "InvocationStatus": "Failed",
        "EndpointName": "digits",
        "TraceId": "t-7",
        "ErrorCode": "ModelError",
    }


def test_an_expired_message() -> None:
    world = World()
    world.inputs.drop("a.csv", bucket="lake")
    late = {"InputLocation": "s3://lake/a.csv", "RequestTTLSeconds": 60, "EndpointName": "digits", "InferenceId": "i"}
    world.deliver(late, age=timedelta(minutes=2))
    assert json.loads(notification(world.results, "messages/i.err").message) == failed(
        "Expired: RequestTTLSeconds: 60 s have passed since the message was sent; it is not invoked any more",
        "i",
        "messages/i.err",
        "2026-11-24T11:58:00.000Z",
        endpointName="digits",
        inputLocation="s3://lake/a.csv",
    )


def test_a_request_that_crashed_the_function() -> None:
    world = World()
    one = delivery({"Body": "x", "InferenceId": "i"})
    world.processor.dead_letter_crashed(world.processor.parse(one))
    made = notification(world.results, "messages/i.err")
    assert json.loads(made.message)["failureReason"].startswith(
        "Crashed: the function crashed, reached its timeout or ran out of memory"
    )
    assert made.attributes["ErrorCode"] == "Crashed"


def test_an_invalid_message() -> None:
    world = World()
    world.deliver("{")
    made = notification(world.results, f"messages/{MESSAGE_ID}.err")
    assert json.loads(made.message)["requestParameters"] == {}
    assert made.attributes == {"InvocationStatus": "Failed", "TraceId": MESSAGE_ID, "ErrorCode": "InvalidMessage"}


def test_a_transformed_file_and_one_that_failed() -> None:
    world = Transforms()
    how: Any = {"metadata": {"trace-id": "t-7", "accept": "text/csv"}, "content_type": "text/csv"}
    world.drop("transform/wine/rows.csv", b"1\n2\n", **how)
    world.drop("transform/wine/bad.csv", b'1,"\n2\n', **how)
    world.drop("transform/wine/empty.csv", b"", **how)
    world.run()
    made = json.loads(notification(world.results, "transform/wine/rows.csv.out").message)
    assert made["requestParameters"] == {
        "accept": "text/csv",
        "contentType": "text/csv",
        "endpointName": "wine",
        "inputLocation": "s3://input/transform/wine/rows.csv",
    }
    assert (made["inferenceId"], made["receivedTime"]) == ("t-7", EVENT_TIME)
    made = json.loads(notification(world.results, "transform/wine/bad.csv.err").message)
    assert made["failureReason"].startswith("InvalidMessage: file: line 1: ")
    assert made["requestParameters"]["inputLocation"] == "s3://input/transform/wine/bad.csv"
    assert made["inferenceId"] == "t-7", "the file's, not a part's"
    made = json.loads(notification(world.results, "transform/wine/empty.csv.out").message)
    assert made["requestParameters"] == {
        "endpointName": "wine",
        "inputLocation": "s3://input/transform/wine/empty.csv",
    }


def test_the_docs_show_these_fields() -> None:
    text = (Path(__file__).parents[2] / "docs/events.md").read_text()
    samples = [json.loads(sample) for sample in re.findall(r"```json\n(.*?)```", text, re.DOTALL)][1:]
    assert [list(sample) for sample in samples] == [list(completed("", "", "")), list(failed("", "", ""))]


@given(st.text(), st.text(), st.text())
def test_sns_accepts_any_failure(code: str, message: str, source: str) -> None:
    said = {"ErrorCode": code, "ErrorMessage": message * 2000, "Source": source, "TraceId": "t"}
    made = of_failure(record("messages/i.err"), "input", json.dumps(said).encode())
    assert made.message.isascii()
    assert json.loads(made.message)["failureReason"].encode()
    assert len(made.message) < 256 * 1024
    assert all(value for value in made.attributes.values())


@pytest.mark.parametrize("document", [b"[]", b"{", b'"x"'])
def test_an_err_with_unknown_content(document: bytes) -> None:
    with pytest.raises(Failure, match=r"messages/i\.err"):
        of_failure(record("messages/i.err"), "input", document)


def test_a_result_without_our_metadata() -> None:
    made = json.loads(of_result(record("messages/i.out"), "input", None, {}).message)
    assert made["inferenceId"] == "messages/i"
    assert made["receivedTime"] == EVENT_TIME


class _Versions(FakeBucket):
    """A `Bucket` and `Topics`, and what was asked of them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str | None]] = []
        self.published: list[str] = []

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectHead | None:
        self.asked.append((key, version_id))
        return None if version_id == "gone" else ObjectHead(1, "e", version_id, "text/plain")

    async def get(self, key: str, *, version_id: str | None = None, max_bytes: int | None = None) -> StoredObject:
        self.asked.append((key, version_id))
        if version_id == "gone":
            raise service_error(Operation.READ_RESULT, "NoSuchVersion", status=404)
        return StoredObject(2, "e", version_id, body=b"{}")

    async def publish(self, topic_arn: str, message: str, attributes: Mapping[str, str]) -> None:
        self.published.append(topic_arn)


SETTINGS = NotifySettings(
    input_bucket="input", results_bucket="results", success_topic_arn="success", error_topic_arn="error"
)


@pytest.mark.parametrize(("key", "topic"), [("messages/i.out", "success"), ("messages/i.err", "error")])
def test_it_reads_the_version_of_the_event(key: str, topic: str) -> None:
    versions = _Versions()
    assert run(Notifier(SETTINGS, versions, versions).notify(record(key, "v1")))
    assert versions.asked == [(key, "v1")]
    assert versions.published == [topic]


@pytest.mark.parametrize("key", ["messages/i.out", "messages/i.err"])
def test_a_deleted_object_or_one_without_a_topic_is_not_published(key: str) -> None:
    versions = _Versions()
    assert run(Notifier(SETTINGS, versions, versions).notify(record(key, "gone"))) is None
    without = NotifySettings(input_bucket="input", results_bucket="results")
    assert run(Notifier(without, versions, versions).notify(record(key, "v1"))) is None
    assert versions.published == []


def test_s3s_test_event_is_ignored_and_other_input_rejected() -> None:
    assert created_records('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "results"}') == []
    for body in ("{}", "[]", "{", '{"Records": []}'):
        with pytest.raises(Failure):
            created_records(body)
