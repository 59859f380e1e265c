"""Retries of files of every kind: records of several lines, OpenAI batch files, parts that are done only in places."""

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

import sluice.transform.batch_file
import sluice.transform.options
import sluice.transform.progress
import sluice.transform.splitter
import sluice.transform.work
from sluice.concurrency import sleep
from sluice.failures import Operation
from sluice.ports import Inference
from tests.support.fakes import Answer, Call, service_error
from tests.support.transform import Transforms

ROWS, REQUESTS = "transform/wine/rows.csv", "transform/wine/requests.jsonl"
REFUSED = service_error(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")

Model = Callable[[Call], Answer]


def refusing(mark: bytes | None = None) -> Model:
    """A model that answers each record of CSV with its length, and others with JSON, unless it has `mark`."""

    def answer(call: Call) -> Answer:
        if mark is not None and mark in call.body:
            return REFUSED
        if call.parameters["ContentType"] == "application/json":
            return Inference(b'{"said": %b}' % call.body.strip(), "application/json")
        found = csv.reader(io.StringIO(call.body.decode(), newline=""))
        return Inference(b"".join(b"%d\n" % len("".join(row)) for row in found), "text/csv")

    return answer


def table(number: int, seed: int = 0) -> bytes:
    """CSV with line breaks in quotes. Records of both kinds have an x or an xy."""
    rng = random.Random(seed)
    marks = ["", "", "x", "xy"]
    texts = [rng.choice(marks) + "b\n" * rng.choice([0, 0, 0, 1, 30]) for _ in range(number)]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([str(row), text] for row, text in enumerate(texts))
    return buffer.getvalue().encode()


def requests(number: int, seed: int = 0) -> bytes:
    """A batch file with empty lines, lines that are no requests, and custom_ids that an earlier one has."""
    rng = random.Random(seed)
    lines = []
    for row in range(number):
        text = rng.choice(["", "", "x", "xy"])
        name = "0" if row and rng.random() < 0.05 else f"{row}"
        one = {"custom_id": name, "method": "POST", "url": "/v1/x", "body": {"said": text, "row": row}}
        lines += [json.dumps(one), *rng.choice([[], [], [], [], [""], ["wrong"]])]
    return "\n".join(lines).encode()


def first_run(key: str, content: bytes, metadata: dict[str, str], model: Model) -> Transforms:
    world = Transforms()
    world.endpoint.answer = model
    world.drop(key, content, metadata=metadata)
    world.run()
    return world


def retried(world: Transforms, key: str, model: Model, **options: Any) -> None:
    world.endpoint.calls.clear()
    world.endpoint.answer = model
    world.retry(key)
    world.run(**options)


def flaky(model: Model, rng: random.Random, share: float) -> Model:
    return lambda call: THROTTLED if rng.random() < share else model(call)


def assert_as_a_first_run(world: Transforms, key: str, content: bytes, metadata: dict[str, str]) -> None:
    expected = first_run(key, content, metadata, refusing())
    assert world.out(key) == expected.out(key)
    assert world.errors(key) == expected.errors(key)
    assert world.results.objects[f"{key}.out"].content_type == expected.results.objects[f"{key}.out"].content_type
    names = ("records", "succeeded", "failed", "not_sent", "untried", "record_format")
    found, wanted = world.summary(key), expected.summary(key)
    assert {name: found[name] for name in names} == {name: wanted[name] for name in names}


KINDS: list[tuple[str, Callable[[int, int], bytes], dict[str, str]]] = [
    (REQUESTS, requests, {}),
    (REQUESTS, requests, {"error-threshold": "95%"}),
    (REQUESTS, requests, {"record-format": "OpenAIBatch", "assemble-with": "None"}),
    (ROWS, table, {}),
    (ROWS, table, {"csv-header": "repeat"}),
    (ROWS, table, {"assemble-with": "None", "batch-strategy": "SingleRecord"}),
    (ROWS, table, {"join-source": "Input", "answer-format": "Lines"}),
]


@pytest.fixture(autouse=True, params=["read first", "not read first"])
def _split(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "not read first":  # as if the first quotes were after the beginning that is looked at
        monkeypatch.setattr(sluice.transform.splitter, "has_quotes", lambda beginning, delimiter: False)


@pytest.fixture(params=[40, 300, 100_000])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", request.param)
    for module in (sluice.transform.work, sluice.transform.progress):
        monkeypatch.setattr(module, "MAX_CHUNK_BYTES", request.param)
    return int(request.param)


def _name(parameter: object) -> str:
    """The same in each process: the address of a function is not."""
    return getattr(parameter, "__name__", str(parameter))


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize(("key", "written", "metadata"), KINDS, ids=_name)
def test_the_result_is_that_of_a_first_run(
    key: str, written: Callable[[int, int], bytes], metadata: dict[str, str]
) -> None:
    content = written(80, 1)
    world = first_run(key, content, metadata, refusing(b"x"))
    before = world.summary(key)["failed"]
    assert before > 20
    retried(world, key, refusing(b"xy"))
    assert 5 < world.summary(key)["failed"] < before
    retried(world, key, refusing())
    assert all(b"x" in call.body for call in world.endpoint.calls)
    assert_as_a_first_run(world, key, content, metadata)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("key", "written", "metadata"), KINDS, ids=_name)
def test_parts_that_are_done_only_in_places(
    key: str, written: Callable[[int, int], bytes], metadata: dict[str, str], seed: int
) -> None:
    """Calls are throttled in the middle of a part, and functions run out of time, in the first run and in retries."""
    rng = random.Random(seed)
    content = written(40, seed)
    world = Transforms(concurrent_calls=rng.choice([1, 3, 10]), concurrent_functions=rng.choice([1, 5]))
    looks, every = count(1), rng.choice([5, 9, 10**9])
    world.remaining_ms = lambda: 0.0 if next(looks) % every == 0 else 100_000.0
    share = rng.choice([0.1, 0.6, 0.9])
    world.endpoint.answer = flaky(refusing(b"x"), rng, share)
    world.drop(key, content, metadata=metadata)
    world.run(rng.randrange, first_receive=1)
    for model in (refusing(b"xy"), refusing()):
        retried(world, key, flaky(model, rng, share), choose=rng.randrange, first_receive=1)
    world.remaining_ms = lambda: 100_000.0
    retried(world, key, refusing(), choose=rng.randrange)
    assert_as_a_first_run(world, key, content, metadata)


@pytest.mark.parametrize("metadata", [{}, {"join-source": "Input"}], ids=str)
def test_a_retry_without_any_new_answer_changes_nothing(metadata: dict[str, str]) -> None:
    key = "transform/wine/rows.csv"
    content = table(40)
    world = first_run(key, content, metadata, refusing(b"x"))
    before, errors = world.results.objects[f"{key}.out"], world.errors(key)
    retried(world, key, refusing(b"x"))
    after = world.results.objects[f"{key}.out"]
    assert (after.body, after.content_type) == (before.body, before.content_type)
    assert world.errors(key) == errors


def test_a_slow_retry_is_divided_among_the_functions() -> None:
    content = b"".join(b"%03d,%b\n" % (row, b"x" if row % 3 else b"") for row in range(180))
    world = Transforms(concurrent_calls=4, concurrent_functions=3)
    world.endpoint.answer = refusing(b"x")
    world.drop(ROWS, content, metadata={"batch-strategy": "SingleRecord"})
    world.run()
    assert world.summary(ROWS)["failed"] == 120

    async def slow(call: Call) -> Answer:
        await sleep(10)
        return Inference(call.body, "text/csv")

    world.endpoint.answer = slow
    world.endpoint.calls.clear()
    world.retry(ROWS)
    world.run()
    assert world.out(ROWS) == b"".join(line if b"x" in line else b"3\n" for line in content.splitlines(keepends=True))
    assert Counter(call.body for call in world.endpoint.calls).most_common(1)[0][1] == 1, "each once"
    assert len(world.endpoint.calls) == 120
    summary = world.summary(ROWS)
    assert (summary["parts"], summary["failed"], summary["calls"]) == (3, 0, 300)
