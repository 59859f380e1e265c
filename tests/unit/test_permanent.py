"""What no retry can help is dead-lettered at once, also where a delivery ends without a call; the rest returns."""

import json
from datetime import timedelta
from typing import Any

import pytest

from sluice.error_codes import FailureClass
from sluice.failures import Failure, Operation
from sluice.inputs.internal_messages import body_of
from sluice.inputs.message import Message, validate
from sluice.inputs.requests import Assembly, DroppedObject
from sluice.inputs.target import Target
from sluice.ports import Inference
from sluice.processing.dispatcher import Dispatcher
from sluice.processing.outcome import Outcome, Status
from tests.support.events import s3_event
from tests.support.fakes import World, delivery, service_error, with_settings
from tests.support.virtual_time import run

ASSEMBLY = Assembly(DroppedObject("input", "transform/a.csv", 5, "v", "1", "e"))
PERMANENT = {
    "no JSON": "{",
    "an unknown key": {"Body": 1, "Unknown": 1},
    "no body": {},
    "two bodies": {"Body": 1, "BodyBase64": "QQ=="},
    "an endpoint off the list": {"Body": 1, "EndpointName": "payroll"},
    "a bucket off the list": {"InputLocation": "s3://payroll/a"},
    "a body over the limit": {"Body": "x" * 1001},
    "base64 without padding": {"BodyBase64": "QQ"},
    "a lone surrogate": '{"Body": "\\ud800"}',
    "attributes that the template makes too long": {"Body": 1, "CustomAttributes": "x" * 1020},
    "the message of another queue": body_of(ASSEMBLY),
    "an object in a bucket that is not read": s3_event("a", bucket="payroll", etag="e"),
}


async def dispatched(
    world: World, bodies: list[object], *, remaining_ms: float = 90_000, **options: Any
) -> list[Outcome]:
    batch = [delivery(body, message_id=f"m{number}", **options) for number, body in enumerate(bodies)]
    dispatcher = Dispatcher(world.core, concurrency=1, needed_ms=80_000)
    return [one async for outcomes in dispatcher.run(batch, lambda: remaining_ms) for one in outcomes]


def world_in_trouble() -> World:
    world = World(with_settings(custom_attributes_template="trace={trace_id};{custom_attributes}"))
    world.endpoint.answer = lambda call: service_error(Operation.INVOKE, "ThrottlingException")
    return world


@pytest.mark.parametrize("what", PERMANENT)
@pytest.mark.parametrize("remaining_ms", [90_000, 0])
def test_a_message_that_no_retry_can_help_is_never_held_back(what: str, remaining_ms: float) -> None:
    world = world_in_trouble()
    good = [{"Body": str(number)} for number in range(3)]
    outcomes = run(dispatched(world, [*good, PERMANENT[what], *good], remaining_ms=remaining_ms))
    (ended,) = [one for one in outcomes if one.message_id == "m3"]
    assert ended.status is Status.DEAD_LETTERED
    assert ended.error is None
    assert ended.failure is not None
    assert ended.failure.failure_class is FailureClass.INVALID
    assert {one.status for one in outcomes if one is not ended} == {Status.RETRY}


def test_an_expired_message_is_never_held_back() -> None:
    world = world_in_trouble()
    bodies: list[object] = [{"Body": str(number), "RequestTTLSeconds": 60} for number in range(5)]
    expired = run(dispatched(world, bodies, age=timedelta(seconds=61)))
    assert {one.failure.code for one in expired if one.failure} == {"Expired"}
    assert {one.status for one in expired} == {Status.DEAD_LETTERED}
    waiting = run(dispatched(world_in_trouble(), bodies, age=timedelta(seconds=59)))
    assert {one.status for one in waiting} == {Status.RETRY}


def test_it_has_the_same_reason_as_when_it_is_processed() -> None:
    for body in PERMANENT.values():
        world = world_in_trouble()
        processed = world.deliver(body)
        parsed = world.core.parse(delivery(body))
        (released,) = run(world.core.release(parsed, Failure(FailureClass.CAPACITY, "HeldBack", "later")))
        assert processed.failure is not None
        assert released.failure is not None
        assert (released.status, released.identity) == (processed.status, processed.identity)
        assert (released.failure.code, released.failure.message) == (processed.failure.code, processed.failure.message)


@pytest.mark.parametrize(
    "what",
    ["no JSON", "an unknown key", "no body", "two bodies", "an endpoint off the list", "the message of another queue"],
)
def test_a_message_that_breaks_a_rule_waits_for_no_endpoint(what: str) -> None:
    assert World().core.parse(delivery(PERMANENT[what])).target is None
    assert World().core.parse(delivery({"Body": 1})).target == Target("wine")


def test_a_crashed_message_keeps_that_reason() -> None:
    """Its rule may be what the function crashed on, and is not what ended it."""
    world = World()
    (outcome,) = world.processor.dead_letter_crashed(world.core.parse(delivery({"Body": 1, "Unknown": 1})))
    assert outcome.failure is not None
    assert outcome.failure.code == "Crashed"


def test_a_message_is_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def counted(raw: dict[str, Any]) -> Message:
        made.append(raw)
        return validate(raw)

    monkeypatch.setattr("sluice.inputs.requests.validate", counted)
    world = World()
    world.endpoint.answer = lambda call: Inference(call.body)
    assert world.deliver({"Body": {"a": 1}}).status is Status.SUCCEEDED
    assert world.deliver({"Body": 1, "Unknown": 1}, message_id="other").status is Status.DEAD_LETTERED
    assert len(made) == 2
    assert json.loads(world.endpoint.calls[0].body) == {"a": 1}
