"""A deployment to audit: outcomes and log lines as the functions make them, without the functions."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from cli.audit.report import Check, Report, Unknown, Violation
from cli.audit.run import Options, run_audit
from cli.main import main
from sluice.inputs.identity import key_of_version
from sluice.keys import parts_folder
from tests.support.cli import FakeDeployment, fake_deployment

HOUR = timedelta(hours=1)


@contextmanager
def audited_deployment() -> Iterator[FakeDeployment]:
    """A deployment with empty buckets, as the pipeline creates them."""
    with fake_deployment() as made:
        made.s3.put_bucket_versioning(Bucket="results", VersioningConfiguration={"Status": "Enabled"})
        rule: Any = {"ID": "parts", "Status": "Enabled", "Filter": {"Prefix": "parts/"}, "Expiration": {"Days": 7}}
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
    store(deployment, "files/f/x.out", "m-x %E2%86%92 x")
    deployment.fake_logs.line("succeeded", ago(HOUR), result="files/f/x", message_id="m-x")
    fail(deployment, "messages/f/m-y@x", "m-y %E2%86%92 x", "m-y", result="files/f/x")
    store(deployment, "buckets/lake/d.csv.out", drop(deployment, "d.csv", "lake"))
    deployment.fake_logs.line("ignored", ago(HOUR), detail="s3:TestEvent")


def sluice(deployment: FakeDeployment, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr("cli.options.Deployment", lambda _: deployment)
    return CliRunner().invoke(main, ["audit", *arguments], catch_exceptions=False)
