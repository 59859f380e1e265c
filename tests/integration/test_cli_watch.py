"""What `sluice watch` shows: counts at any log level, reasons, queues. Late and repeated log lines count once."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from cli.watch.view import render, render_lines, render_svg
from cli.watch.watcher import QUEUES, Watcher
from tests.support.cli import SPLIT_LOGS, FakeDeployment, denied, fake_deployment

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Ages:
    """CloudWatch, which counts its requests."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_denied = False

    def get_metric_data(self, **asked: object) -> dict[str, object]:
        self.asked += 1
        if self.is_denied:
            raise denied("GetMetricData")
        return {"MetricDataResults": [{"Id": "q0", "Values": [130.0, 70.0]}, {"Id": "q1", "Values": []}]}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with fake_deployment() as made:
        made.__dict__["cloudwatch"] = Ages()
        yield made


def ago(**how: float) -> datetime:
    return NOW - timedelta(**how)


def test_counts_do_not_depend_on_the_log_level(deployment: FakeDeployment) -> None:
    logs = deployment.fake_logs
    logs.counts(ago(seconds=10), Succeeded=7, Retried=2)
    logs.counts(ago(seconds=70), Succeeded=3, DeadLettered=1)
    logs.counts(ago(minutes=20), Succeeded=100)
    logs.counts(ago(seconds=10), group=SPLIT_LOGS, Succeeded=1, DeadLettered=2)
    snapshot = Watcher(deployment, timedelta(minutes=3), now=Clock()).snapshot()
    assert snapshot.per_minute == {"Done": [0, 3, 7], "Failed": [0, 1, 2], "Retried": [0, 0, 2]}
    assert snapshot.latest == []


def test_late_lines_are_counted_and_no_line_twice(deployment: FakeDeployment) -> None:
    clock = Clock()
    watcher = Watcher(deployment, timedelta(minutes=3), now=clock)
    deployment.fake_logs.counts(ago(seconds=5), Succeeded=1)
    watcher.snapshot()
    deployment.fake_logs.counts(ago(seconds=8), Succeeded=1)
    clock.now += timedelta(seconds=5)
    assert watcher.snapshot().per_minute["Done"] == [0, 0, 2]
    clock.now += timedelta(minutes=2)
    assert watcher.snapshot().per_minute["Done"] == [2, 0, 0]
    clock.now += timedelta(minutes=2)
    assert watcher.snapshot().per_minute["Done"] == [0, 0, 0]


def test_reasons_are_counted_and_the_latest_come_first(deployment: FakeDeployment) -> None:
    logs = deployment.fake_logs
    for number in range(3):
        why = {"error_code": "ModelError", "error_message": f"row {number}", "endpoint_name": "wine"}
        logs.line("dead-lettered", ago(seconds=30 - number), result=f"messages/{number}", **why)
    logs.line("retry", ago(seconds=5), error_code="ThrottlingException", endpoint_name="wine")
    logs.line("succeeded", ago(seconds=4), result="messages/x")
    logs.line("ignored", ago(seconds=3), detail="s3:TestEvent")
    snapshot = Watcher(deployment, timedelta(minutes=3), now=Clock()).snapshot()
    assert [(one.error_code, one.count, one.last_message) for one in snapshot.reasons] == [
        ("ModelError", 3, "row 2"),
        ("ThrottlingException", 1, ""),
    ]
    assert [line.status for line in snapshot.latest] == ["succeeded", "retry", *["dead-lettered"] * 3]


def test_queues_and_ages(deployment: FakeDeployment) -> None:
    for _ in range(3):
        deployment.sqs.send_message(QueueUrl=deployment.dead_letter_queue_url, MessageBody="x")
    clock = Clock()
    watcher = Watcher(deployment, timedelta(minutes=3), now=clock)
    snapshot = watcher.snapshot()
    assert snapshot.depths["dead letters"].visible == 3
    assert snapshot.oldest_seconds == {"requests": 130.0}
    watcher.snapshot()
    assert deployment.cloudwatch.asked == 1  # type: ignore[attr-defined]
    clock.now += timedelta(minutes=1)
    deployment.cloudwatch.is_denied = True  # type: ignore[attr-defined]
    assert watcher.snapshot().oldest_seconds == {}


def test_the_queues_of_notifications_are_shown_if_there_are_any(deployment: FakeDeployment) -> None:
    without = Watcher(deployment, timedelta(minutes=3), now=Clock()).snapshot()
    assert list(without.depths) == ["requests", "parts", "split", "assembly", "crashed", "dead letters"]
    urls = {
        f"{name}QueueUrl": deployment.sqs.create_queue(QueueName=name)["QueueUrl"]
        for name in ("Notification", "NotificationDeadLetter")
    }
    deployment.__dict__["outputs"] = {**deployment.outputs, **urls}
    shown = Watcher(deployment, timedelta(minutes=3), now=Clock()).snapshot()
    assert list(shown.depths) == [*without.depths, "notifications", "failed notifications"]


def test_in_a_pipe_nothing_is_cut(deployment: FakeDeployment) -> None:
    result, message = f"messages/{'r' * 300}", "m" * 500
    deployment.fake_logs.line(
        "dead-lettered", ago(seconds=5), error_code="E" * 100, error_message=message, result=result
    )
    lines = render_lines(Watcher(deployment, timedelta(minutes=3), now=Clock()).snapshot(), "Mine")
    text = "\n".join(lines)
    assert result in text
    assert message in text
    assert "…" not in text
    assert all(line == line.rstrip() for line in lines)


def test_the_picture_in_the_documents_has_every_queue() -> None:
    picture = (Path(__file__).parents[2] / "docs/images/watch.svg").read_text().replace("&#160;", " ")
    texts = {text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture)}
    assert {name for name, output in QUEUES.items() if not output.startswith("Notification")} <= texts


def test_without_permission_to_read_the_logs_there_is_a_note(deployment: FakeDeployment) -> None:
    deployment.fake_logs.is_denied = True
    snapshot = Watcher(deployment, timedelta(minutes=3), now=Clock()).snapshot()
    assert snapshot.note is not None
    assert "logs:FilterLogEvents is not allowed" in snapshot.document()["Note"]


def test_a_snapshot_as_text_as_json_and_as_a_picture(deployment: FakeDeployment) -> None:
    why = {"error_code": "ModelError", "error_message": "[bold]\x1b[31m\nrow", "result": "messages/[red]"}
    deployment.fake_logs.line("dead-lettered", ago(seconds=5), **why)
    snapshot = Watcher(deployment, timedelta(minutes=3), now=Clock()).snapshot()
    console = Console(record=True, width=120, force_terminal=True)
    console.print(render(snapshot, "Mine"))
    text = console.export_text(styles=True)
    assert "Mine" in text
    assert "[bold] [31m row" in text, "the text of a model is printed without control sequences"
    assert "messages/[red]" in text
    assert json.loads(json.dumps(snapshot.document()))["Reasons"][0]["ErrorCode"] == "ModelError"
    svg = render_svg(snapshot, "Mine")
    assert svg.startswith("<svg")
    assert "url(" not in svg.replace("url(#", ""), "it refers to no other site"


def test_durations_are_checked() -> None:
    from cli.main import main

    run = CliRunner().invoke(main, ["watch", "--interval", "5"])
    assert run.exit_code == 2
    assert "such as 30s" in run.stderr
