"""`sluice audit`: each outcome and each part is of a version of an object."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.audit.report import Check
from sluice.inputs.identity import key_of_version, spare_error_name
from sluice.keys import parts_folder
from tests.support.cli import FakeDeployment
from tests.support.cli_audit import HOUR, ago, audit, audited_deployment, clean, drop, fail, one, store, unknown


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with audited_deployment() as made:
        yield made


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
    line = {"result": "buckets/lake/a", "message_id": "m"}
    deployment.fake_logs.line("retry", ago(HOUR), **line)
    report, found = audit(deployment)
    assert found == []
    assert unknown(report, Check.INPUTS)[0].example == "s3://lake/a"
    deployment.fake_logs.line("retry", datetime.now(UTC) + timedelta(seconds=1), **line)
    report, found = audit(deployment, grace=-timedelta(minutes=1))
    assert [one.key for one in found] == ["s3://lake/a"]


def test_both_outcomes_of_an_object_of_another_bucket(deployment: FakeDeployment) -> None:
    owner = drop(deployment, "a", "lake")
    fail(deployment, "buckets/lake/a", owner)
    store(deployment, "buckets/lake/a.out", owner)
    report, (violation,) = audit(deployment)
    assert violation.key == "s3://lake/a"
    assert (report.checked[Check.INPUTS], report.checked[Check.DEAD_LETTERS]) == (1, 1)
    assert any("others may never have been sent" in one.reason for one in report.unknown)


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


@pytest.mark.parametrize(
    "change",
    [
        {"Status": "Disabled"},
        {"Filter": {"Prefix": "parts/transform/"}},
        {"Filter": {"And": {"Prefix": "parts/", "Tags": [{"Key": "k", "Value": "v"}]}}},
        {"Expiration": {"ExpiredObjectDeleteMarker": True}},
        None,
    ],
)
def test_a_results_bucket_that_does_not_delete_parts(deployment: FakeDeployment, change: Any) -> None:
    deployment.s3.delete_bucket_lifecycle(Bucket="results")
    if change is not None:
        rule: Any = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 7}, **change}
        deployment.s3.put_bucket_lifecycle_configuration(Bucket="results", LifecycleConfiguration={"Rules": [rule]})
    report, found = audit(deployment)
    assert found == []
    assert any("no lifecycle rule of results deletes parts" in one.reason for one in report.unknown)


@pytest.mark.parametrize("suffix", [".out", ".err"])
def test_a_failure_under_the_spare_name_beside_the_versions_own_outcome(
    deployment: FakeDeployment, suffix: str
) -> None:
    version = drop(deployment, "invoke/a.csv")
    spare = spare_error_name(version)
    deployment.fake_logs.line("dead-lettered", ago(HOUR), result="invoke/a.csv", owner=version, message_id="m-1")
    document = b'{"Source": "s3://input/invoke/a.csv"}'
    metadata = {"sluice-identity": version, "message-id": "m-1"}
    deployment.s3.put_object(Bucket="results", Key=f"{spare}.err", Body=document, Metadata=metadata)
    _, found = audit(deployment)
    assert found == []
    if suffix == ".out":
        store(deployment, "invoke/a.csv.out", version)
    else:
        fail(deployment, "invoke/a.csv", version, "m-2")
    violation = one(deployment)
    assert violation.key == f"s3://results/{spare}.err"
    assert f"s3://results/invoke/a.csv{suffix}" in violation.problem
