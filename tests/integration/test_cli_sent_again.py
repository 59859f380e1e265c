"""A failed request that is sent again is pending until it is answered or fails again, and nothing else is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli.lookup.failures import SENT_AGAIN, ErrorKey, Failures
from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestState, RequestStatus
from cli.lookup.targets import sent_message
from sluice.ports import ObjectHead
from sluice.processing.result import MESSAGE_ID, owner_of
from tests.support.cli import FakeDeployment, denied, fake_deployment
from tests.support.cli_outcomes import answer, drop, fail, find
from tests.support.racing import Racing

NAME = "messages/a"
ERR = ErrorKey(f"{NAME}.err", "a")


@pytest.fixture(params=[True, False], ids=["versioned", "unversioned"])
def deployment(request: pytest.FixtureRequest) -> Iterator[FakeDeployment]:
    with fake_deployment() as made:
        if request.param:
            made.s3.put_bucket_versioning(Bucket="results", VersioningConfiguration={"Status": "Enabled"})
        yield made


def send_again(deployment: FakeDeployment, error: ErrorKey = ERR, s3: Any = None) -> Failures:
    """Send a request again as the commands do, with the client `s3`."""
    failures = Failures(s3 or deployment.s3, "results")
    failure = failures.own(error)
    with failures.sent_again([[failure] if failure else []]):
        pass
    return failures


def stored(deployment: FakeDeployment) -> tuple[bytes, ObjectHead]:
    found = deployment.s3.get_object(Bucket="results", Key=ERR.key)
    head = ObjectHead(found["ContentLength"], found["ETag"], found.get("VersionId"), metadata=found["Metadata"])
    return found["Body"].read(), head


def test_until_it_is_answered(deployment: FakeDeployment) -> None:
    fail(deployment, NAME, "a")
    assert find(deployment, "a").state is RequestState.FAILED
    before = datetime.now(UTC).replace(microsecond=0)
    send_again(deployment)
    status = find(deployment, "a")
    assert status.state is RequestState.PENDING
    assert before <= status.details["SentAgainAt"] <= datetime.now(UTC)
    assert (status.details["TraceId"], status.reason) == ("a", "it failed, was sent again, and is not answered yet")
    answer(deployment, NAME, "a")
    assert find(deployment, "a").state is RequestState.DONE, "also while its .err is there"


def test_until_it_fails_again(deployment: FakeDeployment) -> None:
    fail(deployment, NAME, "a")
    send_again(deployment)
    fail(deployment, NAME, "a", message_id="second", ErrorMessage="again")
    status = find(deployment, "a")
    assert (status.state, status.reason) == (RequestState.FAILED, "ModelError: again")
    send_again(deployment)
    assert find(deployment, "a").state is RequestState.PENDING


def test_the_functions_find_the_same_err(deployment: FakeDeployment) -> None:
    """Content, ETag, version and metadata are those that the function wrote, so its conditions hold."""
    fail(deployment, NAME, "a")
    before = stored(deployment)
    send_again(deployment)
    assert stored(deployment) == before
    assert (owner_of(before[1]), before[1].metadata[MESSAGE_ID]) == ("a", "first")


def test_a_failure_that_is_stored_while_the_earlier_one_is_tagged_is_a_failure(deployment: FakeDeployment) -> None:
    for call in range(1, 10):
        fail(deployment, NAME, "a")
        racing = Racing(deployment.s3, call, lambda: fail(deployment, NAME, "a", message_id="second"))
        send_again(deployment, s3=racing)
        if len(racing.calls) < call:
            break
        is_seen = call < 3  # then it is the failure of which the request is sent again
        assert find(deployment, "a").state is (RequestState.PENDING if is_seen else RequestState.FAILED), call
    assert call == 4, "the tags and the content are read, then the tags are written"


def test_an_err_that_goes_while_it_is_tagged_is_no_error(deployment: FakeDeployment) -> None:
    def succeed() -> None:
        answer(deployment, NAME, "a")
        deployment.s3.delete_object(Bucket="results", Key=ERR.key)

    for call in (1, 2, 3):
        fail(deployment, NAME, "a")
        deployment.s3.delete_object(Bucket="results", Key=f"{NAME}.out")
        send_again(deployment, s3=Racing(deployment.s3, call, succeed))
        assert find(deployment, "a").state is RequestState.DONE
        page = deployment.s3.list_objects_v2(Bucket="results")
        assert [one["Key"] for one in page["Contents"]] == [f"{NAME}.out"], "the .err did not come back"


def test_the_err_of_another_request_is_not_touched(deployment: FakeDeployment) -> None:
    fail(deployment, NAME, "newer")
    send_again(deployment, ErrorKey(ERR.key, "older"))
    assert deployment.s3.get_object_tagging(Bucket="results", Key=ERR.key)["TagSet"] == []


def test_what_aws_rejects_is_failed_as_before(deployment: FakeDeployment) -> None:
    for name in ("a", "b"):
        fail(deployment, f"messages/{name}", name)
    failures = Failures(deployment.s3, "results")
    both = [[one] for name in ("a", "b") if (one := failures.own(ErrorKey(f"messages/{name}.err", name)))]
    with failures.sent_again(both) as rejected:
        assert find(deployment, "a").state is RequestState.PENDING, "before it is sent"
        rejected.add(0)
    assert [find(deployment, name).state for name in ("a", "b")] == [RequestState.FAILED, RequestState.PENDING]
    with pytest.raises(ClientError), failures.sent_again(both):
        raise denied("SendMessage")
    assert find(deployment, "b").state is RequestState.FAILED


def test_other_tags_stay(deployment: FakeDeployment) -> None:
    fail(deployment, NAME, "a")
    team: Any = {"TagSet": [{"Key": "Team", "Value": "blue"}]}
    deployment.s3.put_object_tagging(Bucket="results", Key=ERR.key, Tagging=team)
    send_again(deployment)
    send_again(deployment)
    tags = deployment.s3.get_object_tagging(Bucket="results", Key=ERR.key)["TagSet"]
    assert {tag["Key"] for tag in tags} == {"Team", SENT_AGAIN}


@pytest.mark.parametrize("operation", ["get_object_tagging", "put_object_tagging"])
def test_without_the_permission_to_tag_it_is_sent_and_looks_failed(deployment: FakeDeployment, operation: str) -> None:
    fail(deployment, NAME, "a")
    refusing = Racing(deployment.s3, errors={operation: denied("tagging")})
    refused = send_again(deployment, s3=refusing)
    assert refused.tags_are_fixed
    if failure := refused.own(ERR):
        with refused.sent_again([[failure]] * 20):
            pass
    assert refusing.calls.count(operation) == 1
    deployment.__dict__["s3"] = refusing
    status = find(deployment, "a")
    assert status.state is RequestState.FAILED
    assert ("GetObjectTagging" in str(status.details["Detail"])) is (operation == "get_object_tagging")


def test_without_the_permission_to_read_results_sending_is_silent(deployment: FakeDeployment) -> None:
    errors: dict[str, Exception] = {name: denied(name) for name in ("get_object_tagging", "get_object")}
    unread = send_again(deployment, s3=Racing(deployment.s3, errors=errors))
    assert (unread.are_hidden, unread.tags_are_fixed) == (True, False)


def test_the_logs_of_the_message_that_is_sent_again_count_and_those_of_the_failed_one_do_not(
    deployment: FakeDeployment,
) -> None:
    fail(deployment, NAME, "a")
    at = datetime.now(UTC)

    def log(status: str, message_id: str, seconds: int) -> None:
        line = {"result": NAME, "inference_id": "a", "trace_id": "a", "message_id": message_id, "error_code": "E"}
        deployment.fake_logs.line(status, at + timedelta(seconds=seconds), **line)

    log("retry", "first", 0)
    log("dead-lettered", "first", 1)
    assert find(deployment, "a").state is RequestState.FAILED
    send_again(deployment)
    assert find(deployment, "a").state is RequestState.PENDING
    log("retry", "second", 2)
    assert find(deployment, "a").state is RequestState.RETRYING
    assert find(deployment, NAME).state is RequestState.RETRYING
    log("dead-lettered", "second", 3)
    assert find(deployment, "a").state is RequestState.FAILED, "although its .err could not be stored"


def test_an_object_that_is_sent_again(deployment: FakeDeployment) -> None:
    identity, _ = drop(deployment, "invoke/a")
    fail(deployment, "invoke/a", identity)
    send_again(deployment, ErrorKey("invoke/a.err", identity))
    assert find(deployment, "invoke/a").state is RequestState.PENDING
    drop(deployment, "invoke/a")
    status = find(deployment, "invoke/a")
    assert (status.state, "SentAgainAt" in status.details) == (RequestState.PENDING, False), "it is a new request"


# A message that a sender knows by its ID.


def find_sent(deployment: FakeDeployment, message_id: str) -> RequestStatus:
    (status,) = RequestLookup(deployment).find(sent_message(NAME, "a").of_message(message_id))
    return status


def test_the_failure_of_another_message_is_not_that_of_the_message_that_was_sent(deployment: FakeDeployment) -> None:
    fail(deployment, NAME, "a", message_id="first")
    assert find_sent(deployment, "first").state is RequestState.FAILED
    assert find_sent(deployment, "second").state is RequestState.PENDING
    fail(deployment, NAME, "a", message_id="second")
    assert find_sent(deployment, "second").state is RequestState.FAILED
    answer(deployment, NAME, "a")
    assert find_sent(deployment, "third").state is RequestState.DONE


@pytest.mark.parametrize("by_id", [True, False])
def test_the_logs_tell_how_a_message_ended_whose_err_another_has_replaced(
    deployment: FakeDeployment, *, by_id: bool
) -> None:
    line = {"result": NAME, "inference_id": "a", "trace_id": "a", "message_id": "second", "error_code": "E"}

    def look_up() -> RequestStatus:
        return find(deployment, "second") if by_id else find_sent(deployment, "second")

    fail(deployment, NAME, "a", message_id="first")
    deployment.fake_logs.line("retry", datetime.now(UTC), **line)
    assert look_up().state is RequestState.RETRYING
    deployment.fake_logs.line("dead-lettered", datetime.now(UTC), **line)
    fail(deployment, NAME, "a", message_id="third")
    status = look_up()
    assert (status.state, status.details["ErrorCode"]) == (RequestState.FAILED, "E")
    assert "another message" in status.details["Detail"]
