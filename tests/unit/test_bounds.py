"""The work for a message is limited before it is done, and what is over a limit is permanent, with a reason."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.envelopes import MAX_ENVELOPES, parse
from sluice.inputs.message import MAX_KEYS
from sluice.inputs.s3_events import MAX_RECORDS, created_records
from sluice.inputs.strict_json import MAX_DEPTH, TooDeep, compact, compact_bytes, load_json, loads
from sluice.ports import Inference
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import dead_letter_attributes
from sluice.transform.options import MAX_CHUNK_BYTES
from tests.support.events import s3_event, sns_envelope
from tests.support.fakes import NOW, Fuse, World, delivery
from tests.support.transform import Transforms

DEPTHS = [MAX_DEPTH + 1, 300, 900, 1200, 20_000, 100_000]


def nested(depth: int, opening: str = "[") -> str:
    """Arrays or objects, `depth` of them within each other."""
    return "[" * depth + "]" * depth if opening == "[" else '{"a":' * depth + "1" + "}" * depth


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least CPU time of three runs: to be compared with that of others on the same machine."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def ended(outcome: Outcome) -> str:
    """The reason of a permanent failure."""
    assert outcome.error is None, "it was foreseen"
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.failure is not None
    assert outcome.failure.failure_class is FailureClass.INVALID
    return outcome.failure.message


# S3 events


@pytest.mark.parametrize("record", [{}, s3_event("invoke/a", etag="e")["Records"][0], None, [[]]])
def test_an_event_with_many_records_costs_nothing(record: Any) -> None:
    text = json.dumps(record)
    body = '{"Records":[' + ",".join([text] * (1_000_000 // (len(text) + 1))) + "]}"
    world, fuse = World(), Fuse()
    (outcome,) = world.another_worker(fuse).process(delivery(body))
    assert "Records: has over 10 records" in ended(outcome)
    assert sum(Counter(fuse.passed).values()) < 10, "requests; without the limit, tens of thousands"
    taken = cpu_seconds(lambda: World().another_worker().process(delivery(body)))
    assert taken < 12 * cpu_seconds(lambda: json.loads(body)), "without the limit, a hundred times"


def test_as_many_records_as_the_limit_are_processed() -> None:
    records = [s3_event(f"invoke/{n}", etag="e")["Records"][0] for n in range(MAX_RECORDS + 1)]
    assert len(parse(json.dumps({"Records": records[:-1]}))) == MAX_RECORDS
    with pytest.raises(Failure, match="S3 sends one in each notification"):
        created_records(json.dumps({"Records": records}))


# Keys


@pytest.mark.parametrize("wrap", [lambda keys: keys, lambda keys: {"TransformAssembly": keys}])
def test_a_message_with_many_keys_is_refused_before_each_is_validated(wrap: Callable[[Any], Any]) -> None:
    body = json.dumps(wrap({f"{n:0>9}": 0 for n in range(70_000)}))
    reason = ended(World().deliver(body))
    assert f"message: has over {MAX_KEYS} keys; known are " in reason
    assert len(reason) < 500
    assert cpu_seconds(lambda: World().deliver(body)) < 12 * cpu_seconds(lambda: json.loads(body))


# Nesting


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("opening", ["[", "{"])
@pytest.mark.parametrize(
    "template",
    [
        "%s",
        '{"Body": %s}',
        '{"detail-type": "x", "detail": {"Body": %s}}',
        '{"Records": [%s]}',
        '{"TransformPart": %s}',
        '{"EndpointName": %s}',
    ],
)
@pytest.mark.parametrize("enveloped", [False, True])
def test_a_deep_message_is_refused(depth: int, opening: str, template: str, *, enveloped: bool) -> None:
    body = template % nested(depth, opening)
    assert "is nested too deeply" in ended(World().deliver(json.dumps(sns_envelope(body)) if enveloped else body))


def test_the_deepest_message_is_sent_as_it_is() -> None:
    world = World()
    body = nested(MAX_DEPTH - 1)
    assert world.deliver('{"Body": ' + body + "}").status is Status.SUCCEEDED
    assert world.endpoint.calls[0].body.decode() == body


def transformed(answer: bytes, content_type: str, content: bytes, **metadata: str) -> tuple[Transforms, list[Outcome]]:
    """A dataset, with the same answer for each call."""
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(answer or call.body, content_type)
    world.drop(
        "transform/a.jsonl", content, metadata={name.replace("_", "-"): value for name, value in metadata.items()}
    )
    return world, world.run()


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("count", [1, 2])
def test_a_deep_answer_of_a_model_is_a_refused_record(depth: int, count: int) -> None:
    """The call was billed; none is made again for it."""
    world, outcomes = transformed(nested(depth).encode(), "application/json", b'{"a":1}\n' * count + b"x\n")
    assert {one.error for one in outcomes} == {None}
    assert {one.failure.code for one in outcomes if one.failure} == {"NoRecordSucceeded"}
    assert {error["ErrorCode"] for error in world.errors("transform/a.jsonl")} == {"AnswerMismatch"}
    assert len(world.endpoint.calls) <= 2 * (count + 1), "the records together, and singly"


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("metadata", [{"input_filter": "$.a"}, {"join_source": "Input"}, {"output_filter": "$.a"}])
def test_a_deep_record_is_refused_and_the_others_are_answered(depth: int, metadata: dict[str, str]) -> None:
    content = b'{"a":1}\n' + nested(depth).encode() + b'\n{"a":2}\n'
    world, outcomes = transformed(b"", "application/jsonlines", content, **metadata)
    assert {one.status for one in outcomes} == {Status.SUCCEEDED}
    (error,) = world.errors("transform/a.jsonl")
    assert error["Line"] == 2
    assert "is nested too deeply" in error["ErrorMessage"]


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deep_answer_is_not_joined(depth: int) -> None:
    answer = nested(depth).encode() + b"\n7"
    content = b'{"a":1}\n{"a":2}\n'
    world, outcomes = transformed(answer, "application/jsonlines", content, join_source="Input", answer_format="Lines")
    assert {one.status for one in outcomes} == {Status.SUCCEEDED}
    (error,) = world.errors("transform/a.jsonl")
    assert (error["Line"], error["ErrorCode"]) == (1, "AnswerNotJoined")
    assert world.out("transform/a.jsonl") == b'\n{"a":2,"SageMakerOutput":7}\n'


def test_an_answer_with_a_lone_surrogate_is_kept_as_the_escape_that_it_was() -> None:
    """It has no UTF-8: without the escape it cannot be stored, and the call would be repeated."""
    answer = rb'["\ud800", "\u00e9"]'
    world, outcomes = transformed(answer, "application/json", b'{"a":1}\n{"a":2}\n', answer_format="JSONArray")
    assert {one.status for one in outcomes} == {Status.SUCCEEDED}
    assert world.out("transform/a.jsonl") == b'"\\ud800"\n"\\u00e9"\n'


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_loaded_can_be_written(value: Any) -> None:
    assert json.loads(compact_bytes(value)) == loads(json.dumps(value)) == loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize("depth", [1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 2000])
@pytest.mark.parametrize("opening", ["[", "{"])
def test_depth_is_counted_by_nesting_alone(depth: int, opening: str) -> None:
    text = nested(depth, opening)
    wide = "[" + ",".join(["[" * 150 + "]" * 150] * 10) + ',"' + "[" * 1000 + '"]'
    assert compact(loads(wide)) == wide
    if depth <= MAX_DEPTH:
        assert compact(loads(text)) == text
        return
    with pytest.raises(TooDeep):
        loads(text)
    with pytest.raises(Failure, match="field: is nested too deeply"):
        load_json(text, "field")


# Envelopes


@pytest.mark.parametrize("depth", range(MAX_ENVELOPES + 3))
@pytest.mark.parametrize("kind", [sns_envelope, lambda inner: {"detail-type": "x", "source": "y", "detail": inner}])
def test_as_many_envelopes_as_the_reason_says(depth: int, kind: Callable[[Any], Any]) -> None:
    body: Any = {"Body": "1"}
    for _ in range(depth):
        body = kind(body)
    if depth <= MAX_ENVELOPES:
        assert len(parse(json.dumps(body))) == 1
    else:
        with pytest.raises(Failure, match=f"in more than {MAX_ENVELOPES} SNS or EventBridge envelopes"):
            parse(json.dumps(body))


# Text


def test_a_long_reason_is_cut_before_it_is_searched_for_what_sqs_refuses() -> None:
    identity = World().core.parse(delivery({})).attempts[0].identity
    long = Failure(FailureClass.MODEL, "ModelError", "\x00é" * 2_500_000, original_message="\x00é" * 2_500_000)

    def cut() -> Any:
        return dead_letter_attributes(identity, long, delivery({}), endpoint_name="wine", failed_at=NOW)

    attributes = cut()
    assert cpu_seconds(cut) < cpu_seconds(long.message.encode), "that it does not read all of it"
    assert len(attributes["ErrorMessage"].value.encode()) <= 1024
    assert attributes["ErrorMessage"].value.endswith("…")


SECRET = "4711"


@pytest.mark.parametrize(
    "body",
    [
        '{"Body": {"a": {"4711": 1, "4711": 2}}}',
        '{"Body": [4711e999]}',
        '{"Body": ' + SECRET * 2000 + "}",
        '{"Body": NaN, "x": 4711}',
        '{"4711": 1}',
        '{"Records": [{"4711": 4711}]}',
        '{"detail-type": "4711", "source": "aws.s3", "detail": {"4711": 1}}',
        '{"TransformPart": {"4711": 4711, "Size": "4711"}}',
        '{"Body": 1, "RequestTTLSeconds": 4711.5, "TraceId": "47 11", "4711": 1}',
        '{"Body": 4711,}',
        '{"BodyBase64": "4711\\n"}',
        '{"InputLocation": "s3://b4711/a"}',
        '{"Body": 1, "EndpointName": "b4711"}',
        '"4711"',
    ],
)
def test_a_reason_holds_nothing_of_the_content(body: str) -> None:
    assert SECRET not in ended(World().deliver(body))


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1}\n{"4711":1\n{"a":2}\n',
        b'{"a":1}\n{"4711":1}\n',
        '{"a":"\u00e9"}\n'.encode() + b"\xff4711\n",
        b'{"a":1}\n' + b"4711" * 2000,
    ],
    ids=["not closed", "without a", "no UTF-8", "too long"],
)
def test_the_reason_of_a_refused_record_holds_nothing_of_it(content: bytes) -> None:
    world, _ = transformed(b"", "application/jsonlines", content, input_filter="$.a")
    assert world.errors("transform/a.jsonl")
    assert all(SECRET not in error["ErrorMessage"] for error in world.errors("transform/a.jsonl"))


def test_the_reason_of_a_file_in_another_charset_holds_nothing_of_it() -> None:
    _, outcomes = transformed(b"", "application/jsonlines", b'{"a":1}\n\xff4711\n', input_filter="$.a")
    (failure,) = [one.failure for one in outcomes if one.failure]
    assert "UTF-8" in failure.message
    assert SECRET not in failure.message


@pytest.mark.parametrize("size", [MAX_CHUNK_BYTES + 1, 64_000_000])
def test_a_part_is_no_larger_than_the_split_function_makes_it(size: int) -> None:
    world = Transforms()
    world.drop("transform/a.csv", b"1\n" * (size // 2 + 1))
    world.process(world.splits.bodies.pop())
    read = list(world.inputs("input").ranges)
    part = json.loads(world.requests.bodies[0])
    part["TransformPart"]["End"] = size
    assert "Start, End: the range is larger" in ended(world.process(json.dumps(part))[0])
    assert world.inputs("input").ranges == read, "nothing of it is read"
