"""The status of a request, from the results bucket, the logs, the input bucket and the queue, in this order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestState
from sluice.failures import Failure
from sluice.inputs.identity import key_of_version
from sluice.keys import message_name, parts_folder
from tests.support.cli import SPLIT_LOGS, FakeDeployment, fake_deployment
from tests.support.cli_outcomes import answer, drop, fail, find

LATER = timedelta(seconds=30)


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with fake_deployment() as made:
        yield made


def test_by_inference_id(deployment: FakeDeployment) -> None:
    answer(deployment, "messages/a%20b", "a b", described={"model-latency-ms": "51", "custom-attributes": "%C3%BC"})
    status = find(deployment, "a b")
    assert (status.state, status.name) == (RequestState.DONE, "messages/a%20b")
    assert status.details["Result"] == "s3://results/messages/a%20b.out"
    assert status.details["ModelLatencyMs"] == 51
    assert deployment.fake_logs.asked == [], "the results bucket was enough"


@pytest.mark.parametrize("text", ["invoke/a/ü.csv", "s3://input/invoke/a/ü.csv", "s3://results/invoke/a/ü.csv.out"])
def test_by_key(deployment: FakeDeployment, text: str) -> None:
    identity, _ = drop(deployment, "invoke/a/ü.csv")
    answer(deployment, "invoke/a/ü.csv", identity)
    assert find(deployment, text).state is RequestState.DONE


def test_an_object_of_another_bucket(deployment: FakeDeployment) -> None:
    identity, _ = drop(deployment, "a.csv", "lake")
    answer(deployment, "buckets/lake/a.csv", identity)
    assert find(deployment, "s3://lake/a.csv").state is RequestState.DONE
    assert find(deployment, "buckets/lake/a.csv").state is RequestState.DONE


@pytest.mark.parametrize("text", ["s3://input/invoke/a\nb", "invoke/" + "a" * 1100, "invoke/../" + "a" * 60])
def test_a_key_that_can_have_no_result_is_refused(deployment: FakeDeployment, text: str) -> None:
    with pytest.raises(Failure, match="key: "):
        find(deployment, text)


@pytest.mark.parametrize("text", ["invoke/../a", "s3://input/elsewhere/a", "/invoke/a"])
def test_a_text_that_can_be_no_key_may_be_an_id(deployment: FakeDeployment, text: str) -> None:
    status = find(deployment, text)
    assert status.state is RequestState.UNKNOWN
    assert text == "/invoke/a" or str(status.reason).startswith("key: "), "why it is no key"
    answer(deployment, message_name(text), text)
    assert find(deployment, text).state is RequestState.DONE


@pytest.mark.parametrize(
    ("failure_class", "state"), [("model", RequestState.FAILED), ("expired", RequestState.EXPIRED)]
)
def test_a_failure_has_its_reason(deployment: FakeDeployment, failure_class: str, state: RequestState) -> None:
    fail(deployment, "messages/a", "a", FailureClass=failure_class, MessageAttributes={})
    status = find(deployment, "a")
    assert status.state is state
    assert status.reason == "ModelError: it failed"
    assert "MessageAttributes" not in status.document()


def test_the_result_of_an_older_upload_is_not_that_of_a_newer_one(deployment: FakeDeployment) -> None:
    old, _ = drop(deployment, "invoke/a")
    answer(deployment, "invoke/a", old)
    new, uploaded = drop(deployment, "invoke/a")
    deployment.fake_logs.line("retry", uploaded - LATER, result="invoke/a", trace_id=old, error_code="Old")
    assert find(deployment, "invoke/a").state is RequestState.PENDING
    deployment.fake_logs.line("retry", uploaded + LATER, result="invoke/a", trace_id=new, error_code="New")
    status = find(deployment, "invoke/a")
    assert (status.state, status.details["Attempts"], status.details["ErrorCode"]) == (RequestState.RETRYING, 1, "New")
    fail(deployment, "invoke/a", new)
    assert find(deployment, "invoke/a").state is RequestState.FAILED, (
        "although the answer to the older upload is still stored"
    )


def test_by_trace_id_through_the_logs(deployment: FakeDeployment) -> None:
    identity, uploaded = drop(deployment, "invoke/a")
    answer(deployment, "invoke/a", identity)
    deployment.fake_logs.line("succeeded", uploaded + LATER, result="invoke/a", trace_id=identity)
    deployment.fake_logs.line("succeeded", uploaded + LATER, result="invoke/b", trace_id="another")
    status = find(deployment, identity)
    assert (status.state, status.name) == (RequestState.DONE, "invoke/a")
    assert f'($.trace_id = "{identity}")' in deployment.fake_logs.asked[0]["filterPattern"]


def test_by_message_id_through_the_logs(deployment: FakeDeployment) -> None:
    fail(deployment, "messages/order-7", "order-7")
    deployment.fake_logs.line(
        "dead-lettered", datetime.now(UTC), result="messages/order-7", trace_id="order-7", message_id="sqs-id"
    )
    assert find(deployment, "sqs-id").name == "messages/order-7"


def test_a_trace_id_of_several_requests_finds_each(deployment: FakeDeployment) -> None:
    for name in ("a", "b"):
        line = {"result": f"messages/{name}", "inference_id": name, "trace_id": "shared"}
        deployment.fake_logs.line("retry", datetime.now(UTC), **line)
    fail(deployment, "messages/b", "b", TraceId="shared")
    lookup = RequestLookup(deployment)
    found = {one.name: one.state for one in lookup.find(lookup.query("shared"))}
    assert found == {"messages/a": RequestState.RETRYING, "messages/b": RequestState.FAILED}


def test_a_trace_id_of_a_request_that_a_newer_upload_has_replaced(deployment: FakeDeployment) -> None:
    old, uploaded = drop(deployment, "invoke/a")
    new, _ = drop(deployment, "invoke/a")
    deployment.fake_logs.line("succeeded", uploaded, result="invoke/a", trace_id=old)
    answer(deployment, "invoke/a", new)
    assert find(deployment, old).state is RequestState.SUPERSEDED
    deployment.fake_logs.line("superseded", uploaded + LATER, result="invoke/a", trace_id=old, detail="replaced")
    status = find(deployment, old)
    assert (status.state, status.reason) == (RequestState.SUPERSEDED, "replaced")


@pytest.mark.parametrize("name", ["invoke/a", "transform/a"])
def test_a_late_line_of_an_older_upload_says_nothing_of_the_newest(deployment: FakeDeployment, name: str) -> None:
    new, uploaded = drop(deployment, name)
    deployment.fake_logs.line(
        "superseded", uploaded + LATER, result=name, trace_id="old", owner="old", detail="replaced"
    )
    status = find(deployment, name)
    assert status.state is RequestState.PENDING
    deployment.fake_logs.line("retry", uploaded - LATER, result=name, trace_id=new, owner=new, error_code="Throttling")
    status = find(deployment, name)
    assert status.state is RequestState.RETRYING, "whatever the clocks of the functions and of S3 say"


def test_parts_of_a_file_whose_key_continues_that_of_another_are_its_own(deployment: FakeDeployment) -> None:
    _, uploaded = drop(deployment, "transform/a")
    part = parts_folder("transform/a/b", "version") + "000000000000000-000000000000009"
    deployment.fake_logs.line("dead-lettered", uploaded + LATER, result=part, trace_id="b", error_code="ModelError")
    status = find(deployment, "transform/a")
    assert status.state is RequestState.PENDING


def test_a_retried_request_has_attempts_reason_and_next_try(deployment: FakeDeployment) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    for number in range(3):
        deployment.fake_logs.line(
            "retry",
            at + number * LATER,
            result="messages/a",
            inference_id="a",
            error_code="ThrottlingException",
            error_message="slow down",
            retry_after_seconds=40,
        )
    document = find(deployment, "a").document()
    assert (document["State"], document["Attempts"]) == ("retrying", 3)
    assert document["ErrorCode"] == "ThrottlingException"
    assert document["NextTry"] == at + 2 * LATER + timedelta(seconds=40)


def test_dead_lettered_although_its_err_could_not_be_stored(deployment: FakeDeployment) -> None:
    deployment.fake_logs.line(
        "dead-lettered", datetime.now(UTC), result="messages/a", inference_id="a", error_code="SlowDown"
    )
    assert find(deployment, "a").state is RequestState.FAILED


def test_an_answer_that_was_deleted_is_gone(deployment: FakeDeployment) -> None:
    deployment.fake_logs.line("succeeded", datetime.now(UTC), result="messages/a", inference_id="a")
    assert find(deployment, "a").state is RequestState.GONE


def test_a_file_is_pending_with_its_progress_until_it_is_assembled(deployment: FakeDeployment) -> None:
    key = "transform/a.csv"
    deployment.s3.put_object(Bucket="input", Key=key, Body=b"x" * 100)
    found = deployment.s3.head_object(Bucket="input", Key=key)
    identity = key_of_version("input", key, found["VersionId"])
    folder = parts_folder(key, identity)
    at = found["LastModified"] + LATER
    deployment.fake_logs.line("succeeded", at, group=SPLIT_LOGS, result=key, trace_id=identity, detail="2 parts")
    assert find(deployment, key).document()["BytesDone"] == 0
    part = f"{folder}{0:015d}-{60:015d}"
    deployment.s3.put_object(Bucket="results", Key=f"{part}.out", Body=b"")
    deployment.fake_logs.line("succeeded", at + LATER, result=part, trace_id=identity)
    for text in (key, identity):
        status = find(deployment, text)
        assert (status.state, status.name) == (RequestState.PENDING, key)
        assert (status.details["PartsDone"], status.details["BytesDone"], status.details["BytesTotal"]) == (1, 60, 100)
    other = f"{folder}{60:015d}-{100:015d}"
    deployment.fake_logs.line("retry", at + 2 * LATER, result=other, trace_id=identity, error_code="Throttled")
    assert find(deployment, key).state is RequestState.RETRYING
    answer(deployment, key, identity, described={"records": "10", "failed": "1"})
    answered = find(deployment, key)
    assert answered.details["RecordsFailed"] == 1
    assert answered.reason == f"1 of 10 records failed; see {key}.errors.jsonl"


def test_the_progress_of_a_gzip_file_is_that_of_its_content(deployment: FakeDeployment) -> None:
    key = "transform/a.csv.gz"
    identity, _ = drop(deployment, key)
    assert find(deployment, key).details["BytesTotal"] is None
    folder = parts_folder(key, identity)
    deployment.s3.put_object(Bucket="results", Key=f"{folder}unpacked", Body=b"x" * 1000)
    assert find(deployment, key).details["BytesTotal"] == 1000


def test_a_request_without_a_trace_is_pending_while_the_queue_has_messages(deployment: FakeDeployment) -> None:
    assert find(deployment, "never-sent").state is RequestState.UNKNOWN
    assert find(deployment, "invoke/never-dropped").state is RequestState.UNKNOWN
    deployment.sqs.send_message(QueueUrl=deployment.request_queue_url, MessageBody="{}")
    status = find(deployment, "sent")
    assert status.state is RequestState.PENDING
    assert "among the 1 messages" in str(status.reason)


def test_the_status_says_that_the_logs_could_not_be_read(deployment: FakeDeployment) -> None:
    deployment.fake_logs.is_denied = True
    assert "logs:FilterLogEvents is not allowed" in str(find(deployment, "a").reason)
    drop(deployment, "invoke/a")
    assert find(deployment, "invoke/a").state is RequestState.PENDING
