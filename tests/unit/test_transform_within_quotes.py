"""Parts of CSV that begin within a quoted field, which the split function has not seen: they decide on nothing."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sluice.transform.early_stop
import sluice.transform.options
import sluice.transform.splitter
import sluice.transform.work
from sluice.ports import Inference
from sluice.transform.early_stop import enough_refused
from sluice.transform.threshold import ErrorThreshold
from tests.support.containers import refusal
from tests.support.fakes import Answer, Call
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
LIMIT = 200
ALONE = {"batch-strategy": "SingleRecord"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 40)
    monkeypatch.setattr(sluice.transform.work, "_TAIL", 20)
    monkeypatch.setattr(sluice.transform.splitter, "has_quotes", lambda beginning, delimiter: False)


def refusing_x(call: Call) -> Answer:
    """The length of a record; refuses `x`."""
    return refusal() if call.body == b"x\n" else Inference(b"%d\n" % len(call.body), "text/csv")


def transformed(content: bytes, threshold: str, choose: Any = lambda waiting: waiting - 1) -> Transforms:
    """By default the last messages come first."""
    world = Transforms(max_receive_count=20)
    world.settings = world.settings.model_copy(update={"max_body_bytes": LIMIT})
    world.endpoint.answer = refusing_x
    world.drop(KEY, content, metadata={**ALONE, "error-threshold": threshold})
    world.run(choose, first_receive=1)
    return world


def reason(world: Transforms) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.results.objects[f"{KEY}.err"].body)
    return found


def dead_letters(world: Transforms) -> set[str]:
    """The messages that are dead-lettered. Two parts may each request the assembly; here its messages are the same."""
    return {body for body, _ in world.dead_letters.sent}


def quoted(lines: int) -> bytes:
    return b'7,"' + b"x\n" * lines + b'"'


records = st.sampled_from([b"0,a", b"1,bcd", b"x", b'2," "', quoted(5), quoted(45), quoted(80), quoted(150)])


@given(
    st.lists(records, min_size=3, max_size=12), st.randoms(use_true_random=False), st.sampled_from(["0", "3", "20%"])
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_verdict_is_that_of_the_records_in_any_order(rows: list[bytes], chance: Any, threshold: str) -> None:
    rows = [b"0,a", *rows]
    world = transformed(b"\n".join(rows) + b"\n", threshold, chance.randrange)
    bad = rows.count(b"x")
    is_exceeded = ErrorThreshold.parse(threshold).is_exceeded(bad, len(rows))
    if quoted(150) in rows or is_exceeded:
        assert f"{KEY}.out" not in world.results.objects
        codes = {"InvalidMessage"} if not is_exceeded else {"InvalidMessage", "ErrorThresholdExceeded"}
        assert reason(world)["ErrorCode"] in codes
        assert len(dead_letters(world)) == 1
    else:
        expected = [b"" if row == b"x" else b"%d" % (len(row) + 1) for row in rows]
        assert world.out(KEY).split(b"\n") == [*expected, b""]
        assert not world.dead_letters.sent


def test_a_field_without_a_quote_in_a_part_of_it_stops_no_file() -> None:
    content = b"0,a\n" * 20 + quoted(90) + b"\n" + b"2,c\n" * 20
    world = transformed(content, "3")
    assert any(call.body == b"x\n" for call in world.endpoint.calls), "parts began within the quotes"
    assert world.out(KEY) == b"4\n" * 20 + b"185\n" + b"4\n" * 20
    assert not world.dead_letters.sent


def test_a_field_that_seems_to_be_open_where_a_part_begins_fails_no_file() -> None:
    """The quote that closes it is at the beginning of a line, as one that opens a field is."""
    content = b"0,a\n" * 8 + b'7,"' + b"y\n" * 8 + b'",9\n' + b"2,c\n" * 200
    world = transformed(content, "100%")
    assert world.out(KEY) == b"4\n" * 8 + b"23\n" + b"4\n" * 200
    assert not world.dead_letters.sent


@pytest.mark.parametrize("before", [0, 50])
@pytest.mark.parametrize("backwards", [True, False])
def test_a_field_that_no_call_can_carry_fails_the_file_if_parts_reach_it(before: int, *, backwards: bool) -> None:
    content = b"0,a\n" * before + quoted(150) + b"\n" + b"2,c\n" * 50
    world = transformed(content, "100%", (lambda waiting: waiting - 1) if backwards else (lambda waiting: 0))
    assert f"{KEY}.out" not in world.results.objects
    assert reason(world)["ErrorCode"] == "InvalidMessage"
    assert f"file: the quoted field that begins at byte {4 * before + 2} is over" in reason(world)["ErrorMessage"]
    assert len(dead_letters(world)) == 1


@pytest.mark.parametrize("threshold", ["8", "5%"])
def test_a_file_without_quotes_is_stopped_whichever_part_comes_first(threshold: str) -> None:
    world = transformed(b"1\n" + b"x\n" * 999 + b"1\n" * 20, threshold)
    assert reason(world)["ErrorCode"] == "ErrorThresholdExceeded"
    allowed = ErrorThreshold.parse(threshold).allowed(1020)
    assert len(world.endpoint.calls) <= allowed + 20 + 2 * enough_refused(ErrorThreshold.parse(threshold), 20)
    assert " were not tried, because the file was stopped: ErrorThreshold is " in reason(world)["ErrorMessage"]


def test_a_stopped_file_without_a_refusal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_stopped(*_: Any) -> bool:
        return True

    monkeypatch.setattr(sluice.transform.early_stop.EarlyStop, "is_stopped", is_stopped)
    world = transformed(b"1\n\n2\n", "0")
    assert reason(world)["ErrorCode"] == "ErrorThresholdExceeded"
    assert reason(world)["ErrorMessage"] == (
        "0 of 2 records failed and 2 were not tried, because the file was stopped: ErrorThreshold is 0"
    )
    assert not world.endpoint.calls
