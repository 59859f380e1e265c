"""A record is refused only when it was sent alone, and a file's verdict is taken over the file."""

import json
import random
from typing import Any

import pytest

import sluice.transform.options
from sluice.failures import ModelRetry, Operation, ServiceError
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.bisect import PATIENCE
from tests.support.fakes import Call, Fuse, Killed, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
CHUNK = 40


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", CHUNK)


def echo(call: Call) -> Inference | ServiceError:
    """The lines; refuses a request with an x in it."""
    if b"x" in call.body:
        return service_error(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)
    return Inference(call.body, "text/csv")


@pytest.fixture
def world() -> Transforms:
    made = Transforms()
    made.endpoint.answer = echo
    return made


def reason(world: Transforms) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.results.objects[f"{KEY}.err"].body)
    return document


def called_alone(world: Transforms) -> set[bytes]:
    return {call.body.strip() for call in world.endpoint.calls if call.body.count(b"\n") == 1}


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("chunk", [CHUNK, 500, 100_000])
def test_no_good_record_is_lost_whatever_the_share_of_bad_ones(
    world: Transforms, monkeypatch: pytest.MonkeyPatch, share: float, chunk: int
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", chunk)
    count = 1000
    bad = set(random.Random(3).sample(range(2, count), round(share * (count - 2))))
    lines = [b"x%d" % number if number in bad else b"%d" % number for number in range(count)]
    world.drop(KEY, b"\n".join(lines) + b"\n")
    world.run(first_receive=1)
    assert world.out(KEY) == b"".join((b"" if number in bad else lines[number]) + b"\n" for number in range(count))
    assert [error["Line"] for error in world.errors(KEY)] == [number + 1 for number in sorted(bad)]
    assert {lines[number] for number in bad} <= called_alone(world)
    assert not world.dead_letters.sent


def test_bad_rows_alone_in_a_part_fail_no_file(world: Transforms) -> None:
    good = b"".join(b"%d\n" % number for number in range(100, 150))
    world.drop(KEY, good + b"x1\nx2\n")
    world.run()
    assert world.out(KEY) == good + b"\n\n"
    assert not world.dead_letters.sent


@pytest.mark.parametrize(("status", "code"), [(0, "NoResponse"), (507, "ModelError"), (500, "ModelError")])
def test_a_row_that_ends_the_models_process_fails_alone(world: Transforms, status: int, code: str) -> None:
    """Its part is retried first: the process may have ended for another reason."""

    def answer(call: Call) -> Inference | ServiceError:
        if b"x" not in call.body:
            return Inference(call.body, "text/csv")
        retry = ModelRetry(statuses=(500,), attempts=2)
        return service_error(Operation.INVOKE, "ModelError", "", original_status_code=status, model_retry=retry)

    world.endpoint.answer = answer
    lines = [b"x%d" % number if number in {3, 77} else b"%d" % number for number in range(100)]
    world.drop(KEY, b"\n".join(lines) + b"\n")
    world.run(first_receive=1)
    assert world.out(KEY) == b"".join((b"" if number in {3, 77} else line) + b"\n" for number, line in enumerate(lines))
    assert [(error["Line"], error["ErrorCode"]) for error in world.errors(KEY)] == [(4, code), (78, code)]
    assert not world.dead_letters.sent
    assert {lines[3], lines[77]} <= called_alone(world)
    most = max(sum(lines[number] in call.body.split() for call in world.endpoint.calls) for number in (3, 77))
    assert most <= 10


def test_a_part_of_bad_rows_decides_on_no_format(world: Transforms) -> None:
    good = b"".join(b"%d\n" % number for number in range(100, 150))
    world.drop(KEY, b"x12\n" * 10 + good)
    world.run(first_receive=1)
    assert world.out(KEY) == b"\n" * 10 + good
    assert world.summary(KEY)["answer_format"] == "Lines"


def test_a_part_with_many_refusals_goes_on_when_another_part_is_answered(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 400)
    bad = b"".join(b"%03dx\n" % number for number in range(80))
    world.drop(KEY, bad + b"001\n" * 100)
    world.process(world.splits.bodies.pop())
    first, *others = world.requests.bodies
    (outcome,) = world.process(first)
    assert outcome.status is Status.RETRY
    assert outcome.failure is not None
    assert outcome.failure.code == "NothingAnswered"
    assert outcome.failure.original_status_code == 400
    assert "ModelError" in outcome.failure.message
    assert len(world.endpoint.calls) == PATIENCE
    for body in others:
        world.process(body)
    (outcome,) = world.process(first, receive_count=2)
    assert outcome.status is Status.SUCCEEDED
    world.requests.bodies.clear()
    world.run()
    assert world.out(KEY) == b"\n" * 80 + b"001\n" * 100
    assert {error["ErrorCode"] for error in world.errors(KEY)} == {"ModelError"}


@pytest.mark.parametrize("at", [0, 7, 8, 30, 59])
def test_the_one_good_row_of_a_file_of_one_part_is_found(
    world: Transforms, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 4000)
    rows = [b"x%d" % number for number in range(60)]
    rows[at] = b"1"
    world.drop(KEY, b"\n".join(rows))
    world.run(first_receive=1)
    assert world.out(KEY).split(b"\n")[:-1] == [b"1" if number == at else b"" for number in range(60)]


def test_a_file_of_one_part_without_an_answer_fails_at_once(world: Transforms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 4000)
    world.drop(KEY, b"".join(b"x%d\n" % number for number in range(200)))
    world.run(first_receive=1)
    assert_failed_once(world, "NoRecordSucceeded")
    assert len(world.endpoint.calls) == 4 * PATIENCE


@pytest.mark.parametrize("receive_count", [1, 2, 3])
def test_refusals_around_an_answer_are_those_of_their_records(world: Transforms, receive_count: int) -> None:
    world.drop(KEY, b"x\nx\n0\n0\nx\nx\n" + b"1" * 70 + b"\n")
    world.process(world.splits.bodies.pop())
    for body in world.requests.bodies:
        (outcome,) = world.process(body, receive_count=receive_count)
        assert outcome.status is Status.SUCCEEDED
    world.requests.bodies.clear()
    world.run()
    assert world.out(KEY) == b"\n\n0\n0\n\n\n" + b"1" * 70 + b"\n"


def test_a_broken_model_costs_few_calls(world: Transforms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 4000)
    world.drop(KEY, b"".join(b"%05dx\n" % number for number in range(2000)))
    world.process(world.splits.bodies.pop())
    for number, body in enumerate(world.requests.bodies):
        deliveries = [world.process(body, receive_count=count, message_id=f"{number}") for count in (1, 2, 3)]
        ended = [outcome.status for (outcome,) in deliveries]
        assert ended == [Status.RETRY, Status.RETRY, Status.FAILED_WITH_FILE if number else Status.DEAD_LETTERED]
    world.requests.bodies.clear()
    assert f"{KEY}.out" not in world.results.objects
    assert_failed_once(world, "NothingAnswered")
    assert reason(world)["OriginalStatusCode"] == 400
    assert len(world.endpoint.calls) == 3 * 1.5 * PATIENCE + PATIENCE + 2
    assert len(called_alone(world)) >= 0.95 * len(world.endpoint.calls), "each time other records"


def test_a_broken_model_costs_one_call_for_each_part_and_receive(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 400)
    world.drop(KEY, b"".join(b"%05dx\n" % number for number in range(4000)))
    world.process(world.splits.bodies.pop())
    parts = len(world.requests.bodies)
    assert parts == 70
    world.run(first_receive=1)
    assert_failed_once(world, "NothingAnswered")
    assert len(world.endpoint.calls) <= 4 * PATIENCE + 3 * parts


def test_many_bad_rows_at_the_start_fail_no_file(world: Transforms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 400)
    rows = b"".join(b"%05dx\n" % number for number in range(2000)) + b"1\n" * 400
    world.drop(KEY, rows)
    world.run(first_receive=1)
    assert world.out(KEY) == b"\n" * 2000 + b"1\n" * 400
    assert not world.dead_letters.sent


def test_a_model_that_works_again_continues_the_file_after_a_redrive(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 400)
    content = b"".join(b"%03dx\n" % number for number in range(200))
    world.drop(KEY, content)
    world.run()
    assert f"{KEY}.err" in world.results.objects
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    assert_failed_once(world, "NothingAnswered")
    world.redrive()
    world.run()
    assert world.out(KEY) == content
    assert f"{KEY}.err" not in world.results.objects


def assert_failed_once(world: Transforms, code: str) -> None:
    assert f"{KEY}.out" not in world.results.objects
    assert reason(world)["ErrorCode"] == code
    assert [attributes["ErrorCode"].value for _, attributes in world.dead_letters.sent] == [code]


def test_a_file_without_a_succeeded_record_in_any_part_fails(world: Transforms) -> None:
    world.drop(KEY, b"".join(b"x%09d\n\n" % number for number in range(20)), metadata={"trace-id": "mine"})
    world.run(first_receive=1)
    assert_failed_once(world, "NoRecordSucceeded")
    assert reason(world)["TraceId"] == "mine"
    assert reason(world)["EndpointName"] == "wine"
    assert reason(world)["OriginalStatusCode"] == 400
    assert "; line 1: ModelError: no" in reason(world)["ErrorMessage"]
    assert [error["Line"] for error in world.errors(KEY)] == list(range(1, 41, 2))
    counts = {name: world.summary(KEY)[name] for name in ("records", "succeeded", "failed", "not_sent")}
    assert counts == {"records": 40, "succeeded": 0, "failed": 20, "not_sent": 20}


def assembly_of(world: Transforms, content: bytes) -> str:
    """Drop a file, process its parts, and return the message of the assembly."""
    world.drop(KEY, content)
    world.process(world.splits.bodies.pop())
    while world.requests.bodies:
        world.process(world.requests.bodies.pop())
    return world.assemblies.bodies.pop()


def test_the_verdict_holds_for_each_delivery_and_each_kill(world: Transforms) -> None:
    body = assembly_of(world, b"x1" * 10 + b"\n" + b"x2" * 10 + b"\n" + b"x3" * 10 + b"\n")
    kills = 0
    for step in range(1, 100):
        try:
            (outcome,) = world.process(body, fuse=Fuse(step, after=step % 2 == 0), receive_count=min(step, 3))
        except Killed:
            kills += 1
            continue
        assert outcome.status is Status.DEAD_LETTERED
        break
    assert kills > 8
    assert f"{KEY}.out" not in world.results.objects
    assert reason(world)["ErrorCode"] == "NoRecordSucceeded"


def test_a_newer_upload_answers_and_the_older_files_failure_leaves_nothing(world: Transforms) -> None:
    body = assembly_of(world, b"x1" * 10 + b"\n" + b"x2" * 10 + b"\n" + b"x3" * 10 + b"\n")
    world.drop(KEY, b"1\n")
    (outcome,) = world.process(body)
    assert outcome.status is Status.SUPERSEDED
    assert not {f"{KEY}.err", f"{KEY}.errors.jsonl", f"{KEY}.summary.json"} & world.results.objects.keys()
    assert not world.dead_letters.sent
    world.run()
    assert world.out(KEY) == b"1\n"


def test_a_file_that_works_again_clears_its_failure(world: Transforms) -> None:
    world.drop(KEY, b"x" * 50 + b"\n" + b"x" * 50 + b"\n")
    world.run()
    assert_failed_once(world, "NoRecordSucceeded")
    world.drop(KEY, b"1\n")
    world.run()
    assert world.out(KEY) == b"1\n"
    assert f"{KEY}.err" not in world.results.objects


@pytest.mark.parametrize(
    ("content", "metadata", "example"),
    [
        (b"x\n", {}, "ModelError: no"),
        (b"x\n", {"batch-strategy": "SingleRecord"}, "ModelError: no"),
        (b"1,x\n2,x\n", {"split-type": "None"}, "ModelError: no"),
        (b"1,2\n3,4\n", {"input-filter": "$[5]"}, "InvalidRecord: the InputFilter"),
        (b"1,2\n3,4\n", {"output-filter": "$[5]"}, "AnswerNotJoined: the OutputFilter"),
        (b"1\n" * 4 + b"x\n" * 30, {"input-filter": "$[5:]"}, "InvalidRecord: the InputFilter"),
    ],
)
def test_a_small_file_without_an_answer_fails(
    world: Transforms, content: bytes, metadata: dict[str, str], example: str
) -> None:
    world.drop(KEY, content, metadata=metadata)
    world.run()
    assert_failed_once(world, "NoRecordSucceeded")
    assert f"; line 1: {example}" in reason(world)["ErrorMessage"]


@pytest.mark.parametrize("metadata", [{}, {"split-type": "None"}, {"batch-strategy": "SingleRecord"}])
def test_an_empty_answer_is_no_success(world: Transforms, metadata: dict[str, str]) -> None:
    world.endpoint.answer = lambda call: Inference(b"", "text/csv")
    world.drop(KEY, b"1\n2\n", metadata=metadata)
    world.run()
    assert_failed_once(world, "NoRecordSucceeded")
    assert "line 1: AnswerMismatch: " in reason(world)["ErrorMessage"]


def test_a_header_and_empty_lines_are_no_records_that_succeeded(world: Transforms) -> None:
    world.drop(KEY, b"name\n1\n\nx\n2\n", metadata={"csv-header": "true"})
    world.run()
    counts = {name: world.summary(KEY)[name] for name in ("records", "succeeded", "failed", "not_sent")}
    assert counts == {"records": 5, "succeeded": 2, "failed": 1, "not_sent": 2}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"name\n"])
def test_a_file_with_nothing_to_send_is_done(world: Transforms, content: bytes) -> None:
    world.drop(KEY, content, metadata={"csv-header": "true"})
    world.run()
    assert world.out(KEY) == b"\n" * content.count(b"\n")
    assert world.summary(KEY)["answer_format"] is None
    assert not world.endpoint.calls


def test_a_file_that_is_not_split_has_no_header(world: Transforms) -> None:
    world.drop(KEY, b"name\n1\n", metadata={"csv-header": "true", "split-type": "None"})
    world.run()
    assert [call.body for call in world.endpoint.calls] == [b"name\n1\n"]
    assert world.out(KEY) == b"name\n1\n"
