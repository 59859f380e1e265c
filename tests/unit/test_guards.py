"""Guards without which a request costs more, a reason is less precise, or a race has another result."""

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
def test_versions_are_distinguished_by_id_or_else_by_etag(
    event: tuple[str | None, str | None], version: tuple[str | None, str], *, same: bool
) -> None:
    assert dropped(*event).is_version(ObjectHead(1, etag=version[1], version_id=version[0])) is same


def test_an_older_event_with_the_same_content_in_an_unversioned_bucket_is_not_invoked(world: World) -> None:
    older, newer = (world.inputs.drop("invoke/a.csv", b"same") for _ in range(2))
    for event in (older, newer):
        del event["Records"][0]["s3"]["object"]["versionId"]
    objects = world.inputs("input").objects
    objects["invoke/a.csv"] = replace(objects["invoke/a.csv"], version_id=None)
    world.deliver(newer, message_id="newer")
    assert world.deliver(older, message_id="older").status is Status.SUPERSEDED
    assert len(world.endpoint.calls) == 1


def test_a_new_request_that_succeeds_makes_four_aws_calls(world: World) -> None:
    """The last one looks for an `.err`: SQS may count a receive after an acknowledged failure as the first."""
    fuse = Fuse()
    World(shared=world, fuse=fuse).deliver({"Body": "x"})
    assert fuse.passed == ["head", "invoke", "put", "head"]


@pytest.mark.parametrize("first", ["InferenceId", "Filename"])
def test_a_filename_is_not_another_requests_inference_id(world: World, first: str) -> None:
    second = {"InferenceId": "Filename", "Filename": "InferenceId"}[first]
    world.deliver({"Body": "x", first: "taken"}, message_id="first")
    assert world.deliver({"Body": "x", second: "taken"}, message_id="second").status is Status.SUCCEEDED
    assert set(world.results.objects) == {"messages/taken.out", "files/taken.out"}


def test_a_failure_writes_no_err_if_a_result_was_stored_meanwhile(world: World) -> None:
    world.deliver({"Body": "x", "InferenceId": "i"}, message_id="first")
    opened = world.processor.parse(delivery({"Body": "x", "InferenceId": "i"}, message_id="second"))
    written: list[str] = []
    world.results.fail = lambda operation, key: written.append(f"{operation} {key}")
    (outcome,) = world.processor.release(opened, INVALID)
    assert outcome.status is Status.DUPLICATE
    assert "put_error messages/i.err" not in written


def once(then: Callable[[], object]) -> Callable[[str, str], None]:
    """Runs `then` just before the first `.err` is written."""
    waiting = [then]

    def fail(operation: str, key: str) -> None:
        if operation == "put_error" and waiting:
            waiting.pop()()

    return fail


def test_a_result_stored_while_the_err_is_written_removes_the_err(world: World) -> None:
    opened = world.processor.parse(delivery({"Body": "x", "InferenceId": "i"}, message_id="second"))
    other = world.another_worker()
    world.results.fail = once(lambda: other.deliver({"Body": "x", "InferenceId": "i"}, message_id="first"))
    (outcome,) = world.processor.release(opened, INVALID)
    assert outcome.status is Status.DUPLICATE
    assert set(world.results.objects) == {"messages/i.out"}
    assert not world.queue.sent


def test_only_unforeseen_errors_have_a_traceback(world: World) -> None:
    assert world.deliver({"Unknown": 1}, message_id="broken").error is None
    world.endpoint.answer = lambda call: ZeroDivisionError("a bug")
    assert isinstance(world.deliver({"Body": "x"}).error, ZeroDivisionError)


def test_the_callers_custom_attributes_keep_the_separators_at_their_ends() -> None:
    world = World(with_settings(custom_attributes_template="{custom_attributes},trace_id={trace_id}"))
    world.endpoint.answer = lambda call: Inference(b"")
    world.deliver({"Body": "x", "CustomAttributes": ";a=1;", "TraceId": "t"})
    assert world.endpoint.calls[0].parameters["CustomAttributes"] == ";a=1;,trace_id=t"
