"""The messages between the functions, and which function accepts each."""

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.lookup.progress import bytes_done
from sluice.failures import Failure
from sluice.inputs.envelopes import parse
from sluice.inputs.identity import of
from sluice.inputs.internal_messages import body_of, check_sender
from sluice.inputs.requests import Assembly, DroppedObject, Run, SentMessage, TransformPart
from sluice.ports import Inference
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.router import Kind, Router, kind_of
from sluice.transform.progress import covering_parts
from tests.support.events import sns_envelope
from tests.support.fakes import FUNCTION, NOW, SETTINGS, World, delivery
from tests.support.transform import Transforms
from tests.support.virtual_time import run

FILE = DroppedObject(bucket="input", key="transform/a b/é.csv", size=10, version_id="v", sequencer="1", etag="e")
PART = TransformPart(FILE, 0, 10)


@pytest.mark.parametrize("sent", [PART, TransformPart(FILE, 3, 4, unpacked=True), Assembly(FILE)])
def test_internal_messages_round_trip(sent: TransformPart | Assembly) -> None:
    assert parse(body_of(sent)) == [sent]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"TransformPart": {"Bucket": "b"}}', "Key: "),
        ('{"TransformPart": {"Bucket":"b","Key":"k","Size":5,"Etag":"e","Start":4,"End":4}}', "Start, End"),
        ('{"TransformPart": {"Bucket":"b","Key":"k","Size":5,"Etag":"e","Start":0,"End":6}}', "Start, End"),
        ('{"TransformPart": {"Bucket":"b","Key":"k","Size":"5","Etag":"e","Start":0,"End":5}}', "Size: "),
        (
            '{"TransformAssembly": {"Bucket":"b","Key":"k","Size":5,"Etag":"e","Other":1}}',
            "a key is not a parameter; known are Bucket",
        ),
        ('{"TransformAssembly": 1}', "TransformAssembly"),
    ],
)
def test_an_invalid_internal_message_fails_with_a_reason(body: str, says: str) -> None:
    with pytest.raises(Failure, match=says):
        parse(body)


class Handler:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def handle(self, attempt: Attempt[Any]) -> Outcome:
        return attempt.ended(Status.SUCCEEDED, detail=self.kind)

    async def already_resolved(self, attempt: Attempt[Any]) -> Outcome | None:
        return attempt.ended(Status.DUPLICATE, detail=self.kind)


REQUESTS: list[tuple[Any, Kind]] = [
    (SentMessage({"Body": "x"}), "call"),
    (DroppedObject("input", "invoke/a", 1, None, None, "e"), "call"),
    (DroppedObject("lake", "transform/a", 1, None, None, "e"), "call"),
    (FILE, "file"),
    (PART, "part"),
    (Assembly(FILE), "assembly"),
]


@pytest.mark.parametrize(("request_", "kind"), REQUESTS)
def test_each_kind_has_a_handler_and_other_queues_reject_it(request_: Any, kind: Kind) -> None:
    assert kind_of(request_, SETTINGS) == kind
    one = delivery({})
    attempt = Attempt(one, request_, of(request_, SETTINGS, one))
    taking = Router(SETTINGS, {kind: Handler(kind)})
    assert run(taking.handle(attempt)).detail == kind
    already_resolved = run(taking.already_resolved(attempt))
    assert already_resolved is not None
    assert already_resolved.detail == kind
    elsewhere = Router(SETTINGS, {kind: Handler(kind)}, takes=[])
    with pytest.raises(Failure, match="does not take"):
        run(elsewhere.handle(attempt))
    assert run(elsewhere.already_resolved(attempt)) == already_resolved
    refusing = Router(SETTINGS, {})
    with pytest.raises(Failure, match="does not take"):
        run(refusing.handle(attempt))
    assert run(refusing.already_resolved(attempt)) is None


def name(start: int, end: int) -> str:
    return f"parts/transform/a/v/{start:015d}-{end:015d}.out"


@given(cuts=st.sets(st.integers(1, 99), max_size=20), extra=st.lists(st.tuples(st.integers(0, 98), st.integers(1, 99))))
def test_parts_that_tile_a_file_complete_it_regardless_of_other_objects(
    cuts: set[int], extra: list[tuple[int, int]]
) -> None:
    edges = [0, *sorted(cuts), 100]
    tiles = [name(start, end) for start, end in itertools.pairwise(edges)]
    more = [name(start, start + length) for start, length in extra if start + length <= 100]
    found = covering_parts([*tiles, *more, "parts/transform/a/v/x.errors.0.jsonl"], 100)
    assert found is not None
    at = 0
    for key in found:
        start, end = (int(number) for number in key.removesuffix(".out").rpartition("/")[2].split("-"))
        assert start == at
        at = end
    assert at == 100
    assert bytes_done(tiles) == 100


def test_a_missing_part_leaves_the_file_incomplete() -> None:
    assert covering_parts([name(0, 10), name(20, 30)], 30) is None
    assert bytes_done([name(0, 10), name(20, 30), name(5, 10)]) == 20
    assert covering_parts([], 10) is None
    assert covering_parts([], 0) == []


def test_a_range_within_a_file_is_covered_by_its_own_parts() -> None:
    names = [name(0, 10), name(10, 15), name(15, 20), name(20, 30)]
    assert covering_parts(names[1:], 20, 10) == names[1:3]
    assert covering_parts(names[2:], 20, 10) is None


@pytest.mark.parametrize(("prefix", "most"), [("invoke/", 1020), ("transform/", 884)])
def test_a_key_leaves_room_for_the_names_of_its_results(prefix: str, most: int) -> None:
    def named(length: int) -> DroppedObject:
        return DroppedObject("input", prefix + "x" * (length - len(prefix)), 1, "v", None, "e")

    assert of(named(most), SETTINGS, delivery({})).name == named(most).key
    with pytest.raises(Failure, match=f"at most {most} bytes"):
        of(named(most + 1), SETTINGS, delivery({}))


def test_a_part_is_never_taken_for_the_body_of_one_call() -> None:
    router = Router(SETTINGS, {"call": World().invoker})
    with pytest.raises(Failure, match="a kind that this queue does not take: part"):
        run(router.handle(Attempt(delivery({}), PART, of(PART, SETTINGS, delivery({})))))


SENDERS = [
    *["", "AIDAEXAMPLESENDER0001", "123456789012", "AROAEXAMPLEANOTHER001:split", "split:AROAEXAMPLEFUNCTION01"],
    *["AROAEXAMPLEFUNCTION0", "AROAEXAMPLEFUNCTION011:split", "AROAEXAMPLEFUNCTION0:1", "aroaexamplefunction01:split"],
]


@pytest.mark.parametrize("sender_id", SENDERS)
@pytest.mark.parametrize("sent", [PART, TransformPart(FILE, 3, 4, unpacked=True), Assembly(FILE)])
@pytest.mark.parametrize("enveloped", [False, True])
@pytest.mark.parametrize("receive_count", [1, 3])
def test_a_message_between_the_functions_that_another_sent_is_refused(
    sender_id: str, sent: Any, receive_count: int, *, enveloped: bool
) -> None:
    world = Transforms()
    world.drop(FILE.key, b"123456789\n")
    body = json.dumps(sns_envelope(body_of(sent))) if enveloped else body_of(sent)
    (outcome,) = world.process(body, sender_id=sender_id, receive_count=receive_count)
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.failure is not None
    assert outcome.failure.message.startswith("message: parts are sent by the functions alone; to run a dataset again")
    assert world.endpoint.calls == []
    assert world.requests.bodies == world.assemblies.bodies == []
    assert set(world.results.objects) == {"messages/11111111-1111-4111-8111-111111111111.err"}, "not the dataset's .err"


def test_without_internal_senders_nobody_is_one() -> None:
    for sender_id in ("", ":", ":split", FUNCTION):
        with pytest.raises(Failure, match="sent by the functions alone"):
            check_sender(PART, sender_id, ())


@pytest.mark.parametrize("sender_id", ["AROAEXAMPLEFUNCTION01:split", "AROAEXAMPLEFUNCTION01:invoke"])
def test_a_message_that_a_function_sent_is_processed(sender_id: str) -> None:
    world = Transforms()
    world.drop("transform/a.csv", b"1\n")
    world.process(world.splits.bodies.pop())
    (outcome,) = world.process(world.requests.bodies.pop(), sender_id=sender_id)
    assert outcome.status is Status.SUCCEEDED


def test_other_messages_may_come_from_anybody() -> None:
    for sent in (SentMessage({"Body": "x"}), FILE):
        check_sender(sent, "", ())


@pytest.mark.parametrize(("of_file", "of_part"), [(61, 1), (61, 61), (1, 61)])
def test_a_part_is_not_invoked_after_the_ttl_of_its_file(of_file: int, of_part: int) -> None:
    """A part that continues another one has a message that is younger than the upload."""
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    key = "transform/wine/rows.csv"
    world.drop(key, b"1\n2\n", metadata={"request-ttl-seconds": "60"})
    world.process(world.splits.bodies.pop())
    (part,) = parse(world.requests.bodies.pop())
    assert isinstance(part, TransformPart)
    began = int((NOW - timedelta(seconds=of_file)).timestamp() * 1000)
    body = body_of(replace(part, run=Run(f"{began:013d}00000000")))
    (outcome,) = world.process(body, age=timedelta(seconds=of_part))
    assert outcome.status is Status.DEAD_LETTERED
    assert not world.endpoint.calls
    assert json.loads(world.results.objects[f"{key}.err"].body)["ErrorCode"] == "Expired"
    world.redrive()
    world.run()
    assert world.out(key) == b"1\n2\n"
    assert f"{key}.err" not in world.results.objects


def test_parts_within_the_ttl_of_their_file_are_invoked() -> None:
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    key = "transform/wine/rows.csv"
    world.drop(key, b"1\n2\n", metadata={"request-ttl-seconds": "60"})
    world.process(world.splits.bodies.pop(), age=timedelta(seconds=59))
    world.run()
    assert world.out(key) == b"1\n2\n"
