"""Scenarios of datasets: the last parts, the request for the assembly, and the crashed function."""

from collections.abc import Callable, Iterator
from typing import Any

from sluice.failures import Operation
from sluice.inputs.internal_messages import body_of, internal_request
from sluice.inputs.requests import TransformPart
from sluice.inputs.strict_json import load_json
from sluice.ports import Inference
from tests.explorer.execution import Scenario, Work, scenario
from tests.explorer.steps import Steps
from tests.support.fakes import FUNCTION, delivery, service_error
from tests.support.transform import Transforms

_NAME = "transform/a.csv"


class DatasetRun:
    """One execution. The parts are at their last receive: whoever is killed is followed by the crashed function."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.actors: dict[str, Work] = {}
        self.world = Transforms()
        self.world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
        self.world.drop(_NAME, b"1\n2\n")
        self.event = self.world.splits.bodies.pop()
        self.world.process(self.event)
        (body,) = self.world.requests.bodies
        self.world.requests.bodies.clear()
        request = internal_request(load_json(body, "part"))
        assert isinstance(request, TransformPart)
        self.part = request
        self._ended: dict[str, tuple[str, bool]] = {}

    def deliver_part(self, name: str, start: int, end: int) -> None:
        """Deliver the part with a range of the file as the actor `name`."""
        self.deliver(name, body_of(TransformPart(self.part.file, start, end)))

    def deliver(self, name: str, body: str) -> None:
        """Deliver a message as the actor `name`."""
        self._ended[name] = body, False
        self.actors[name] = lambda: self._process(name, body)

    async def _process(self, name: str, body: str) -> None:
        core = self.world.processor(self.steps.of(name)).core
        parsed = core.parse(delivery(body, message_id=name, receive_count=3, sender_id=FUNCTION), lambda: 90_000)
        self._ended[name] = body, all(one.acknowledged for one in await core.process(parsed))

    def drain(self) -> None:
        """Give what was not acknowledged to the crashed function, then assemble."""
        for name, (body, ended) in self._ended.items():
            if not ended:
                one = self.world.processor()
                message = delivery(body, message_id=name, receive_count=4, sender_id=FUNCTION)
                one.dead_letter_crashed(one.parse(message))
        self.world.run()

    def violations(self) -> Iterator[str]:
        """The file is answered, or has failed and says so."""
        there = {f"{_NAME}.out", f"{_NAME}.err"} & self.world.results.objects.keys()
        if len(there) != 1:
            yield f"the file has {sorted(there)}"
        if there == {f"{_NAME}.out"} and self.world.out(_NAME) != b"1\n2\n":
            yield "the file has another answer"
        if there == {f"{_NAME}.err"} and not self.world.dead_letters.sent:
            yield ".err without a dead letter"


def _one_part(one: DatasetRun) -> None:
    one.deliver_part("part", 0, 4)


def _part_twice(one: DatasetRun) -> None:
    one.deliver_part("part", 0, 4)
    one.deliver_part("part again", 0, 4)


def _two_parts(one: DatasetRun) -> None:
    one.deliver_part("part 1", 0, 2)
    one.deliver_part("part 2", 2, 4)


def _refused_announcement(one: DatasetRun) -> None:
    _two_parts(one)
    left = iter(range(2))
    send = one.world.assemblies.send

    async def refuse(bodies: Any) -> None:
        if next(left, None) is not None:
            raise service_error(Operation.SEND_PARTS, "AccessDenied", status=403)
        await send(bodies)

    one.world.assemblies.send = refuse  # type: ignore[method-assign]


def _split_given_up(one: DatasetRun) -> None:
    """The event's last receive fails, after its parts have been sent and stored. The file is assembled meanwhile."""
    one.world.process(body_of(one.part))
    one.deliver("event again", one.event)
    one.deliver("assembly", one.world.assemblies.bodies.pop())

    async def refuse(bodies: Any) -> None:
        raise service_error(Operation.SEND_PARTS, "AccessDenied", status=403)

    one.world.requests.send = refuse  # type: ignore[method-assign]


def _of(name: str, build: Callable[[DatasetRun], None]) -> Scenario:
    return scenario(name, DatasetRun, build)


DATASETS = {
    one.name: one
    for one in (
        _of("last-part", _one_part),
        _of("last-part-twice", _part_twice),
        _of("two-parts", _two_parts),
        _of("two-parts-announcement-refused", _refused_announcement),
        _of("split-given-up", _split_given_up),
    )
}
