"""Every crash point: a worker is killed at each step between receive and acknowledgement; then SQS delivers again."""

import json
from typing import Any

import pytest

from sluice.failures import Operation
from sluice.ports import Inference
from sluice.processing.outcome import Status
from tests.support.fakes import Call, Fuse, Killed, World, delivery, service_error
from tests.support.virtual_time import run

MODEL_500 = service_error(Operation.INVOKE, "ModelError", original_status_code=500)
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")
_MOST = 20  # more operations than any delivery needs


def sent(world: World) -> Any:
    return {"Body": "x"}


def sent_with_an_id(world: World) -> Any:
    return {"Body": "x", "InferenceId": "i"}


def dropped(world: World) -> Any:
    return world.inputs.drop("invoke/a.csv")


def dropped_again(world: World) -> Any:
    world.deliver(world.inputs.drop("invoke/a.csv", b"old"), message_id="older")
    world.endpoint.calls.clear()
    return world.inputs.drop("invoke/a.csv", b"new")


def redriven(world: World) -> Any:
    run(world.results.put("messages/i.err", b"{}", content_type=None))
    return {"Body": "x", "InferenceId": "i"}


MAKERS = [sent, sent_with_an_id, dropped, dropped_again, redriven]


def operations(make: Any, answer: Any, receive_count: int) -> list[str]:
    """The port operations of a delivery without a kill."""
    world, fuse = World(), Fuse()
    body = make(world)
    world.endpoint.answer = answer
    world.another_worker(fuse).deliver(body, receive_count=receive_count)
    return fuse.passed


def crash(world: World, body: Any, step: int, *, after: bool, receive_count: int) -> None:
    """Deliver `body` to a worker that is killed at its operation number `step`."""
    with pytest.raises(Killed):
        world.another_worker(Fuse(step, after=after)).deliver(body, receive_count=receive_count)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(1, _MOST))
def test_a_request_that_succeeds(make: Any, after: bool, step: int) -> None:
    def answer(call: Call) -> Inference:
        return Inference(b"answer to " + call.body)

    steps = operations(make, answer, 1)
    assert len(steps) < _MOST
    if step > len(steps):
        return
    world = World()
    body = make(world)
    world.endpoint.answer = answer
    crash(world, body, step, after=after, receive_count=1)
    outcome = world.another_worker().deliver(body, receive_count=2)
    assert outcome.status in {Status.SUCCEEDED, Status.DUPLICATE}
    ((key, stored),) = world.results.objects.items()
    assert key.endswith(".out")
    assert stored.body == b"answer to " + world.endpoint.calls[-1].body
    assert not world.queue.sent
    # Twice only if it was killed between the call and the write, because nothing records the call then.
    between = steps.index("put") + (0 if after else 1) > step - 1 >= steps.index("invoke") + (0 if after else 1)
    assert len(world.endpoint.calls) == (2 if between else 1)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("error", "receive_count"), [(MODEL_500, 1), (THROTTLED, 2)])
@pytest.mark.parametrize("step", range(1, _MOST))
def test_a_request_that_fails(make: Any, after: bool, error: Exception, receive_count: int, step: int) -> None:
    """After the crash, at most two more receives dead-letter the failure."""

    def answer(call: Call) -> Exception:
        return error

    steps = operations(make, answer, receive_count)
    if step > len(steps):
        return
    world = World()
    body = make(world)
    older = dict(world.results.objects)
    world.endpoint.answer = answer
    crash(world, body, step, after=after, receive_count=receive_count)
    outcome = world.another_worker().deliver(body, receive_count=3)
    assert outcome.status is Status.DEAD_LETTERED
    assert sum(key.endswith(".err") for key in world.results.objects) == 1
    assert {k: v for k, v in world.results.objects.items() if k.endswith(".out")} == {
        k: v for k, v in older.items() if k.endswith(".out")
    }
    # Once more only if it was killed between sending the dead letter and the acknowledgement.
    sent_before = after and step == len(steps) and steps[-1] == "send"
    assert len(world.queue.sent) == (2 if sent_before else 1)
    assert all(attributes["ErrorCode"].value for _, attributes in world.queue.sent)


def dead_letter_crashed(world: World, body: Any, fuse: Fuse) -> Status:
    """Process a message that SQS moved to the crashed queue, with a crashed function that the fuse may kill."""
    processor = world.another_worker(fuse).processor
    (outcome,) = processor.dead_letter_crashed(processor.parse(delivery(body, receive_count=1, message_id="m1")))
    return outcome.status


def unreadable(world: World) -> Any:
    return "{"


def answered_and_never_acknowledged(world: World) -> Any:
    body = sent_with_an_id(world)
    world.deliver(body)
    return body


@pytest.mark.parametrize("make", [*MAKERS, unreadable, answered_and_never_acknowledged])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(1, _MOST))
def test_a_request_that_the_crashed_function_dead_letters(make: Any, after: bool, step: int) -> None:
    """Even if the crashed function crashes, the failure is recorded, and the model is never called."""
    world, fuse = World(), Fuse()
    was_answered = make is answered_and_never_acknowledged
    assert dead_letter_crashed(world, make(world), fuse) is (Status.DUPLICATE if was_answered else Status.DEAD_LETTERED)
    steps = fuse.passed
    assert 0 < len(steps) < _MOST
    if step > len(steps):
        return
    world = World()
    body = make(world)
    outs = {key: one for key, one in world.results.objects.items() if key.endswith(".out")}
    calls = len(world.endpoint.calls)
    with pytest.raises(Killed):
        dead_letter_crashed(world, body, Fuse(step, after=after))
    dead_letter_crashed(world, body, Fuse())
    assert len(world.endpoint.calls) == calls
    assert {key: one for key, one in world.results.objects.items() if key.endswith(".out")} == outs
    errors = [json.loads(one.body) for key, one in world.results.objects.items() if key.endswith(".err")]
    sent_before = after and step == len(steps) and steps[-1] == "send"
    if was_answered:
        assert not errors
        assert not world.queue.sent
    else:
        assert len(errors) == 1
        assert len(world.queue.sent) == (2 if sent_before else 1)
        for _, attributes in world.queue.sent:
            assert attributes["ErrorCode"].value == errors[0]["ErrorCode"]
