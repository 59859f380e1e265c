"""The chaos run's audit finds what it is there to find."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.chaos.audit import Found, Report, audit
from local.chaos.container import answer_to
from local.chaos.requests import Asked, requests

GOOD = Asked("id", "messages/r1", b'{"Body": "x"}', "r1", answer_to(b"x"))
BAD = Asked("bad", "messages/r2", b'{"Body": "y"}', "r2", None, ("InvalidMessage",))
OUT = (answer_to(b"x"), {"trace-id": "r1", "custom-attributes": "Trace ID: r1"})
REASON = {
    "ErrorCode": "InvalidMessage",
    "ErrorMessage": "no",
    "TraceId": "r2",
    "InferenceId": "r2",
    "Attempts": "1",
    "FailedAt": "2026-11-24T12:00:00.000Z",
}
ERR = (json.dumps({**REASON, "FailureClass": "invalid"}).encode(), dict[str, str]())
LETTER = (BAD.given, REASON)
RIGHT: dict[str, Any] = {
    "results": {"messages/r1.out": OUT, "messages/r2.err": ERR},
    "letters": [LETTER],
    "billed": {"r1": 1},
    "lost_sends": {},
}


def audited(tmp_path: Path, journal: list[dict[str, Any]] | None = None, **changes: Any) -> Report:
    path = tmp_path / "journal"
    path.write_text("".join(json.dumps(line) + "\n" for line in journal or []))
    return audit([GOOD, BAD], Found(**{**RIGHT, **changes}, journals=[path]))


def test_all_right(tmp_path: Path) -> None:
    report = audited(tmp_path)
    assert report.violations == []
    assert report.counts["answered"] == report.counts["failed, explained"] == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"results": {"messages/r2.err": ERR}}, "lost"),
        ({"results": {**RIGHT["results"], "messages/r1.err": ERR}}, "answered and failed"),
        ({"results": {**RIGHT["results"], "messages/r1.out": (b"other", OUT[1])}}, "byte for byte"),
        ({"results": {**RIGHT["results"], "messages/r1.out": (OUT[0], {**OUT[1], "trace-id": "?"})}}, "trace ID"),
        ({"letters": []}, ".err without a dead letter"),
        ({"letters": [LETTER, LETTER]}, "2 dead letters"),
        ({"letters": [(b"other", REASON)]}, "body is not the message"),
        ({"letters": [(BAD.given, {"TraceId": "r2"})]}, "without its reason"),
        ({"letters": [LETTER, (b"z", {**REASON, "TraceId": "r9"})]}, "a dead letter of nobody"),
        ({"letters": [LETTER, (GOOD.given, {**REASON, "TraceId": "r1"})]}, "answered and dead-lettered"),
        ({"billed": {"r1": 2}}, "billed 2 times"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    assert any(says in line for line in audited(tmp_path, **changes).violations)


def test_twice_billed_is_forgiven_only_where_a_kill_or_another_delivery_explains_it(tmp_path: Path) -> None:
    body = GOOD.given.decode()
    cut_off = [{"what": "begin", "at": 1.0, "bodies": [body]}]
    report = audited(tmp_path, cut_off, billed={"r1": 2})
    assert report.violations == []
    assert report.counts["billed twice: killed between the call and the write"] == 1
    whole = [
        {"what": what, "at": at, "bodies": [body]} for what, at in [("begin", 1), ("end", 2), ("begin", 3), ("end", 4)]
    ]
    assert audited(tmp_path, whole, billed={"r1": 2}).violations


def test_a_second_dead_letter_is_forgiven_where_the_answer_to_the_first_was_lost(tmp_path: Path) -> None:
    report = audited(tmp_path, letters=[LETTER, LETTER], lost_sends={BAD.given: 1})
    assert report.violations == []
    assert report.counts["dead-lettered twice: SendMessage's answer was lost"] == 1


def test_the_same_seed_asks_the_same() -> None:
    assert list(requests(200, 7, "b")) == list(requests(200, 7, "b"))
    kinds = {asked.kind for asked in requests(2000, 7, "b")}
    assert {"plain", "twice", "drop", "replace", "bad", "400", "500", "missing", "sns", "event", "slow"} <= kinds
