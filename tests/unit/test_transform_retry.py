"""A retry sends only the records without an answer, and the result is the one that a first run would have given."""

import gzip
import itertools
import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import sluice.transform.options
from sluice.failures import Operation
from sluice.ports import Inference
from sluice.processing.outcome import Status
from tests.support.fakes import Answer, Call, Fuse, Killed, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
REFUSED = service_error(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 40)


def refusing(*marks: bytes) -> Callable[[Call], Answer]:
    """A model that answers each line with its length and itself, and refuses requests that have one of `marks`."""

    def answer(call: Call) -> Answer:
        if any(mark in call.body for mark in marks):
            return REFUSED
        lines = call.body.rstrip(b"\n").split(b"\n")
        return Inference(b"".join(b"%d,%b\n" % (len(line), line) for line in lines), "text/csv")

    return answer


@pytest.fixture
def world() -> Transforms:
    made = Transforms()
    made.endpoint.answer = refusing(b"x")
    return made


def sent_lines(world: Transforms) -> set[bytes]:
    return {line for call in world.endpoint.calls for line in call.body.split(b"\n") if line}


def expected(content: bytes, key: str = KEY, **metadata: str) -> bytes:
    """What a first run gives whose model answers everything."""
    world = Transforms()
    world.endpoint.answer = refusing()
    world.drop(key, content, metadata=metadata)
    world.run()
    return world.out(key)


def retry(world: Transforms, key: str = KEY, *, model: Callable[[Call], Answer], **options: Any) -> None:
    world.endpoint.calls.clear()
    world.endpoint.answer = model
    world.retry(key)
    world.run(**options)


ROWS = b"a,b\n" + b"".join(b"%d,%b\n" % (n, b"xy"[n % 3 > 0 :] * (n % 5)) for n in range(60)) + b"\n\n7,8"
OPTIONS: list[dict[str, str]] = [
    {},
    {"csv-header": "true"},
    {"assemble-with": "None"},
    {"batch-strategy": "SingleRecord"},
    {"join-source": "Input"},
    {"join-source": "Input", "output-filter": "$[0,-1]"},
    {"input-filter": "$[1:]"},
    {"answer-format": "Lines", "error-threshold": "90%"},
]


@pytest.mark.parametrize("metadata", OPTIONS, ids=str)
@pytest.mark.parametrize("chunk", [40, 200, 100_000])
def test_the_result_is_that_of_a_first_run(
    world: Transforms, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, str], chunk: int
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", chunk)
    world.drop(KEY, ROWS, metadata=metadata)
    world.run()
    failed = world.summary(KEY)["failed"]
    assert failed > 10
    retry(world, model=refusing())
    assert world.out(KEY) == expected(ROWS, **metadata)
    assert world.errors(KEY) == []
    summary = world.summary(KEY)
    assert (summary["failed"], summary["untried"]) == (0, 0)
    assert summary["succeeded"] + summary["not_sent"] == summary["records"] == 64
    assert all(b"x" in line for line in sent_lines(world)), "only the failed lines are sent"
    assert not world.dead_letters.sent


@pytest.mark.parametrize("metadata", OPTIONS, ids=str)
def test_what_fails_again_stays_listed(world: Transforms, metadata: dict[str, str]) -> None:
    world.drop(KEY, ROWS, metadata=metadata)
    world.run()
    before = {error["Line"] for error in world.errors(KEY)}
    retry(world, model=refusing(b"yx"))
    listed = {error["Line"]: error for error in world.errors(KEY)}
    assert {error["Record"] for error in listed.values()} <= {line.decode() for line in ROWS.split(b"\n")}
    assert 0 < len(listed) < len(before)
    assert all("yx" in error["Record"] for error in listed.values())
    assert not {"At", "Offset"} & {name for error in listed.values() for name in error}
    retry(world, model=refusing())
    assert world.out(KEY) == expected(ROWS, **metadata)
    assert world.errors(KEY) == []


def test_a_packed_file(world: Transforms) -> None:
    key = KEY + ".gz"
    world.drop(key, gzip.compress(ROWS))
    world.run()
    retry(world, key, model=refusing())
    assert world.out(key) == expected(gzip.compress(ROWS), key)


def test_a_file_that_is_one_call(world: Transforms) -> None:
    world.drop(KEY, b"1\nx\n", metadata={"split-type": "None"})
    world.run()
    assert json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorCode"] == "NoRecordSucceeded"
    world.endpoint.answer = refusing()
    world.redrive()
    world.run()
    assert world.out(KEY) == b"1,1\n1,x\n"
    assert f"{KEY}.err" not in world.results.objects


def test_nothing_is_called_for_a_file_without_failed_records(world: Transforms) -> None:
    world.drop(KEY, b"1\n2\n")
    world.run()
    before = world.results.objects[f"{KEY}.out"]
    retry(world, model=refusing())
    assert not world.endpoint.calls
    assert world.out(KEY) == before.body


def test_an_event_of_the_same_version_does_not_retry(world: Transforms) -> None:
    event = world.drop(KEY, ROWS)
    world.run()
    world.endpoint.calls.clear()
    world.endpoint.answer = refusing()
    world.splits.bodies.append(json.dumps(event))
    world.run()
    assert not world.endpoint.calls


def test_a_retry_is_done_once_however_often_it_is_delivered(world: Transforms) -> None:
    world.drop(KEY, ROWS)
    world.run()
    retry(world, model=refusing())
    calls = len(world.endpoint.calls)
    world.runs -= 1
    world.retry(KEY)
    world.run()
    assert len(world.endpoint.calls) == calls
    assert world.out(KEY) == expected(ROWS)


def test_a_part_that_runs_out_of_time_continues(world: Transforms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 100_000)
    world.drop(KEY, ROWS, metadata={"batch-strategy": "SingleRecord"})
    world.run()
    world.endpoint.answer = refusing()
    looks = itertools.count(1)
    world.remaining_ms = lambda: 0.0 if next(looks) % 7 == 0 else 100_000.0
    world.endpoint.calls.clear()
    world.retry(KEY)
    world.run()
    assert world.out(KEY) == expected(ROWS)
    assert world.summary(KEY)["failed"] == 0


def test_a_throttled_retry_keeps_the_result_and_has_one_dead_letter(world: Transforms) -> None:
    world.drop(KEY, ROWS)
    world.run()
    before = world.out(KEY)
    retry(world, model=lambda call: THROTTLED)
    assert world.out(KEY) == before
    assert f"{KEY}.err" not in world.results.objects, "the file has a result"
    assert [one["ErrorCode"].value for _, one in world.dead_letters.sent] == ["ThrottlingException"]
    world.endpoint.answer = refusing()
    world.redrive()
    world.run()
    assert world.out(KEY) == expected(ROWS)


def test_a_file_whose_records_all_failed_is_answered_after_a_redrive(world: Transforms) -> None:
    content = b"".join(b"%dx\n" % n for n in range(12))
    world.drop(KEY, content)
    world.run(first_receive=1)
    assert len(world.dead_letters.sent) == 1
    world.endpoint.answer = refusing()
    world.redrive()
    world.run()
    assert world.out(KEY) == expected(content)
    assert f"{KEY}.err" not in world.results.objects
    assert world.errors(KEY) == []


def test_parts_that_have_expired_are_not_sent_again(world: Transforms) -> None:
    world.drop(KEY, ROWS)
    world.run()
    before = world.out(KEY)
    for key in [key for key in world.results.objects if key.startswith("parts/")]:
        del world.results.objects[key]
    retry(world, model=refusing())
    assert not world.endpoint.calls
    assert world.out(KEY) == before
    (sent,) = world.dead_letters.sent
    assert "its parts have expired" in sent[1]["ErrorMessage"].value


def test_a_newer_upload_is_not_mixed_with_a_retry(world: Transforms) -> None:
    world.drop(KEY, ROWS)
    world.run()
    world.endpoint.answer = refusing()
    world.retry(KEY)
    world.process(world.splits.bodies.pop())
    world.drop(KEY, b"1\n")
    world.run()
    assert world.out(KEY) == b"1,1\n"
    assert world.errors(KEY) == []
    assert world.summary(KEY)["records"] == 1
    assert not world.dead_letters.sent


def test_only_files_under_transform_can_be_retried(world: Transforms) -> None:
    world.drop("invoke/a.csv", b"1")
    world.splits.bodies.clear()
    (outcome,) = world.process(world.retry("invoke/a.csv"))
    assert outcome.failure is not None
    assert outcome.failure.code == "InvalidMessage"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of what a kill leaves unawaited
@pytest.mark.parametrize("seed", range(30))
def test_kills_duplicates_and_two_retries_at_once_lose_and_mix_nothing(seed: int) -> None:
    rng = random.Random(seed)
    world = Transforms()
    world.endpoint.answer = refusing(b"x")
    metadata = rng.choice(OPTIONS)
    world.drop(KEY, ROWS, metadata=metadata)
    world.run()
    flaky = refusing(b"yx") if rng.random() < 0.5 else refusing()
    world.endpoint.answer = lambda call: THROTTLED if rng.random() < 0.2 else flaky(call)
    for turn in range(2):
        body = world.retry(KEY)
        world.splits.bodies.clear()
        world.process(body, message_id=f"retry {turn}")
    bodies = [*world.requests.bodies, *rng.sample(world.requests.bodies, 3)]
    world.requests.bodies.clear()
    rng.shuffle(bodies)
    for number, body in enumerate(bodies):
        for receive in (1, 2, 3):
            try:
                ended = world.process(
                    body, fuse=Fuse(rng.randrange(1, 30)), message_id=f"{number}", receive_count=receive
                )
            except Killed:
                continue
            if all(one.acknowledged for one in ended):
                break
    world.run(choose=rng.randrange, first_receive=1)
    world.endpoint.answer = refusing()
    world.retry(KEY)
    world.run(choose=rng.randrange, first_receive=1)
    assert world.out(KEY) == expected(ROWS, **metadata)
    assert world.errors(KEY) == []
    assert world.summary(KEY)["failed"] == 0


def test_a_retry_that_was_overtaken_leaves_the_counts_of_the_later_one(world: Transforms) -> None:
    world.drop(KEY, ROWS)
    world.run()

    def assembly(model: Callable[[Call], Answer]) -> str:
        world.endpoint.answer = model
        world.runs += 1
        world.retry(KEY)
        (event,) = world.splits.bodies
        world.splits.bodies.clear()
        world.process(event, age=timedelta(seconds=-world.runs), message_id=f"{world.runs}")
        while world.requests.bodies:
            world.process(world.requests.bodies.pop(0))
        body = world.assemblies.bodies[-1]
        world.assemblies.bodies.clear()
        return body

    older = assembly(refusing(b"yx"))
    newer = assembly(refusing())

    class Meanwhile(Fuse):
        async def around(self, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if name == "upload" and str(args[0]).endswith(".out"):
                (outcome,) = world.process(newer)
                assert outcome.status is Status.SUCCEEDED
            return await super().around(name, operation, *args, **kwargs)

    world.process(older, fuse=Meanwhile())
    assert world.out(KEY) == expected(ROWS)
    assert world.errors(KEY) == []
    assert world.summary(KEY)["failed"] == 0
