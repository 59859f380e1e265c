"""Until a record is answered, records from all over a part are tried, each time others: however records are sent."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sluice.transform.options
from sluice.failures import ServiceError
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.bisect import PATIENCE
from tests.support.containers import refusal
from tests.support.fakes import Call
from tests.support.transform import Transforms

_WITH_ALL = 4 * PATIENCE
_IN_ORDER = 8  # the first ones, which each run tries


def row(number: int) -> str:
    return f"{number:05d}"


def document(number: int) -> str:
    return f'{{"number":"{number:05d}"}}'


def request(number: int) -> str:
    body = {"model": f"{number:05d}"}
    return json.dumps({"custom_id": f"id{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})


@dataclass(frozen=True)
class Way:
    """A way of sending records: with a probe or without, alone or together."""

    key: str
    record: Callable[[int], str]
    metadata: dict[str, str] = field(default_factory=dict)
    content_type: str = "text/csv"


WAYS = {
    "probe": Way("rows.csv", row),
    "alone": Way("rows.csv", row, {"batch-strategy": "SingleRecord"}),
    "together": Way("rows.csv", row, {"answer-format": "Lines"}),
    "JSON": Way("rows.json", document, {}, "application/json"),
    "OpenAI": Way("rows.jsonl", request, {}, "application/jsonlines"),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


class Model:
    """A model that takes a record only if its number is `good`; and what was sent to it, by number."""

    def __init__(self, good: range) -> None:
        self.good = good
        self.answered: Counter[int] = Counter()
        self.alone: list[int] = []

    def __call__(self, call: Call) -> Inference | ServiceError:
        numbers = [int(found) for found in re.findall(rb"[0-9]{5}", call.body)]
        if len(numbers) == 1:
            self.alone += numbers
        if not all(number in self.good for number in numbers):
            return refusal()
        self.answered.update(numbers)
        return Inference(b"".join(b'{"n":%d}\n' % number for number in numbers), "application/jsonlines")


def dropped(way: Way, model: Model, count: int, **options: Any) -> tuple[Transforms, str]:
    world = Transforms(**options)
    world.endpoint.answer = model
    key = f"transform/wine/{way.key}"
    content = "".join(way.record(number) + "\n" for number in range(count)).encode()
    world.drop(key, content, metadata=way.metadata, content_type=way.content_type)
    return world, key


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@given(st.data())
@settings(max_examples=8, deadline=None)
def test_a_tenth_of_a_part_is_found_wherever_it_is(way: Way, data: st.DataObject) -> None:
    count = data.draw(st.integers(100, 300))
    good_count = data.draw(st.integers(-(-count // 10), count))
    first = data.draw(st.integers(0, count - good_count))
    model = Model(range(first, first + good_count))
    world, key = dropped(way, model, count)
    world.run(first_receive=1)
    assert not world.dead_letters.sent
    bad = [number for number in range(count) if number not in model.good]
    assert [error["Line"] for error in world.errors(key)] == [number + 1 for number in bad]
    assert set(bad) <= set(model.alone), "a record is refused only when it was sent alone"
    assert model.answered.keys() == set(model.good)
    again = model.answered.total() - good_count
    if way is not WAYS["probe"]:
        assert again == 0, "only a probe sends records again"
    elif sum(number in model.good for number in range(_IN_ORDER)) > 1:
        assert again == 4, "four together"
    else:
        # No order is shown by one record. Two alone and four together show it, and one alone of each group until then.
        assert again <= 4 + 2 + 4 + 2 * math.log2(count)


@ways
def test_a_file_of_one_part_without_an_answer_costs_few_calls(way: Way) -> None:
    model = Model(range(0))
    world, key = dropped(way, model, 2000)
    world.run(first_receive=1)
    assert f"{key}.out" not in world.results.objects
    assert len(world.dead_letters.sent) == 1
    assert len(model.alone) == len(set(model.alone)) == _WITH_ALL
    assert len(world.endpoint.calls) <= 2 * _WITH_ALL
    thirds = Counter(number * 3 // 2000 for number in model.alone)
    assert min(thirds[third] for third in range(3)) >= _WITH_ALL // 5, "from all over"


@ways
def test_a_redrive_tries_other_records(way: Way) -> None:
    model = Model(range(0))
    world, _ = dropped(way, model, 2000)
    tried = set[int]()
    for run in range(4):
        world.run(first_receive=1)
        assert len(set(model.alone) - tried) >= (_WITH_ALL if not run else (_WITH_ALL - _IN_ORDER) * 0.8)
        tried |= set(model.alone)
        model.alone.clear()
        world.redrive()


@ways
def test_each_receive_tries_other_records(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 200 * (len(way.record(0)) + 1))
    model = Model(range(0))
    world, _ = dropped(way, model, 400, max_receive_count=30)
    world.process(world.splits.bodies.pop())
    first = world.requests.bodies[0]
    for receive_count in range(1, 20):
        (outcome,) = world.process(first, receive_count=receive_count)
        assert outcome.status is Status.RETRY
    assert len(model.alone) <= PATIENCE + 18 * PATIENCE // 4 + 2, "of calls side by side, two may be refused at once"
    assert len(set(model.alone)) >= PATIENCE + 18 * PATIENCE // 4 - _IN_ORDER


@ways
def test_throttling_is_no_evidence_against_records(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent in order, so that the last ones can be given to other functions."""
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 200 * (len(way.record(0)) + 1))
    model = Model(range(400))
    world, _ = dropped(way, model, 400)
    world.process(world.splits.bodies.pop())
    (outcome,) = world.process(world.requests.bodies[0], receive_count=2)
    assert outcome.status is Status.SUCCEEDED
    assert model.alone == sorted(model.alone)
