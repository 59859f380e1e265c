"""Parts that are on another queue than that of parts, and messages of others on the queue of parts."""

import json
import random
from typing import Any

import pytest

from sluice.composition import compose_core
from sluice.failures import Operation
from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import DroppedObject, TransformPart
from sluice.processing.memory import Memory
from sluice.processing.outcome import Outcome, Status
from sluice.processing.router import Kind
from sluice.transform.onward import MOST_TIMES_WHOLE
from tests.support.fakes import (
    FUNCTION,
    NOW,
    SENDER,
    FakeBucket,
    FakeEndpoint,
    FakeInputs,
    FakeQueue,
    SyncProcessor,
    delivery,
    service_error,
    with_settings,
)
from tests.support.transform import FakeFiles, FakeSender

LIVE: tuple[Kind, ...] = ("call", "file", "part")
PARTS: tuple[Kind, ...] = ("part",)
CRASHED: tuple[Kind, ...] = (*LIVE, "assembly")
ROWS = b"1\n2\n"


class Functions:
    """The functions of a deployment, with the queues of parts of another one."""

    def __init__(self, part_queue_url: str = "https://sqs/part") -> None:
        self.part_queue_url = part_queue_url
        self.endpoint, self.inputs, self.results, self.queue = FakeEndpoint(), FakeInputs(), FakeBucket(), FakeQueue()
        self.parts, self.assemblies = FakeSender(), FakeSender()

    def deliver(self, queue: str, takes: tuple[Kind, ...], body: object, **options: Any) -> list[Outcome]:
        one = self.processor(queue, takes)
        return one.process(one.parse(delivery(body, **{"sender_id": FUNCTION, **options})))

    def processor(self, queue: str, takes: tuple[Kind, ...]) -> SyncProcessor:
        settings = with_settings(source_queue_url=queue, part_queue_url=self.part_queue_url, max_body_bytes=1 << 20)
        core, _ = compose_core(
            settings,
            takes,
            endpoint=self.endpoint,
            inputs=FakeFiles(self.inputs, self.results),
            results=self.results,
            part_queue=self.parts,
            assembly_queue=self.assemblies,
            dead_letter_queue=self.queue,
            source_queue=self.queue,
            memory=Memory(512),
            utc_now=lambda: NOW,
            rng=random.Random(0),
        )
        return SyncProcessor(core)

    def part(self) -> str:
        """Drop a file, and return the message of its only part."""
        record = self.inputs.drop("transform/a.csv", ROWS)["Records"][0]["s3"]["object"]
        file = DroppedObject(
            "input", record["key"], len(ROWS), record["versionId"], record["sequencer"], record["eTag"]
        )
        return body_of(TransformPart(file, 0, len(ROWS)))


@pytest.mark.parametrize(
    ("part_queue_url", "queue", "takes"),
    [
        ("https://sqs/part", "https://sqs/request", LIVE),  # a function of an earlier version has sent it there
        ("https://sqs/request", "https://sqs/part", PARTS),  # the datasets' share was set to 0
    ],
)
def test_a_part_on_another_queue_is_sent_on_and_not_called(
    part_queue_url: str, queue: str, takes: tuple[Kind, ...]
) -> None:
    world = Functions(part_queue_url)
    part = world.part()
    (outcome,) = world.deliver(queue, takes, part)
    assert (outcome.status, outcome.acknowledged) == (Status.SUCCEEDED, True)
    (sent,) = world.parts.bodies
    assert parse(sent) == parse(part)
    assert not world.endpoint.calls


def test_a_part_is_not_sent_to_and_fro_for_ever_between_two_functions_that_each_take_the_others_queue_for_it() -> None:
    """While a deployment is updated, one of them has the new settings and the other one still has the old ones."""
    world = Functions()
    body, hops = world.part(), 0
    for hop in range(100):
        queue, part_queue_url = ("https://sqs/a", "https://sqs/b") if hop % 2 else ("https://sqs/b", "https://sqs/a")
        world.part_queue_url = part_queue_url
        world.parts.bodies.clear()
        (outcome,) = world.deliver(queue, LIVE, body)
        if outcome.status is Status.RETRY:
            break
        (body,) = world.parts.bodies
        hops = hop + 1
    assert hops == MOST_TIMES_WHOLE < 16, "about 16 invocations are as many as Lambda allows in a chain"
    assert not world.parts.bodies, "it waits in its queue"


@pytest.mark.parametrize(
    ("queue", "takes"), [("https://sqs/part", PARTS), ("https://sqs/request", LIVE)], ids=["own queue", "shared queue"]
)
def test_a_part_on_its_queue_is_answered(queue: str, takes: tuple[Kind, ...]) -> None:
    world = Functions(queue)
    (outcome,) = world.deliver(queue, takes, world.part())
    assert outcome.status is Status.SUCCEEDED
    assert world.endpoint.calls
    assert len(world.assemblies.bodies) == 1
    assert not world.parts.bodies


def test_a_part_that_cannot_be_sent_on_stays_on_its_queue() -> None:
    world = Functions()

    async def refuse(bodies: Any) -> None:
        raise service_error(Operation.SEND_PARTS, "ServiceUnavailable", status=503)

    world.parts.send = refuse  # type: ignore[method-assign]
    (outcome,) = world.deliver("https://sqs/request", LIVE, world.part())
    assert outcome.status is Status.RETRY


@pytest.mark.parametrize(("queue", "takes"), [("https://sqs/part", PARTS), ("https://sqs/request", LIVE)])
def test_a_part_that_another_principal_has_sent_is_dead_lettered(queue: str, takes: tuple[Kind, ...]) -> None:
    world = Functions()
    (outcome,) = world.deliver(queue, takes, world.part(), sender_id=SENDER)
    assert outcome.status is Status.DEAD_LETTERED
    assert not world.parts.bodies
    assert not world.endpoint.calls
    assert not any(key.startswith("transform/") for key in world.results.objects)


def test_a_message_on_the_part_queue_changes_no_outcome_of_the_request_that_it_names() -> None:
    world = Functions()
    request = {"Body": "1", "InferenceId": "order-7"}
    world.deliver("https://sqs/request", LIVE, request, sender_id=SENDER)
    before, calls = dict(world.results.objects), len(world.endpoint.calls)
    (outcome,) = world.deliver("https://sqs/part", PARTS, {**request, "Body": "2"}, sender_id=SENDER, message_id="m")
    assert outcome.acknowledged
    assert world.results.objects == before
    assert len(world.endpoint.calls) == calls


def test_a_crashed_part_is_dead_lettered_whichever_queue_it_was_on() -> None:
    world = Functions()
    part = world.part()
    one = world.processor("https://sqs/crashed", CRASHED)
    (outcome,) = one.dead_letter_crashed(one.parse(delivery(part, sender_id=FUNCTION)))
    assert outcome.status is Status.DEAD_LETTERED
    assert json.loads(world.results.objects["transform/a.csv.err"].body)["ErrorCode"] == "Crashed"
