"""`sluice audit`: each violation is made and found, and a deployment without one has none."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from cli.audit.inputs import Upload, list_uploads
from cli.audit.logged import read_logs
from cli.audit.report import Check, Report, Unknown, Violation
from cli.audit.run import Options, run_audit
from cli.backfill.listing import list_outcomes
from cli.main import main
from cli.sqs import queue_depth
from sluice.inputs.identity import key_of_version
from sluice.keys import parts_folder
from tests.support.cli import FakeDeployment, denied, fake_deployment
from tests.support.events import s3_event

HOUR = timedelta(hours=1)


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with fake_deployment() as made:
        made.s3.put_bucket_versioning(Bucket="results", VersioningConfiguration={"Status": "Enabled"})
        rule: Any = {
            "ID": "parts",
            "Status": "Enabled",
            "Filter": {"Prefix": "parts/"},
            "Expiration": {"Days": 7},
        }
        made.s3.put_bucket_lifecycle_configuration(Bucket="results", LifecycleConfiguration={"Rules": [rule]})
        yield made


def audit(
    deployment: FakeDeployment, *, prefix: str = "", grace: timedelta = timedelta(0), every_owner: bool = False
) -> tuple[Report, list[Violation]]:
    """Without a grace period, what a test has just made is old enough."""
    found: list[Violation] = []
    report = Report(found.append)
    run_audit(deployment, Options(prefix, timedelta(days=3), grace, every_owner), report, lambda _: None)
    assert sum(report.violated.values()) == len(found)
    return report, found


def one(deployment: FakeDeployment, **options: Any) -> Violation:
    (violation,) = audit(deployment, **options)[1]
    return violation


def unknown(report: Report, check: Check) -> list[Unknown]:
    return [one for one in report.unknown if one.check is check and one.count]


def ago(time: timedelta) -> datetime:
    return datetime.now(UTC) - time


def drop(deployment: FakeDeployment, key: str, bucket: str = "input") -> str:
    """Upload an object, and return the identity of its request."""
    version = deployment.s3.put_object(Bucket=bucket, Key=key, Body=b"1,2").get("VersionId", "null")
    return key_of_version(bucket, key, version)


def store(deployment: FakeDeployment, key: str, owner: str | None, **metadata: str) -> None:
    owned = {} if owner is None else {"sluice-identity": owner}
    deployment.s3.put_object(Bucket="results", Key=key, Body=b"{}", Metadata=owned | metadata)


def fail(deployment: FakeDeployment, name: str, owner: str, message_id: str = "m-1", **logged: Any) -> None:
    """Store an `.err` and log its dead letter."""
    store(deployment, f"{name}.err", owner, **{"message-id": message_id})
    fields = {"result": name, "error_code": "ModelError", **logged}
    deployment.fake_logs.line("dead-lettered", ago(HOUR), message_id=message_id, **fields)


def queue(deployment: FakeDeployment) -> None:
    deployment.sqs.send_message(QueueUrl=deployment.request_queue_url, MessageBody="{}")


# The deployment without a violation


def clean(deployment: FakeDeployment) -> None:
    """An outcome of every kind."""
    store(deployment, "invoke/wine/a.csv.out", drop(deployment, "invoke/wine/a.csv"))
    old = drop(deployment, "invoke/b.csv")
    store(deployment, "invoke/b.csv.out", old)
    fail(deployment, "invoke/b.csv", drop(deployment, "invoke/b.csv"), "m-b")
    dataset = drop(deployment, "transform/c.csv")
    store(deployment, f"{parts_folder('transform/c.csv', dataset)}{0:015}-{3:015}.out", f"{dataset}/0-3")
    store(deployment, "transform/c.csv.summary.json", None)
    store(deployment, "transform/c.csv.errors.jsonl", dataset)
    store(deployment, "transform/c.csv.out", dataset)
    deployment.s3.put_object(Bucket="input", Key="invoke/folder/", Body=b"")
    store(deployment, "messages/50%25%20off.out", "50%25 off")
    deployment.fake_logs.line("succeeded", ago(HOUR), result="messages/50%25%20off", inference_id="50% off")
    store(deployment, "files/f/x.out", "m-x")
    deployment.fake_logs.line("succeeded", ago(HOUR), result="files/f/x", message_id="m-x")
    fail(deployment, "messages/f/m-y", "m-y", "m-y", result="files/f/x")
    store(deployment, "buckets/lake/d.csv.out", drop(deployment, "d.csv", "lake"))
    deployment.fake_logs.line("ignored", ago(HOUR), detail="s3:TestEvent")


def test_a_deployment_without_a_violation(deployment: FakeDeployment) -> None:
    clean(deployment)
    report, found = audit(deployment)
    assert found == []
    assert report.checked == {
        Check.INPUTS: 4,
        Check.MESSAGES: 3,
        Check.DEAD_LETTERS: 2,
        Check.OWNERS: 4,
        Check.PARTS: 1,
    }
    assert not report.pending.total()
    assert not [one for check in Check for one in unknown(report, check)]


def test_every_owner_is_read_on_request(deployment: FakeDeployment) -> None:
    clean(deployment)
    report, found = audit(deployment, every_owner=True)
    assert found == []
    assert report.checked[Check.OWNERS] == 7


def test_an_audit_changes_nothing_and_receives_no_message(deployment: FakeDeployment) -> None:
    clean(deployment)
    drop(deployment, "invoke/lost.csv")
    queue(deployment)
    calls: set[str] = set()
    for client in (deployment.s3, deployment.sqs):
        client.meta.events.register("before-call", lambda model, **_: calls.add(model.name), unique_id="audit")
    try:
        audit(deployment)
    finally:
        for client in (deployment.s3, deployment.sqs):
            client.meta.events.unregister("before-call", unique_id="audit")
    assert calls == {
        "HeadObject",
        "ListObjectsV2",
        "ListObjectVersions",
        "GetBucketLifecycleConfiguration",
        "GetQueueAttributes",
    }


def test_an_empty_deployment(deployment: FakeDeployment) -> None:
    report, found = audit(deployment)
    assert (report.checked.total(), found) == (0, [])


# Inputs


def test_an_object_without_an_outcome_is_lost(deployment: FakeDeployment) -> None:
    drop(deployment, "invoke/it's [1].csv")
    violation = one(deployment)
    assert (violation.check, violation.key) == (Check.INPUTS, "s3://input/invoke/it's [1].csv")
    assert "neither a result nor a failure" in violation.problem
    assert "have no event of it" in violation.problem
    assert violation.remedy == (
        "send it again: sluice backfill 's3://input/invoke/it'\"'\"'s [1].csv' --include 'invoke/it'\"'\"'s [[]1].csv'"
    )


def test_a_result_that_was_deleted(deployment: FakeDeployment) -> None:
    clean(deployment)
    deployment.s3.delete_object(Bucket="results", Key="invoke/wine/a.csv.out")
    assert "a result with its name was deleted" in one(deployment).problem


def test_the_newest_version_has_no_outcome_although_an_older_one_has(deployment: FakeDeployment) -> None:
    older = drop(deployment, "invoke/a")
    drop(deployment, "invoke/a")
    store(deployment, "invoke/a.out", older)
    violation = one(deployment)
    assert violation.check is Check.INPUTS
    # The result is younger than the object, so backfill would skip it.
    assert violation.remedy.endswith("--include invoke/a --force")


def test_the_newest_version_has_no_outcome_although_an_older_one_has_failed(deployment: FakeDeployment) -> None:
    fail(deployment, "invoke/a", drop(deployment, "invoke/a"))
    drop(deployment, "invoke/a")
    violation = one(deployment)
    assert violation.key == "s3://input/invoke/a"
    assert "have no event of it" in violation.problem, "the line is that of the older version"


def test_a_result_that_is_older_than_the_object_is_not_its_own(
    deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the listing shows only one version, because the one that was answered has been deleted."""
    store(deployment, "invoke/a.out", drop(deployment, "invoke/a"))

    def an_hour_ago(*arguments: Any) -> Iterator[tuple[str, datetime]]:
        return ((key, written - HOUR) for key, written in list_outcomes(*arguments))

    assert audit(deployment)[1] == []
    monkeypatch.setattr("cli.audit.context.list_outcomes", an_hour_ago)
    monkeypatch.setattr("cli.audit.judge._has_changed", lambda *_: False)
    assert one(deployment).check is Check.INPUTS


@pytest.mark.parametrize("change", ["answered", "replaced", "deleted"])
def test_what_changes_after_it_was_listed_is_no_violation(
    deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    owner = drop(deployment, "invoke/a")

    def listed_and_changed(*arguments: Any) -> Iterator[Upload]:
        yield from list(list_uploads(*arguments))
        if change == "answered":
            store(deployment, "invoke/a.out", owner)
        elif change == "replaced":
            drop(deployment, "invoke/a")
        else:
            deployment.s3.delete_object(Bucket="input", Key="invoke/a")

    def not_listed(*_: Any) -> Iterator[tuple[str, datetime]]:
        return iter(())

    monkeypatch.setattr("cli.audit.inputs.list_uploads", listed_and_changed)
    monkeypatch.setattr("cli.audit.context.list_outcomes", not_listed)
    report, found = audit(deployment)
    assert (report.checked[Check.INPUTS], found) == (1, [])


def test_the_result_of_a_version_that_was_deleted_beside_the_failure_of_the_newest(deployment: FakeDeployment) -> None:
    older = drop(deployment, "invoke/a")
    version = deployment.s3.head_object(Bucket="input", Key="invoke/a")["VersionId"]
    store(deployment, "invoke/a.out", older)
    fail(deployment, "invoke/a", drop(deployment, "invoke/a"))
    deployment.s3.delete_object(Bucket="input", Key="invoke/a", VersionId=version)
    assert audit(deployment)[1] == []


def test_both_outcomes(deployment: FakeDeployment) -> None:
    owner = drop(deployment, "invoke/a")
    fail(deployment, "invoke/a", owner)
    store(deployment, "invoke/a.out", owner)
    violation = one(deployment)
    assert violation.problem == "its newest version has a result, and there is a failure, too"
    assert "delete s3://results/invoke/a.err" in violation.remedy
    report, found = audit(deployment, grace=HOUR)
    assert (report.pending[Check.INPUTS], found) == (1, [])


def test_a_failure_of_an_older_version_beside_the_result_of_the_newest(deployment: FakeDeployment) -> None:
    fail(deployment, "invoke/a", drop(deployment, "invoke/a"))
    store(deployment, "invoke/a.out", drop(deployment, "invoke/a"))
    assert one(deployment).problem == "its newest version has a result, and there is a failure of another version, too"


def test_an_object_that_may_still_be_processed(deployment: FakeDeployment) -> None:
    drop(deployment, "invoke/a")
    report, found = audit(deployment, grace=HOUR)
    assert (report.pending[Check.INPUTS], found) == (1, [])
    queue(deployment)
    report, found = audit(deployment)
    assert found == []
    assert [(one.count, one.example) for one in unknown(report, Check.INPUTS)] == [(1, "s3://input/invoke/a")]


def test_an_object_that_is_retried(deployment: FakeDeployment) -> None:
    drop(deployment, "invoke/a")
    fields = {"result": "invoke/a", "error_code": "ThrottlingException"}
    deployment.fake_logs.line("retry", ago(HOUR), retry_after_seconds=7200, **fields)
    report, found = audit(deployment)
    assert (report.pending[Check.INPUTS], found) == (1, [])
    assert not report.checked[Check.MESSAGES], "it is checked with its object"


def test_a_dataset_whose_parts_are_processed(deployment: FakeDeployment) -> None:
    owner = drop(deployment, "transform/a.csv")
    deployment.fake_logs.line(
        "succeeded", ago(timedelta(0)), result=f"{parts_folder('transform/a.csv', owner)}{0:015}-{3:015}"
    )
    report, found = audit(deployment, grace=timedelta(minutes=1))
    assert (report.pending[Check.INPUTS], found) == (1, [])
    assert not report.checked[Check.MESSAGES], "the parts are checked with their dataset"


def test_the_split_of_a_dataset_is_not_its_outcome(deployment: FakeDeployment) -> None:
    deployment.fake_logs.line("succeeded", ago(HOUR), result="transform/gone", detail="3 parts")
    queue(deployment)
    report, found = audit(deployment)
    assert ([one.count for one in unknown(report, Check.MESSAGES)], found) == ([1], [])
    deployment.fake_logs.line("succeeded", ago(HOUR / 2), result="transform/gone")
    assert "its log says succeeded" in one(deployment).problem


def test_a_key_that_no_result_can_be_named_after(deployment: FakeDeployment) -> None:
    drop(deployment, "invoke/a\tb")
    report, found = audit(deployment)
    assert found == []
    assert unknown(report, Check.INPUTS)[0].example == "s3://input/invoke/a\tb"


def test_a_bucket_without_versions(deployment: FakeDeployment) -> None:
    deployment.s3.put_bucket_versioning(Bucket="input", VersioningConfiguration={"Status": "Suspended"})
    for key in ("invoke/a", "invoke/b", "invoke/c"):
        drop(deployment, key)
    etag = deployment.s3.head_object(Bucket="input", Key="invoke/a")["ETag"].strip('"')
    store(deployment, "invoke/a.out", "by its sequencer", **{"source-version": etag})
    store(deployment, "invoke/c.out", "by its sequencer", **{"source-version": "of another upload"})
    store(deployment, f"{parts_folder('transform/a', 'v')}{0:015}-{3:015}.out", "v/0-3")
    drop(deployment, "transform/a")
    store(deployment, "transform/a.out", "v")
    report, found = audit(deployment)
    assert {one.key for one in found} == {"s3://input/invoke/b", "s3://input/invoke/c"}
    assert [one.count for one in unknown(report, Check.INPUTS)] == [4]


def test_both_outcomes_in_a_bucket_without_versions(deployment: FakeDeployment) -> None:
    deployment.s3.put_bucket_versioning(Bucket="input", VersioningConfiguration={"Status": "Suspended"})
    drop(deployment, "invoke/a")
    fail(deployment, "invoke/a", "by its sequencer")
    store(deployment, "invoke/a.out", "by another sequencer")
    assert audit(deployment)[1] == []
    store(deployment, "invoke/a.out", "by its sequencer")
    assert one(deployment).problem == "its newest version has a result, and there is a failure, too"


def test_inputs_that_can_not_be_listed(deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    clean(deployment)
    monkeypatch.setattr(deployment.s3, "_make_api_call", _refusing(deployment, "ListObjectVersions"))
    report, found = audit(deployment)
    assert found == []
    assert {one.check for one in report.unknown if "not allowed on input" in one.reason} == {Check.INPUTS, Check.PARTS}
    assert report.checked[Check.INPUTS] == 1, "that of the other bucket"


def _refusing(deployment: FakeDeployment, operation: str) -> Any:
    call = deployment.s3._make_api_call  # type: ignore[attr-defined]  # botocore's one way for all calls

    def refusing(name: str, parameters: Any) -> Any:
        if name == operation:
            raise denied(operation)
        return call(name, parameters)

    return refusing


# Messages


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


def test_an_event_that_its_object_does_not_confirm_has_its_failure_under_its_message(
    deployment: FakeDeployment,
) -> None:
    store(deployment, "messages/m-9.err", key_of_version("input", "invoke/none", "v"), **{"message-id": "m-9"})
    deployment.fake_logs.line("dead-lettered", ago(HOUR), result="invoke/none", message_id="m-9")
    report, found = audit(deployment)
    assert (report.checked[Check.MESSAGES], found) == (1, [])


def test_successes_that_are_not_logged(deployment: FakeDeployment) -> None:
    deployment.fake_logs.counts(ago(HOUR), Succeeded=5)
    report, _ = audit(deployment)
    assert any("log level leaves out the lines of successes" in one.reason for one in report.unknown)


# Dead letters


def test_a_failure_without_a_dead_letter(deployment: FakeDeployment) -> None:
    store(deployment, "messages/a.err", "a", **{"message-id": "a"})
    violation = one(deployment)
    assert (violation.check, violation.key) == (Check.DEAD_LETTERS, "s3://results/messages/a.err")
    report, found = audit(deployment, grace=HOUR)
    assert (report.pending[Check.DEAD_LETTERS], found) == (1, [])
    queue(deployment)
    report, found = audit(deployment)
    assert (unknown(report, Check.DEAD_LETTERS)[0].count, found) == (1, [])


def test_a_failure_of_an_object_without_a_dead_letter(deployment: FakeDeployment) -> None:
    store(deployment, "invoke/a.err", drop(deployment, "invoke/a"), **{"message-id": "m"})
    violation = one(deployment)
    assert violation.check is Check.DEAD_LETTERS
    assert "sluice backfill s3://input/invoke/a --include invoke/a --failed" in violation.remedy


def test_a_failure_that_was_redriven_since(deployment: FakeDeployment) -> None:
    store(deployment, "messages/a.err", "a", **{"message-id": "a"})
    soon = datetime.now(UTC) + timedelta(seconds=1)
    deployment.fake_logs.line("retry", soon, result="messages/a", message_id="m-2", inference_id="a")
    _, found = audit(deployment)
    assert found == []


@pytest.mark.parametrize(("message_id", "seconds"), [("m-2", -3600), ("a", 1)])
def test_an_earlier_line_and_one_of_the_same_message_are_no_redrive(
    deployment: FakeDeployment, message_id: str, seconds: int
) -> None:
    store(deployment, "messages/a.err", "a", **{"message-id": "a"})
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    deployment.fake_logs.line("retry", at, result="messages/a", message_id=message_id, inference_id="a")
    assert one(deployment).check is Check.DEAD_LETTERS


def test_a_failure_without_the_id_of_its_message(deployment: FakeDeployment) -> None:
    store(deployment, "messages/a.err", "a")
    report, found = audit(deployment)
    assert found == []
    assert "no message ID" in unknown(report, Check.DEAD_LETTERS)[0].reason


@pytest.mark.parametrize("why", ["denied", "retention denied", "created later", "log level"])
def test_logs_that_can_not_tell(deployment: FakeDeployment, why: str) -> None:
    store(deployment, "messages/a.err", "a", **{"message-id": "a"})
    logs = deployment.fake_logs
    logs.is_denied = why == "denied"
    logs.is_retention_denied = why == "retention denied"
    if why == "created later":
        logs.created = datetime.now(UTC) + HOUR
    elif why == "log level":
        logs.counts(ago(HOUR), DeadLettered=1)
    report, found = audit(deployment)
    assert found == []
    assert unknown(report, Check.DEAD_LETTERS)[0].count == 1


def test_logs_begin_when_their_retention_says(deployment: FakeDeployment) -> None:
    assert read_logs(deployment, ago(24 * HOUR), lambda _: None).since < ago(23 * HOUR)
    deployment.fake_logs.retention_days = 1
    assert read_logs(deployment, ago(72 * HOUR), lambda _: None).since > ago(25 * HOUR)


def test_dead_letters_that_are_received(deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the logs, they say that a failure has its dead letter; they are visible again afterwards."""
    deployment.fake_logs.is_denied = True
    owner = drop(deployment, "invoke/a b")
    event = s3_event("invoke/a b", version_id=deployment.s3.head_object(Bucket="input", Key="invoke/a b")["VersionId"])
    letters = {"{": "m-1", json.dumps({"Body": "x", "S3OutputPathExtension": "f"}): "m-2", json.dumps(event): owner}
    for body, inference_id in letters.items():
        attributes: Any = {"InferenceId": {"DataType": "String", "StringValue": inference_id}}
        deployment.sqs.send_message(
            QueueUrl=deployment.dead_letter_queue_url, MessageBody=body, MessageAttributes=attributes
        )
    store(deployment, "messages/m-1.err", "m-1")
    store(deployment, "messages/f/m-2.err", "m-2")
    store(deployment, "messages/m-3.err", "m-3")
    store(deployment, "invoke/a b.err", owner)
    monkeypatch.setattr("cli.dlq.reader._LONG_POLL_SECONDS", 0)
    result = sluice(deployment, monkeypatch, "--grace", "0s", "--read-dead-letters", "--json")
    unknown = [
        document
        for document in map(json.loads, result.stdout.splitlines())
        if document["State"] == "can't tell" and document["Check"] == "dead letters"
    ]
    assert [one["Key"] for one in unknown] == ["s3://results/messages/m-3.err"]
    assert queue_depth(deployment.sqs, deployment.dead_letter_queue_url).visible == 3


# Owners


def test_an_outcome_without_an_owner(deployment: FakeDeployment) -> None:
    for key in ("invoke/stray.err", "transform/stray.out", "messages/stray.err"):
        store(deployment, key, None)
    _, found = audit(deployment)
    assert {one.check for one in found} == {Check.OWNERS}
    assert {one.key for one in found} == {
        f"s3://results/{key}" for key in ("invoke/stray.err", "transform/stray.out", "messages/stray.err")
    }


def test_an_outcome_that_was_copied(deployment: FakeDeployment) -> None:
    store(deployment, "invoke/copy.out", drop(deployment, "invoke/a"), **{"source-version": "v"})
    deployment.s3.delete_object(Bucket="input", Key="invoke/a")
    fail(deployment, "messages/b", "a", "m", inference_id="b")
    _, found = audit(deployment)
    assert {(one.check, one.key) for one in found} == {
        (Check.OWNERS, "s3://results/invoke/copy.out"),
        (Check.OWNERS, "s3://results/messages/b.err"),
    }


def test_an_outcome_says_itself_that_its_owner_is_an_upload_of_its_key(deployment: FakeDeployment) -> None:
    """By the version, by the sequencer of the event, or by the ETag. A version that was cut says nothing."""
    by_sequencer = key_of_version("input", "invoke/a", "0A")
    store(deployment, "invoke/a.out", by_sequencer, **{"source-version": "e", "source-sequencer": "0A"})
    store(deployment, "invoke/b.out", key_of_version("input", "invoke/b", "e"), **{"source-version": "e"})
    store(deployment, "invoke/c.out", "owner", **{"source-version": "3L4kq..."})
    _, found = audit(deployment)
    assert found == []


def test_an_outcome_that_is_named_after_no_object(deployment: FakeDeployment) -> None:
    for key in ("buckets/.out", "buckets/lake/.err", "buckets/a b/c.out"):
        store(deployment, key, "owner")
    _, found = audit(deployment)
    assert [one.check for one in found] == [Check.OWNERS] * 3


def test_an_input_that_is_gone(deployment: FakeDeployment) -> None:
    clean(deployment)
    for bucket, key in (("input", "invoke/wine/a.csv"), ("input", "invoke/b.csv"), ("lake", "d.csv")):
        deployment.s3.delete_object(Bucket=bucket, Key=key)
    report, found = audit(deployment)
    assert found == []
    assert sum(one.count for one in unknown(report, Check.OWNERS)) == 4
    assert report.checked[Check.DEAD_LETTERS] == 2, "the dead letters are checked without it"


def test_another_buckets_newer_version_may_never_have_been_sent(deployment: FakeDeployment) -> None:
    store(deployment, "buckets/lake/a.out", drop(deployment, "a", "lake"))
    drop(deployment, "a", "lake")
    report, found = audit(deployment)
    assert found == []
    assert unknown(report, Check.INPUTS)[0].example == "s3://lake/a"
    line = {"result": "buckets/lake/a", "message_id": "m"}
    deployment.fake_logs.line("retry", datetime.now(UTC) + timedelta(seconds=1), **line)
    report, found = audit(deployment, grace=-timedelta(minutes=1))
    assert [one.key for one in found] == ["s3://lake/a"]


# Parts


def test_parts_of_no_version(deployment: FakeDeployment) -> None:
    clean(deployment)
    store(deployment, f"{parts_folder('transform/c.csv', 'stray')}{0:015}-{3:015}.out", "stray/0-3")
    store(deployment, f"{parts_folder('transform/none.csv', 'v')}{0:015}-{3:015}.out", "v/0-3")
    store(deployment, "parts/stray", None)
    _, found = audit(deployment)
    assert {one.check for one in found} == {Check.PARTS}
    assert {one.key for one in found} == {
        "s3://results/parts/transform/c.csv/stray/",
        "s3://results/parts/transform/none.csv/v/",
        "s3://results/parts/",
    }


def test_parts_of_an_older_version_and_of_one_that_was_deleted(deployment: FakeDeployment) -> None:
    older = drop(deployment, "transform/a.csv")
    newer = drop(deployment, "transform/a.csv")
    store(deployment, "transform/a.csv.out", newer)
    store(deployment, f"{parts_folder('transform/a.csv', older)}{0:015}-{3:015}.out", f"{older}/0-3")
    store(deployment, f"{parts_folder('transform/gone.csv', 'v')}{0:015}-{3:015}.out", "v/0-3")
    store(deployment, "transform/gone.csv.out", "v")
    _, found = audit(deployment)
    assert found == []


def test_parts_that_the_lifecycle_rule_should_have_deleted(
    deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean(deployment)
    monkeypatch.setattr("cli.audit.parts._LIFECYCLE_DELAY", -timedelta(days=7, seconds=10))
    assert "older than 7 days" in one(deployment, grace=-timedelta(minutes=1)).problem
    deployment.s3.delete_bucket_lifecycle(Bucket="results")
    report, found = audit(deployment)
    assert found == []
    assert any("no lifecycle rule of results deletes parts" in one.reason for one in report.unknown)


# The prefix and the command


def test_only_names_with_the_prefix_are_checked(deployment: FakeDeployment) -> None:
    for key in ("invoke/a/1", "invoke/b/1", "transform/a"):
        drop(deployment, key)
    deployment.fake_logs.line("succeeded", ago(HOUR), result="messages/a", message_id="a")
    assert one(deployment, prefix="invoke/a").key == "s3://input/invoke/a/1"
    assert one(deployment, prefix="transform/").key == "s3://input/transform/a"
    assert one(deployment, prefix="messages/").key == "s3://results/messages/a.out"
    assert {one.key for one in audit(deployment, prefix="inv")[1]} == {
        "s3://input/invoke/a/1",
        "s3://input/invoke/b/1",
    }


def sluice(deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr("cli.options.Deployment", lambda _: deployment)
    return CliRunner().invoke(main, ["audit", *arguments], catch_exceptions=False)


def test_the_output_names_each_violation_and_the_exit_code_says_that_there_is_one(
    deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean(deployment)
    assert sluice(deployment, monkeypatch, "--grace", "0s").exit_code == 0
    drop(deployment, "invoke/lost")
    result = sluice(deployment, monkeypatch, "--grace", "0s", "--json")
    assert result.exit_code == 3
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    (violated,) = [one for one in documents if one["State"] == "violated" and "Key" in one]
    assert violated["Key"] == "s3://input/invoke/lost"
    assert violated["WhatToDo"].startswith("send it again: sluice backfill")
    totals = {one["Check"]: (one["State"], one["Checked"], one["Violated"]) for one in documents if "Checked" in one}
    assert totals["inputs"] == ("violated", 5, 1)
    assert totals["parts"] == ("ok", 1, 0)
    plain = sluice(deployment, monkeypatch, "--grace", "0s").stdout
    assert "violated\tinputs\ts3://input/invoke/lost: its newest version has neither" in plain
    assert "can't tell\tmessages\ta message that no function has received yet leaves no trace\t\n" in plain


def test_nothing_to_check(deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    result = sluice(deployment, monkeypatch, "--prefix", "invoke/none/")
    assert result.exit_code == 0
    assert result.stderr == "There was nothing to check under invoke/none/.\n"
