"""The event of a dataset, delivered again while its parts are processed, or after the dataset is assembled."""

from collections.abc import Callable
from typing import Any

import pytest

from sluice.failures import Operation
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
