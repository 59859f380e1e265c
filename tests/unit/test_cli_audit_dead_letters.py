"""`sluice audit`: each `.err` has its dead letter, or a redrive."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.audit.logged import read_logs
from cli.audit.report import Check
from cli.sqs import queue_depth
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
    store,
    unknown,
)
from tests.support.events import s3_event


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with audited_deployment() as made:
        yield made


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
    letters = {
        "{": "m-1",
        json.dumps({"Body": "x", "S3OutputPathExtension": "f"}): "m-2",
        json.dumps(s3_event("a", bucket="elsewhere", version_id="v")): "m-4",
        json.dumps(event): owner,
        json.dumps({"Event": "s3:TestEvent"}): "m-5",
    }
    for body, inference_id in letters.items():
        attributes: Any = {"InferenceId": {"DataType": "String", "StringValue": inference_id}}
        deployment.sqs.send_message(
            QueueUrl=deployment.dead_letter_queue_url, MessageBody=body, MessageAttributes=attributes
        )
    store(deployment, "messages/m-1.err", "m-1")
    store(deployment, "messages/f/m-2.err", "m-2")
    store(deployment, "messages/m-3.err", "m-3")
    store(deployment, "messages/m-4.err", "m-4")
    store(deployment, "invoke/a b.err", owner)
    monkeypatch.setattr("cli.dlq.reader._LONG_POLL_SECONDS", 0)
    result = sluice(deployment, monkeypatch, "--grace", "0s", "--read-dead-letters", "--json")
    unknown = [
        document
        for document in map(json.loads, result.stdout.splitlines())
        if document["State"] == "can't tell" and document["Check"] == "dead letters"
    ]
    assert [(one["Key"], one["Count"]) for one in unknown] == [("s3://results/messages/m-3.err", 1)]
    assert queue_depth(deployment.sqs, deployment.dead_letter_queue_url).visible == len(letters)


def test_the_dead_letters_on_the_queue_are_counted(deployment: FakeDeployment) -> None:
    clean(deployment)
    deployment.sqs.send_message(QueueUrl=deployment.dead_letter_queue_url, MessageBody="{}")
    report, _ = audit(deployment)
    assert any(one.reason.endswith("there are about 1") for one in report.unknown)
