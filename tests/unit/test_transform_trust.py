"""No line has another record's answer, in whichever order and number a container answers the records of a group."""

import json
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sluice.transform.options
from sluice.ports import Inference
from sluice.transform import evidence
from tests.support.containers import refusal
from tests.support.fakes import Call
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"

Order = Callable[[list[bytes]], list[bytes]]
Answer = Callable[[bytes], bytes]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 200)


def transformed(records: Sequence[bytes], answer: Callable[[Call], Inference], **metadata: str) -> Transforms:
    world = Transforms()
    world.endpoint.answer = answer
    options = {name.replace("_", "-"): value for name, value in metadata.items()}
    world.drop(KEY, b"".join(one + b"\n" for one in records), metadata=options)
    world.run()
    return world


def lines_of(world: Transforms) -> list[bytes]:
    return world.out(KEY).split(b"\n")[:-1]


def rotated(lines: list[bytes]) -> list[bytes]:
    return lines[1:] + lines[:1]


def shuffled(lines: list[bytes]) -> list[bytes]:
    return random.Random(len(lines)).sample(lines, len(lines))


def swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[at ^ 1] if at ^ 1 < len(lines) else lines[at] for at in range(len(lines))]


ORDERS: dict[str, Order] = {
    "reversed": lambda lines: lines[::-1],
    "sorted": sorted,
    "sorted down": lambda lines: sorted(lines, reverse=True),
    "sorted by length": lambda lines: sorted(lines, key=len),
    "the longest first": lambda lines: sorted(lines, key=len, reverse=True),
    "rotated": rotated,
    "shuffled": shuffled,
    "pairs swapped": swapped,
    "equal ones once": lambda lines: list(dict.fromkeys(lines)),
    "equal ones together": lambda lines: [one for first in dict.fromkeys(lines) for one in lines if one == first],
    "the first for all": lambda lines: lines[:1] * len(lines),
}
ANSWERS: dict[str, Answer] = {
    "each its own": lambda line: b"answer to " + line,
    "one of two": lambda line: b"spam" if sum(line) % 2 else b"ham",
    "a rare one": lambda line: b"fraud" if sum(line) % 37 == 0 else b"fine",
}


# Nothing shows that a container answers all records as the first one while these are equal.
_NOT_SHOWN = ("the first for all", "a rare one")
SHOWN = [(order, answer) for order in ORDERS for answer in ANSWERS if (order, answer) != _NOT_SHOWN]


@pytest.mark.parametrize(("order", "answer"), SHOWN)
@pytest.mark.parametrize("width", [3, None])
def test_a_container_that_answers_in_another_order_gets_no_groups(order: str, answer: str, width: int | None) -> None:
    dice = random.Random(1)
    records = [b"%d" % number * dice.randint(1, 3) for number in range(100, 400)]
    records = [one[:width] for one in records]
    model = ANSWERS[answer]

    def answers(call: Call) -> Inference:
        rows = ORDERS[order](call.body.splitlines())
        return Inference(b"".join(model(row) + b"\n" for row in rows), "text/csv")

    assert lines_of(transformed(records, answers)) == [model(one) for one in records]


rows = st.lists(st.binary(min_size=1, max_size=4).map(bytes.hex).map(str.encode), min_size=1, max_size=60)


@given(records=rows, order=st.sampled_from(sorted(ORDERS)), modulus=st.integers(1, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_whatever_the_records_each_has_its_own_answer_or_one_that_is_equal(
    records: list[bytes], order: str, modulus: int
) -> None:
    """The longest records of the part may be alike in all that the order depends on: then nothing shows it."""

    def model(line: bytes) -> bytes:
        return b"%d" % (sum(line) % modulus)

    def answers(call: Call) -> Inference:
        rows = ORDERS[order](call.body.splitlines())
        return Inference(b"".join(model(row) + b"\n" for row in rows), "text/csv")

    world = transformed(records, answers)
    groups = [call.body.splitlines() for call in world.endpoint.calls if call.body.count(b"\n") > 1]
    if order != "the first for all" and world.summary(KEY)["answer_format"] != "None":
        # No group shows that its answers are not in order, or the probe has shown that they are.
        probe = groups[0]
        assert len(set(map(model, probe))) == 1 or ORDERS[order](probe) == probe
    if world.summary(KEY)["answer_format"] == "None":
        assert lines_of(world) == [model(one) for one in records]


@given(first=st.integers(0, 9), second=st.integers(0, 9))
def test_the_row_of_the_probe_is_changed_by_each_order(first: int, second: int) -> None:
    row = evidence.in_no_order(first, second)
    others = [row[::-1], sorted(row), sorted(row, reverse=True), list(dict.fromkeys(row))]
    others += [row[at:] + row[:at] for at in range(1, len(row))]
    assert all((other != row) == (first != second) for other in others if len(other) == len(row))


def found(record: bytes, counts: Sequence[int]) -> list[str]:
    """What a container finds in a record: named entities, labels."""
    number = int(record)
    return [f"{one} of {number}" for one in range(counts[number])]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
@given(
    later=st.lists(st.sampled_from([0, 1, 1, 1, 1, 2]), max_size=150),
    seed=st.integers(0, 100),
    first_receive=st.sampled_from([1, 3]),
)
@example([1, 1, 1, 2, 0] * 30, 0, 1)
@example([1] * 100 + [2] + [1] * 40 + [0], 0, 3)
@example([1] * 60 + [2, 0] + [1] * 40 + [2], 1, 1)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_after_an_answer_with_another_number_each_record_is_answered_alone(
    content_type: str, later: list[int], seed: int, first_receive: int
) -> None:
    counts = [1, 1, 1, 1, *later]
    records = [b"%d" % number for number in range(len(counts))]
    is_json = content_type == "application/json"
    is_suspect: list[Call] = []

    def answers(call: Call) -> Inference:
        lines = call.body.split()
        all_of_them = [one for line in lines for one in found(line, counts)]
        if len(all_of_them) != len(lines) and (is_json or all_of_them or len(lines) > 1):
            is_suspect.append(call)  # a record without any content alone is only its own failure
        body = json.dumps(all_of_them) if is_json else "".join(f"{one}\n" for one in all_of_them)
        return Inference(body.encode(), content_type)

    world = Transforms()
    world.endpoint.answer = answers
    world.drop(KEY, b"".join(one + b"\n" for one in records))
    dice = random.Random(seed)
    world.run(dice.randrange, first_receive=first_receive)
    lines = lines_of(world)
    if not is_suspect:
        return  # No call has shown it, and none can.
    assert world.summary(KEY)["answer_format"] == "None"
    for record, line in zip(records, lines, strict=True):
        own = found(record, counts)
        expected = json.dumps(own, separators=(",", ":")) if is_json else own[0] if len(own) == 1 else ""
        assert line.decode() == expected
    alone = [call.body for call in world.endpoint.calls if call.body.count(b"\n") == 1]
    parts = world.summary(KEY)["parts"]
    assert len(alone) - len(set(alone)) <= 2 + 2 * parts, "few records are paid for twice alone, none within a part"


def test_the_parts_of_before_are_sent_again_once() -> None:
    """The number of answers is wrong in the last part only; the ones before may hold others' answers by chance."""
    counts = [1, 1] + [1] * 498
    counts[100:102] = [2, 0]
    counts[-1] = 2
    records = [b"%d" % number for number in range(len(counts))]

    def answers(call: Call) -> Inference:
        return Inference(json.dumps([one for line in call.body.split() for one in found(line, counts)]).encode())

    world = transformed(records, answers)
    assert [json.loads(line) for line in lines_of(world)] == [found(one, counts) for one in records]
    assert world.summary(KEY)["failed"] == 0
    alone = [call.body for call in world.endpoint.calls if call.body.count(b"\n") == 1]
    assert set(alone) == {one + b"\n" for one in records}
    assert len(alone) == len(records) + 2, "only those of the probe, whose part is sent again"
    assert len(world.endpoint.calls) < len(records) + 60


@pytest.mark.parametrize("metadata", [{}, {"answer_format": "Lines"}])
@pytest.mark.parametrize("content_type", ["text/html", "text/csv"])
@pytest.mark.parametrize("count", [50, 100, 200])
def test_a_page_of_a_proxy_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, content_type: str, count: int, metadata: dict[str, str]
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 1000)
    page = b"<html>\n<head><title>Sign in</title></head>\n<body>\n<h1>Session expired</h1>\n</body>\n</html>\n"
    calls: list[Call] = []

    def answers(call: Call) -> Inference:
        calls.append(call)
        if metadata or len(calls) > 3:
            return Inference(page, content_type)
        return Inference(call.body, "text/csv")

    world = transformed([b"%d" % number for number in range(count)], answers, **metadata)
    assert (f"{KEY}.out" in world.results.objects) != bool(metadata)
    assert all(b"<html>" not in one.body for key, one in world.results.objects.items() if key.endswith(".out"))


def test_one_page_of_a_proxy_does_not_end_the_groups() -> None:
    calls: list[Call] = []

    def answers(call: Call) -> Inference:
        calls.append(call)
        if len(calls) == 5:
            return Inference(b"<html>\n</html>\n", "text/html")
        return Inference(call.body, "text/csv")

    records = [b"%d" % number for number in range(300)]
    world = transformed(records, answers)
    assert lines_of(world) == records
    assert world.summary(KEY)["answer_format"] == "Lines"
    assert len(world.endpoint.calls) < 30


def test_a_record_with_an_error_instead_of_an_answer_fails_alone() -> None:
    """A container that answers 200 with an error, to a group and to the record alone."""

    def answers(call: Call) -> Inference:
        if b"bad" in call.body:
            return Inference(b'{"error": "a row is bad"}', "application/json")
        predictions = [len(line) for line in call.body.split()]
        return Inference(json.dumps({"predictions": predictions}).encode(), "application/json")

    records = [b"x" * (number % 9 + 1) for number in range(200)]
    records[70] = b"bad"
    world = transformed(records, answers)
    assert world.summary(KEY)["answer_format"] == "JSONField:predictions"
    assert [error["Line"] for error in world.errors(KEY)] == [71]
    assert lines_of(world) == [b"%d" % len(one) if one != b"bad" else b"" for one in records]
    assert len(world.endpoint.calls) < 40


def test_a_format_that_is_set_stays_and_its_groups_are_confirmed() -> None:
    counts = [1] * 300
    counts[40], counts[41], counts[200] = 2, 0, 2
    records = [b"%d" % number for number in range(300)]

    def answers(call: Call) -> Inference:
        return Inference(json.dumps([one for line in call.body.split() for one in found(line, counts)]).encode())

    world = transformed(records, answers, answer_format="JSONArray")
    assert world.summary(KEY)["answer_format"] == "JSONArray"
    failed = {error["Line"] - 1 for error in world.errors(KEY)}
    assert 200 in failed
    lines = lines_of(world)
    for number, line in enumerate(lines):
        if number not in {40, 41}:  # in a part whose number is right; the format is set
            assert line == (b"" if number in failed else b'"0 of %d"' % number)


def test_a_model_that_refuses_records_is_no_reason_to_confirm_groups() -> None:
    def answers(call: Call) -> Inference | Exception:
        return refusal() if b"7\n" in call.body else Inference(call.body, "text/csv")

    records = [b"%03d" % number for number in range(200)]
    world = Transforms()
    world.endpoint.answer = answers
    world.drop(KEY, b"".join(one + b"\n" for one in records))
    world.run()
    assert lines_of(world) == [b"" if one.endswith(b"7") else one for one in records]
    alone = [call.body for call in world.endpoint.calls if call.body.count(b"\n") == 1]
    assert len(alone) == len(set(alone))
