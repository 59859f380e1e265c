"""The chaos run's audit detects every kind of violation."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.chaos.audit import Observed, Report, audit
from local.chaos.container import predict
from local.chaos.requests import ChaosRequest, requests
from local.chaos.second_audit import second_audit

GOOD = ChaosRequest("id", "messages/r1", b'{"Body": "x"}', "r1", predict(b"x"))
BAD = ChaosRequest("bad", "messages/r2", b'{"Body": "y"}', "r2", None, ("InvalidMessage",))
OUT = (predict(b"x"), {"trace-id": "r1", "custom-attributes": "Trace ID: r1"})
REASON = {
    "ErrorCode": "InvalidMessage",
    "ErrorMessage": "no",
    "TraceId": "r2",
    "InferenceId": "r2",
    "Attempts": "1",
    "FailedAt": "2026-11-24T12:00:00.000Z",
}
ERR = (json.dumps({**REASON, "FailureClass": "invalid"}).encode(), dict[str, str]())
LETTER = (BAD.body, REASON)
RIGHT: dict[str, Any] = {
    "results": {"messages/r1.out": OUT, "messages/r2.err": ERR},
    "letters": [LETTER],
    "billed": {"r1": 1},
    "lost_sends": {},
}


def audited(tmp_path: Path, journal: list[dict[str, Any]] | None = None, **changes: Any) -> Report:
    path = tmp_path / "journal"
    path.write_text("".join(json.dumps(line) + "\n" for line in journal or []))
    return audit([GOOD, BAD], Observed(**{**RIGHT, **changes}, journals=[path]))


def test_the_rows_have_one_order_in_every_run() -> None:
    report = Report()
    for name in ("  NoSuchKey", "deliveries", "workers killed", "  lines", "answered", "  InvalidMessage", "datasets"):
        report.counts[name] = 1
    report.counts["failed, with a reason"] = 2
    assert [name for name, _ in report.rows()] == [
        "answered",
        "failed, with a reason",
        "  InvalidMessage",
        "  NoSuchKey",
        "datasets",
        "  lines",
        "deliveries",
        "workers killed",
    ]


def test_all_right(tmp_path: Path) -> None:
    report = audited(tmp_path)
    assert report.violations == []
    assert report.counts["answered"] == report.counts["failed, with a reason"] == 1


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"results": {"messages/r2.err": ERR}}, "lost"),
        ({"results": {**RIGHT["results"], "messages/r1.err": ERR}}, "answered and failed"),
        ({"results": {**RIGHT["results"], "messages/r1.out": (b"other", OUT[1])}}, "byte for byte"),
        ({"results": {**RIGHT["results"], "messages/r1.out": (OUT[0], {**OUT[1], "trace-id": "?"})}}, "trace ID"),
        ({"letters": []}, ".err without a dead letter"),
        ({"letters": [LETTER, LETTER]}, "2 dead letters"),
        ({"letters": [(b"other", REASON)]}, "body is not the message"),
        ({"letters": [(BAD.body, {"TraceId": "r2"})]}, "without its reason"),
        ({"letters": [LETTER, (b"z", {**REASON, "TraceId": "r9"})]}, "a dead letter of an unknown request"),
        ({"letters": [LETTER, (GOOD.body, {**REASON, "TraceId": "r1"})]}, "answered and dead-lettered"),
        ({"billed": {"r1": 2}}, "billed 2 times"),
    ],
)
def test_violations_are_detected(tmp_path: Path, changes: dict[str, Any], violation: str) -> None:
    assert any(violation in line for line in audited(tmp_path, **changes).violations)


def test_double_billing_is_accepted_only_after_a_kill_or_with_concurrent_deliveries(tmp_path: Path) -> None:
    body = GOOD.body.decode()
    killed = [{"event": "begin", "at": 1.0, "bodies": [body]}]
    report = audited(tmp_path, killed, billed={"r1": 2})
    assert report.violations == []
    assert report.counts["billed twice: killed between the call and the write"] == 1
    whole = [
        {"event": event, "at": at, "bodies": [body]}
        for event, at in [("begin", 1), ("end", 2), ("begin", 3), ("end", 4)]
    ]
    assert audited(tmp_path, whole, billed={"r1": 2}).violations


def test_a_second_dead_letter_is_accepted_if_the_response_to_the_first_send_was_lost(tmp_path: Path) -> None:
    report = audited(tmp_path, letters=[LETTER, LETTER], lost_sends={BAD.body: 1})
    assert report.violations == []
    assert report.counts["dead-lettered twice: SendMessage's response was lost"] == 1


def test_the_same_seed_gives_the_same_requests() -> None:
    assert list(requests(200, 7, "b")) == list(requests(200, 7, "b"))
    kinds = {one.kind for one in requests(2000, 7, "b")}
    assert {"plain", "twice", "drop", "replace", "bad", "400", "500", "missing", "sns", "event", "slow"} <= kinds


def test_what_the_command_finds_is_a_violation_and_that_it_fails_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, **ended))
    total = {"State": "violated", "Check": "inputs", "Checked": 2, "Violated": 1}
    violation = {"State": "violated", "Check": "inputs", "Key": "s3://b/a", "Reason": "it has no outcome"}
    unknown = {"State": "can't tell", "Check": "parts", "Key": "s3://b/b", "Reason": "why"}
    ended.update(returncode=3, stdout="\n".join(map(json.dumps, (violation, unknown, total))))
    assert second_audit("http://aws") == ["sluice audit: s3://b/a: it has no outcome"]
    ended.update(returncode=1, stdout="", stderr="Error: no")
    with pytest.raises(RuntimeError, match="Error: no"):
        second_audit("http://aws")
