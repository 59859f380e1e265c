"""One AnswerFormat for a file, whichever part finds it, and whatever interrupts that."""

import json
from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sluice.transform.format_store
import sluice.transform.options
from sluice.failures import Operation, ServiceError
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.answer_format import AnswerFormat
from sluice.transform.bisect import PATIENCE
from sluice.transform.format_store import FormatStore
from sluice.transform.format_store import Stored as StoredFormat
from tests.support.fakes import FUNCTION, TIMED_OUT, Call, Stored, delivery, service_error
from tests.support.transform import Transforms
from tests.support.virtual_time import run

KEY = "transform/wine/rows.csv"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 40)


def doubled(call: Call) -> Inference | ServiceError:
    """The numbers doubled, as one field of a JSON object."""
    try:
        numbers = [2 * int(line) for line in call.body.split()]
    except ValueError:
        return service_error(Operation.INVOKE, "ModelError", "no number", status=424, original_status_code=400)
    return Inference(json.dumps({"model": "m", "doubled": numbers}).encode(), "application/json")


@pytest.fixture
def world() -> Transforms:
    made = Transforms()
    made.endpoint.answer = doubled
    return made


def rows(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(100, 100 + count))


def answered(count: int) -> bytes:
    return b"".join(b"%d\n" % (2 * number) for number in range(100, 100 + count))


def stored_format(world: Transforms) -> str:
    (key,) = [key for key in world.results.objects if key.endswith("/answer-format.json")]
    name: str = json.loads(world.results.objects[key].body)["answer_format"]
    return name


@pytest.mark.parametrize("backwards", [False, True])
def test_the_part_that_comes_first_finds_it_for_all(world: Transforms, *, backwards: bool) -> None:
    world.drop(KEY, rows(100))
    world.run((lambda waiting: waiting - 1) if backwards else (lambda waiting: 0))
    assert stored_format(world) == world.summary(KEY)["answer_format"] == "JSONField:doubled"
    assert world.out(KEY) == answered(100)
    parts = world.summary(KEY)["parts"]
    assert parts == 10
    assert len(world.endpoint.calls) == parts + 3


def test_each_part_reads_it_once(world: Transforms) -> None:
    reads: Counter[str] = Counter()

    def count(operation: str, key: str) -> None:
        if operation == "get":
            reads[key.rpartition("/")[2]] += 1

    world.results.fail = count
    world.drop(KEY, rows(100))
    world.process(world.splits.bodies.pop())
    first, *others = world.requests.bodies
    world.process(first)
    reads.clear()
    function = world.processor()
    for body in others:
        function.process(function.parse(delivery(body, sender_id=FUNCTION), lambda: 90_000))
    assert reads == {"answer-format.json": len(others)}, "it may have been refuted meanwhile"


def test_a_function_keeps_the_formats_of_some_files(world: Transforms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.format_store, "_MAX_KNOWN", 2)
    store = FormatStore(world.results)
    for number in range(5):
        assert run(store.settle(f"parts/{number}/", AnswerFormat.parse("Lines"))) == AnswerFormat.parse("Lines")
        assert len(store._known) <= 2
    assert run(store.load("parts/0/")) == StoredFormat(AnswerFormat.parse("Lines"))
    assert run(store.load("parts/other/")) is None


def test_the_format_that_was_stored_first_is_that_of_all(world: Transforms) -> None:
    """Here another part has seen another container, of which there are two during a deployment."""
    looked_up: list[str] = []
    world.results.fail = lambda operation, key: looked_up.append(key)

    def meanwhile(call: Call) -> Inference | ServiceError:
        if call.body.count(b"\n") == 4:
            key = next(key for key in looked_up if key.endswith("/answer-format.json"))
            world.results.objects[key] = Stored(b'{"answer_format":"None"}', "application/json", {}, "other")
        return doubled(call)

    world.endpoint.answer = meanwhile
    world.drop(KEY, rows(10))
    world.run()
    assert world.summary(KEY)["answer_format"] == "None"
    assert world.out(KEY) == b"".join(b'{"model":"m","doubled":[%d]}\n' % (2 * n) for n in range(100, 110))
    assert Counter(call.body.count(b"\n") for call in world.endpoint.calls) == {1: 10, 4: 1}


def _left(world: Transforms, made: int) -> float:
    return 90_000 if len(world.endpoint.calls) == made else 10_000


def run_with_one_call_each(world: Transforms, *, first_receive: int = 1) -> None:
    """Deliver until all is done, with time for one call in each delivery."""
    deliveries = 0
    receives: Counter[str] = Counter()
    while waiting := [(queue, body) for queue in world._queues() for body in queue.bodies]:
        deliveries += 1
        assert deliveries < 200
        made = len(world.endpoint.calls)
        world.remaining_ms = partial(_left, world, made)
        queue, body = waiting[0]
        queue.bodies.remove(body)
        receive_count = min(3, first_receive + receives[body])
        ended = world.process(body, message_id=f"{deliveries}", receive_count=receive_count)
        if not all(outcome.acknowledged for outcome in ended):
            receives[body] += 1
            queue.bodies.append(body)


def test_a_function_with_time_for_one_call_loses_no_answer(world: Transforms) -> None:
    world.drop(KEY, b"x\n" + rows(9))
    run_with_one_call_each(world)
    assert world.out(KEY) == b"\n" + answered(9)
    assert [error["Line"] for error in world.errors(KEY)] == [1]
    bodies = [call.body for call in world.endpoint.calls]
    assert bodies[:4] == [b"x\n", b"100\n", b"101\n", b"100\n100\n101\n100\n"]
    assert len(set(bodies)) == len(bodies), "nothing is paid for twice"
    assert world.summary(KEY)["calls"] == len(bodies)


@pytest.mark.parametrize("first_receive", [1, 3])
def test_a_broken_model_that_takes_all_the_time_of_a_function_costs_few_calls(
    world: Transforms, first_receive: int
) -> None:
    world.endpoint.answer = lambda call: service_error(
        Operation.INVOKE, "ModelError", TIMED_OUT, status=424, original_status_code=0
    )
    world.drop(KEY, rows(100))
    run_with_one_call_each(world, first_receive=first_receive)
    assert f"{KEY}.out" not in world.results.objects
    assert f"{KEY}.err" in world.results.objects
    assert len(world.endpoint.calls) <= PATIENCE + 3 * 10, "one more of each part at each receive"


def test_answers_that_are_too_large_to_be_kept_are_a_call_each(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sluice.transform.format_store, "_MAX_SAVED", 10)
    world.drop(KEY, rows(4))
    run_with_one_call_each(world)
    assert world.summary(KEY)["answer_format"] == "None"
    assert [call.body.count(b"\n") for call in world.endpoint.calls] == [1, 1, 1, 1]


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "InternalFailure"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_outage_while_it_is_looked_for_loses_no_answer(world: Transforms, code: str, after: int) -> None:
    def failing(call: Call) -> Inference | ServiceError:
        if len(world.endpoint.calls) > after:
            return service_error(Operation.INVOKE, code, status=400)
        return doubled(call)

    world.drop(KEY, rows(9))
    world.process(world.splits.bodies.pop())
    world.endpoint.answer = failing
    (outcome,) = world.process(world.requests.bodies[0])
    assert outcome.status is Status.RETRY
    paid = [call.body for call in world.endpoint.calls[:after]]
    world.endpoint.calls.clear()
    world.endpoint.answer = doubled
    world.run()
    assert world.out(KEY) == answered(9)
    assert not {call.body for call in world.endpoint.calls} & set(paid)


def test_a_format_that_cannot_be_read_is_not_looked_for_again(world: Transforms) -> None:
    def unavailable(operation: str, key: str) -> None:
        if operation == "get" and key.endswith("/answer-format.json"):
            raise service_error(Operation.STORE_RESULT, "SlowDown", status=503)

    world.results.fail = unavailable
    world.drop(KEY, rows(9))
    world.process(world.splits.bodies.pop())
    (outcome,) = world.process(world.requests.bodies[0])
    assert outcome.status is Status.RETRY
    assert not world.endpoint.calls


def test_a_group_that_is_refused_once_is_no_evidence(world: Transforms) -> None:
    def stray(call: Call) -> Inference | ServiceError:
        if len(world.endpoint.calls) == 3:
            return service_error(Operation.INVOKE, "ModelError", "stray", status=424, original_status_code=500)
        return doubled(call)

    world.endpoint.answer = stray
    world.drop(KEY, rows(9))
    world.run()
    assert world.summary(KEY)["answer_format"] == "JSONField:doubled"


def test_a_single_record_over_the_endpoints_limit_fails_its_line_alone(world: Transforms) -> None:
    def small(call: Call) -> Inference | ServiceError:
        if len(call.body) > 16:
            return service_error(Operation.INVOKE, "ValidationError", "body too large", status=413)
        return doubled(call)

    world.endpoint.answer = small
    world.drop(KEY, rows(4) + b"1" * 20 + b"\n" + b"2\n")
    world.run()
    assert world.out(KEY) == answered(4) + b"\n4\n"
    assert [error["Line"] for error in world.errors(KEY)] == [5]


def test_an_option_that_is_wrong_says_which_are_not(world: Transforms) -> None:
    world.drop(KEY, rows(4), metadata={"answer-format": "Line"})
    (outcome,) = world.run()
    assert outcome.status is Status.DEAD_LETTERED
    reason = json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]
    assert reason.startswith("answer-format: must be one of Lines, LinesWithHeader, JSONArray, JSONField:<name>, ")
    assert not world.endpoint.calls


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "text/libsvm", "application/x-npy"])
def test_requests_that_hold_one_record_are_not_probed(world: Transforms, content_type: str) -> None:
    world.drop(KEY, rows(5), content_type=content_type)
    world.run()
    assert world.summary(KEY)["answer_format"] == "None"
    assert [call.body for call in world.endpoint.calls] == rows(5).splitlines(keepends=True)


@pytest.mark.parametrize(
    "content_type",
    ["text/csv; charset=utf-8", "text/plain", "application/jsonlines", "application/x-ndjson", "application/jsonl"],
)
def test_requests_that_hold_lines_are_probed(world: Transforms, content_type: str) -> None:
    world.drop(KEY, rows(9), content_type=content_type)
    world.run()
    assert world.summary(KEY)["answer_format"] == "JSONField:doubled"


surrogates = st.sampled_from([rb'{"id":"\ud83d"}', rb'"\udc00"', b'{"id":1}', b"\xed\xa0\xbd", b"1,2", b'"', b"NaN"])
values = st.recursive(
    st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
lines = st.binary() | surrogates | values.map(lambda value: json.dumps(value).encode())
OPTIONS: list[dict[str, Any]] = [
    {},
    {"join-source": "Input"},
    {"input-filter": "$.id"},
    {"output-filter": "$.id", "join-source": "Input"},
    {"input-filter": "$[0]", "output-filter": "$[-1]", "join-source": "Input"},
]


@given(
    content=st.lists(lines, min_size=1, max_size=6).map(b"\n".join),
    answer=st.none() | lines,
    options=st.sampled_from(OPTIONS),
    content_type=st.sampled_from(["text/csv", "application/jsonlines", "application/json", "text/plain"]),
    answer_type=st.sampled_from(["text/csv", "application/json", "application/jsonlines", None]),
)
@example(b'{"id":"\\ud83d"}', None, {"join-source": "Input"}, "application/jsonlines", "application/json")
@example(b'"\n"', None, {}, "text/csv", "text/csv")
@example(b'{"id":1}', b'"\\ud83d"', {"join-source": "Input"}, "application/jsonlines", "application/json")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_no_data_of_a_line_is_an_unforeseen_error(
    content: bytes, answer: bytes | None, options: dict[str, str], content_type: str, answer_type: str | None
) -> None:
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body if answer is None else answer, answer_type)
    world.drop(KEY, content, content_type=content_type, metadata=options)
    outcomes = world.run()
    assert {outcome.error for outcome in outcomes} == {None}
    assert (f"{KEY}.out" in world.results.objects) != (f"{KEY}.err" in world.results.objects)
    if f"{KEY}.out" in world.results.objects:
        summary = world.summary(KEY)
        if summary["records"] < content.count(b"\n") + (not content.endswith(b"\n")):
            return  # A record has several lines, and so may have its answer.
        assert world.out(KEY).count(b"\n") == summary["records"]
        empty = [one for one in world.out(KEY).split(b"\n")[:-1] if not one]
        assert len(empty) == summary["failed"] + summary["not_sent"], "no empty line counts as succeeded"
