"""A batch is determined by the order in which its operations complete: the same order gives the same run."""

import io
import json
import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any, cast

import pytest
from aws_lambda_powertools import Logger, Metrics

from sluice.concurrency import Runner, Task, sleep
from sluice.failures import Operation
from sluice.functions import RequestApplication, concurrently
from sluice.inputs.delivery import Delivery
from sluice.ports import Inference
from sluice.processing.dispatcher import Dispatcher
from sluice.telemetry import Telemetry
from tests.support.fakes import NOW, Answer, Call, Fuse, World, delivery, service_error
from tests.support.virtual_time import VirtualTime

_ERRORS = (
    service_error(Operation.INVOKE, "ThrottlingException"),
    service_error(Operation.INVOKE, "ModelError", original_status_code=400),
    service_error(Operation.INVOKE, "InternalFailure", status=500),
)


class Operations(Fuse):
    """The operations on the ports, in the order in which they begin. Each takes a random time."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        super().__init__()
        self.log: list[tuple[str, str]] = []
        self._seconds = seconds

    async def around(self, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        shown = {key: value for key, value in kwargs.items() if not callable(value)}
        self.log.append((name, repr((args, shown))))
        await sleep(self._seconds())
        return await operation(*args, **kwargs)


def batch(world: World) -> list[Delivery]:
    """Messages of all kinds: two endpoints, duplicates, broken ones, objects with two versions, last receives."""
    bodies: list[object] = [{"Body": str(number)} for number in range(20)]
    bodies += [{"Body": str(number), "EndpointName": "digits"} for number in range(10)]
    bodies += [{"Body": "twice", "InferenceId": "twice"}] * 3
    bodies += ["{not json", {"Body": "x", "EndpointName": "unknown"}]
    bodies += [world.inputs.drop("invoke/a.csv", b"old"), world.inputs.drop("invoke/a.csv", b"new")]
    return [
        delivery(body, message_id=f"message-{number}", receive_count=1 + number % 3)
        for number, body in enumerate(bodies)
    ]


def run_batch(order: int) -> tuple[list[tuple[str, str]], list[dict[str, Any]], dict[str, bytes]]:
    """Run the batch with the completion order that `order` seeds. Returns the operations, the log and the results."""
    chance = random.Random(order)
    operations = Operations(lambda: chance.randrange(4) / 10)
    world = World(fuse=operations)

    def answer(call: Call) -> Answer:
        number = call.body.decode()
        return _ERRORS[int(number) % 3] if number in {"3", "4", "5"} else Inference(b"answer to " + call.body)

    world.endpoint.answer = answer

    def choose(ready: Sequence[Task[Any]]) -> int:
        return chance.randrange(len(ready))

    virtual = VirtualTime(choose)
    lines = io.StringIO()
    logger = Logger(service=f"determinism-{uuid.uuid4()}", stream=lines, location=None)
    with redirect_stdout(io.StringIO()):
        app = RequestApplication(
            processor=world.core,
            dispatcher=Dispatcher(world.core, concurrency=7, needed_ms=80_000),
            logger=logger,
            telemetry=Telemetry(
                logger,
                Metrics(namespace="Sluice", service="Sluice"),
                trace_header=lambda: None,
                clock=lambda: NOW.timestamp() + virtual.time,
            ),
            run_batch=concurrently,
            runner=cast("Runner", virtual),
        )
        virtual.run(app.run(batch(world), lambda: 90_000 - virtual.time * 1000))
    log = [{**json.loads(line), "service": None} for line in lines.getvalue().splitlines()]
    return operations.log, log, {key: stored.body for key, stored in world.results.objects.items()}


@pytest.mark.parametrize("order", range(5))
def test_the_same_completion_order_gives_the_same_run(order: int) -> None:
    first, second = run_batch(order), run_batch(order)
    assert first == second
    operations, log, _ = first
    assert len(log) == 37
    assert len(operations) > 100


def test_other_orders_give_other_runs() -> None:
    logs = {json.dumps(run_batch(order)[1]) for order in range(5)}
    assert len(logs) == 5
