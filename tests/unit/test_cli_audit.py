"""`sluice audit`: a deployment without a violation has none, and the command prints what it finds."""

import json
from collections.abc import Iterator

import pytest

from cli.audit.report import Check
from tests.support.cli import FakeDeployment
from tests.support.cli_audit import (
    HOUR,
    ago,
    audit,
    audited_deployment,
    clean,
    drop,
    one,
    queue,
    sluice,
    unknown,
)


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with audited_deployment() as made:
        yield made


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
