"""Guards whose lack would only cost requests, blur a reason, or show in a race."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.requests import DroppedObject
from sluice.ports import Inference, ObjectHead
from sluice.processing.outcome import Status
from tests.support.fakes import Fuse, World, delivery, with_settings

INVALID = Failure(FailureClass.INVALID, "InvalidMessage", "Body: is wrong")


@pytest.fixture
def world() -> World:
    return World()


def dropped(version_id: str | None, etag: str | None) -> DroppedObject:
    return DroppedObject(bucket="input", key="k", version_id=version_id, etag=etag, sequencer="1", size=1)


@pytest.mark.parametrize(
    ("event", "version", "same"),
    [
        (("v1", "same"), ("v2", "same"), False),
        (("v1", "one"), ("v1", "other"), True),
        ((None, "one"), (None, "other"), False),
        ((None, "one"), (None, "one"), True),
        (("v1", "one"), (None, "one"), True),
        ((None, None), ("v1", "one"), True),
    ],
)
def test_versions_are_told_apart_by_their_ids_and_without_those_by_their_etags(
    event: tuple[str | None, str | None], version: tuple[str | None, str], *, same: bool
) -> None:
    assert dropped(*event).is_version(ObjectHead(1, etag=version[1], version_id=version[0])) is same


def test_an_older_event_of_the_same_content_in_an_unversioned_bucket_is_not_called_for(world: World) -> None:
    older, newer = (world.inputs.drop("invoke/a.csv", b"same") for _ in range(2))
    for event in (older, newer):
        del event["Records"][0]["s3"]["object"]["versionId"]
    objects = world.inputs("input").objects
    objects["invoke/a.csv"] = replace(objects["invoke/a.csv"], version_id=None)
    world.deliver(newer, message_id="newer")
    assert world.deliver(older, message_id="older").status is Status.SUPERSEDED
    assert len(world.endpoint.calls) == 1


def test_what_is_new_and_succeeds_makes_three_requests(world: World) -> None:
    fuse = Fuse()
    World(shared=world, fuse=fuse).deliver({"Body": "x"})
    assert fuse.passed == ["head", "invoke", "put"]


@pytest.mark.parametrize("field", ["InferenceId", "Filename"])
def test_a_name_that_is_taken_is_called_by_its_field(world: World, field: str) -> None:
    if field == "InferenceId":
        world.deliver({"Body": "x", "Filename": "taken"}, message_id="first")
        world.deliver({"Body": "x", "InferenceId": "taken"}, message_id="second")
    else:
        world.deliver({"Body": "x", "InferenceId": "taken"}, message_id="first")
        world.deliver({"Body": "x", "Filename": "taken"}, message_id="second")
    assert world.dead_letter()[1]["ErrorMessage"].startswith(f"{field}: another request's result")


def test_a_failure_of_what_was_answered_meanwhile_writes_no_reason(world: World) -> None:
    world.deliver({"Body": "x", "InferenceId": "i"}, message_id="first")
    opened = world.processor.parse(delivery({"Body": "x", "InferenceId": "i"}, message_id="second"))
    written: list[str] = []
    world.results.fail = lambda operation, key: written.append(f"{operation} {key}")
    (outcome,) = world.processor.release(opened, INVALID)
    assert outcome.status is Status.DUPLICATE
    assert "put_error messages/i.err" not in written


def once(then: Callable[[], object]) -> Callable[[str, str], None]:
    """Does `then` just before the first `.err` is written."""
    waiting = [then]

    def fail(operation: str, key: str) -> None:
        if operation == "put_error" and waiting:
            waiting.pop()()

    return fail


def test_an_answer_that_comes_while_the_reason_is_written_takes_the_reason_away(world: World) -> None:
    opened = world.processor.parse(delivery({"Body": "x", "InferenceId": "i"}, message_id="second"))
    other = world.another_worker()
    world.results.fail = once(lambda: other.deliver({"Body": "x", "InferenceId": "i"}, message_id="first"))
    (outcome,) = world.processor.release(opened, INVALID)
    assert outcome.status is Status.DUPLICATE
    assert set(world.results.objects) == {"messages/i.out"}
    assert not world.queue.sent


def test_only_what_nobody_foresaw_brings_its_traceback(world: World) -> None:
    assert world.deliver({"Unknown": 1}, message_id="broken").error is None
    world.endpoint.answer = lambda call: ZeroDivisionError("a bug")
    assert isinstance(world.deliver({"Body": "x"}).error, ZeroDivisionError)


def test_the_callers_custom_attributes_keep_the_separators_at_their_ends() -> None:
    world = World(with_settings(custom_attributes_template="{custom_attributes},trace_id={trace_id}"))
    world.endpoint.answer = lambda call: Inference(b"")
    world.deliver({"Body": "x", "CustomAttributes": ";a=1;", "TraceId": "t"})
    assert world.endpoint.calls[0].parameters["CustomAttributes"] == ";a=1;,trace_id=t"
