"""The event of a dataset, delivered again while its parts are processed, or after the dataset is assembled."""

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sluice.failures import Operation
from sluice.inputs.identity import key_of_version
from sluice.inputs.internal_messages import body_of, internal_request
from sluice.inputs.requests import TransformPart
from sluice.inputs.strict_json import load_json
from sluice.ports import Inference
from sluice.processing.outcome import Status
from tests.support.fakes import service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"


@pytest.fixture
def world() -> Transforms:
    made = Transforms()
    made.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    made.drop(KEY, b"1\n2\n")
    return made


def give_up(world: Transforms, event: str, monkeypatch: pytest.MonkeyPatch, *, meanwhile: Callable[[], Any]) -> Status:
    """Deliver the event for the last time. `meanwhile` runs before the queue of the parts refuses."""

    async def refuse(_: Any) -> None:
        meanwhile()
        raise service_error(Operation.SEND_PARTS, "AccessDenied", status=403)

    with monkeypatch.context() as patch:
        patch.setattr(world.requests, "send", refuse)
        (outcome,) = world.process(event, receive_count=3, message_id="event")
    return outcome.status


def test_the_event_of_an_assembled_file_sends_no_part(world: Transforms) -> None:
    (event,) = world.splits.bodies
    world.run()
    (outcome,) = world.process(event, receive_count=2, message_id="event")
    assert outcome.status is Status.DUPLICATE
    assert not world.requests.bodies


def test_an_event_given_up_while_its_file_is_assembled_leaves_no_failure(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = world.splits.bodies.pop()
    world.process(event, message_id="event")
    assert give_up(world, event, monkeypatch, meanwhile=world.run) is Status.DUPLICATE
    assert f"{KEY}.out" in world.results.objects
    assert f"{KEY}.err" not in world.results.objects
    assert not world.dead_letters.sent


def test_the_assembly_removes_the_failure_of_an_event_given_up_before(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = world.splits.bodies.pop()
    world.process(event, message_id="event")
    assert give_up(world, event, monkeypatch, meanwhile=lambda: None) is Status.DEAD_LETTERED
    assert f"{KEY}.err" in world.results.objects
    world.run()
    assert world.out(KEY) == b"1\n2\n"
    assert f"{KEY}.err" not in world.results.objects


def test_an_event_that_is_older_than_its_ttl_is_expired() -> None:
    world = Transforms()
    world.drop(KEY, b"1\n", metadata={"request-ttl-seconds": "60"})
    (event,) = world.splits.bodies
    (outcome,) = world.process(event, message_id="event", age=timedelta(minutes=2))
    assert outcome.status is Status.DEAD_LETTERED
    assert json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorCode"] == "Expired"
    assert not world.requests.bodies


def test_an_event_with_an_object_several_times_makes_one_request(world: Transforms) -> None:
    event = json.loads(world.splits.bodies.pop())
    (outcome,) = world.process(json.dumps({"Records": 10 * event["Records"]}), message_id="event")
    assert outcome.status is Status.SUCCEEDED
    assert len(world.requests.bodies) == 1


def test_a_gzip_is_not_unpacked_again(world: Transforms) -> None:
    world.drop(f"{KEY}.gz", gzip.compress(b"1\n2\n"))
    event = world.splits.bodies.pop()
    world.process(event, message_id="event")
    read = len(world.inputs("input").ranges)
    world.process(event, message_id="event", receive_count=2)
    assert len(world.inputs("input").ranges) == read
    assert len(world.requests.bodies) == 2


def test_parts_of_a_file_whose_key_continues_that_of_another_are_not_those_of_the_other(world: Transforms) -> None:
    event = json.loads(world.splits.bodies[0])
    version = key_of_version("input", KEY, event["Records"][0]["s3"]["object"]["versionId"])
    world.drop(f"{KEY}/{version}/a", b"7\n8\n")
    world.splits.bodies.reverse()  # the file within is done first
    world.run()
    assert world.out(KEY) == b"1\n2\n"


def test_a_part_whose_lines_are_stored_in_many_parts_is_not_called_again(world: Transforms) -> None:
    """A listing has a hundred keys."""
    lines = b"".join(b"%03d\n" % number for number in range(150))
    world.drop(KEY, lines)
    world.splits.bodies.pop(0)
    world.process(world.splits.bodies.pop(), message_id="event")
    (body,) = world.requests.bodies
    part = internal_request(load_json(body, "part"))
    assert isinstance(part, TransformPart)
    for start in range(0, len(lines), 4):
        world.process(body_of(TransformPart(part.file, start, start + 4)), message_id=f"{start}")
    calls = len(world.endpoint.calls)
    (outcome,) = world.process(body, message_id="whole")
    assert outcome.status is Status.DUPLICATE
    assert len(world.endpoint.calls) == calls


def test_a_line_in_quotes_that_is_too_long_is_an_error_of_its_own() -> None:
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    world.drop(KEY, b'"' + b"a" * 1_100_000 + b'"\n2\n', metadata={"max-payload": "1", "answer-format": "Lines"})
    world.run()
    assert world.out(KEY) == b"\n2\n"
    assert [error["ErrorCode"] for error in world.errors(KEY)] == ["RecordTooLong"]
