"""`sluice audit`: the newest version of each input object has one outcome."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from cli.audit.inputs import Upload, list_uploads
from cli.audit.report import Check
from cli.backfill.listing import list_outcomes
from sluice.keys import parts_folder
from tests.support.cli import FakeDeployment, denied
from tests.support.cli_audit import HOUR, ago, audit, audited_deployment, clean, drop, fail, one, queue, store, unknown


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with audited_deployment() as made:
        yield made


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
    for version in ("v", "of an upload without an outcome"):
        store(deployment, f"{parts_folder('transform/a', version)}{0:015}-{3:015}.out", f"{version}/0-3")
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
