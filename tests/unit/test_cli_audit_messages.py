"""`sluice audit`: each request in the logs has one outcome."""

from collections.abc import Iterator

import pytest

from cli.audit.report import Check
from sluice.inputs.identity import key_of_version
from tests.support.cli import FakeDeployment
from tests.support.cli_audit import HOUR, ago, audit, audited_deployment, clean, fail, one, queue, store, unknown


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with audited_deployment() as made:
        yield made


@pytest.mark.parametrize(
    ("status", "name", "says"),
    [
        ("succeeded", "messages/a", "there is neither a result nor a failure"),
        ("duplicate", "files/f/a", "there is neither a result nor a failure"),
        ("dead-lettered", "messages/a", "but there is no .err"),
        ("dead-lettered", "files/a", "but there is no .err"),
        ("retry", "messages/f/a", "no message of it is on a queue"),
        ("succeeded", "invoke/gone", "there is neither a result nor a failure"),
    ],
)
def test_a_logged_request_without_its_outcome(deployment: FakeDeployment, status: str, name: str, says: str) -> None:
    store(deployment, "files/a.out", "another")
    deployment.fake_logs.line(status, ago(HOUR), result=name, message_id="a")
    violation = one(deployment)
    assert violation.check is Check.MESSAGES
    assert violation.key.startswith(f"s3://results/{name}.")
    assert says in violation.problem


def test_a_deleted_result_of_a_message(deployment: FakeDeployment) -> None:
    clean(deployment)
    deployment.s3.delete_object(Bucket="results", Key="messages/50%25%20off.out")
    violation = one(deployment)
    assert violation.key == "s3://results/messages/50%25%20off.out"
    assert violation.problem.endswith("but its result was deleted")


def test_another_key_that_was_deleted_is_not_the_result(deployment: FakeDeployment) -> None:
    store(deployment, "messages/a.out.b.out", "a.out.b")
    deployment.s3.delete_object(Bucket="results", Key="messages/a.out.b.out")
    deployment.fake_logs.line("succeeded", ago(HOUR), result="messages/a", message_id="a")
    assert "neither a result nor a failure" in one(deployment).problem


def test_a_message_that_is_retried(deployment: FakeDeployment) -> None:
    deployment.fake_logs.line("retry", ago(HOUR), result="messages/a", message_id="a")
    queue(deployment)
    report, found = audit(deployment)
    assert found == []
    assert unknown(report, Check.MESSAGES)[0].example == "s3://results/messages/a.out"
    report, found = audit(deployment, grace=2 * HOUR)
    assert (report.pending[Check.MESSAGES], found) == (1, [])


def test_the_last_line_of_a_message_decides_whatever_the_order_of_the_groups(deployment: FakeDeployment) -> None:
    deployment.fake_logs.line("succeeded", ago(HOUR), result="messages/a", message_id="a")
    deployment.fake_logs.line("retry", ago(2 * HOUR), result="messages/a", message_id="a")
    assert "its log says succeeded" in one(deployment).problem


def test_a_request_that_was_superseded_has_no_outcome_of_its_own(deployment: FakeDeployment) -> None:
    deployment.fake_logs.line("superseded", ago(HOUR), result="invoke/gone")
    report, found = audit(deployment)
    assert (report.checked[Check.MESSAGES], found) == (1, [])


@pytest.mark.parametrize("name", ["messages/f/a", "invoke/gone"])
def test_both_outcomes_of_a_request_without_an_input(deployment: FakeDeployment, name: str) -> None:
    fail(deployment, name, "a", "a")
    store(deployment, f"{name}.out", "a")
    assert one(deployment).key == f"s3://results/{name}.err"
    report, found = audit(deployment, grace=HOUR)
    assert (report.pending[Check.MESSAGES], found) == (1, [])


def test_an_event_that_its_object_does_not_confirm_has_its_failure_under_the_spare_name(
    deployment: FakeDeployment,
) -> None:
    owner = key_of_version("input", "invoke/none", "v")
    store(deployment, f"messages/@{owner}.err", owner, **{"message-id": "m-9"})
    deployment.fake_logs.line("dead-lettered", ago(HOUR), result="invoke/none", message_id="m-9", owner=owner)
    report, found = audit(deployment)
    assert (report.checked[Check.MESSAGES], found) == (1, [])


def test_one_inference_id_with_several_filenames(deployment: FakeDeployment) -> None:
    fail(deployment, "messages/i@a", "i %E2%86%92 a", "m-1", result="files/a", inference_id="i")
    fail(deployment, "messages/i@b", "i %E2%86%92 b", "m-2", result="files/b", inference_id="i")
    assert audit(deployment)[1] == []
    deployment.s3.delete_object(Bucket="results", Key="messages/i@b.err")
    assert one(deployment).key == "s3://results/files/b.err"


def test_successes_that_are_not_logged(deployment: FakeDeployment) -> None:
    deployment.fake_logs.counts(ago(HOUR), Succeeded=5)
    report, _ = audit(deployment)
    assert any("log level leaves out the lines of successes" in one.reason for one in report.unknown)
