"""Scenarios of datasets: the last parts, the request for the assembly, and the crashed function."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from sluice.failures import Operation
from sluice.inputs.internal_messages import body_of, internal_request
from sluice.inputs.requests import TransformPart
from sluice.inputs.strict_json import load_json
from sluice.ports import Inference
from tests.explorer.scenario import Scenario, Work
from tests.explorer.steps import Steps
from tests.support.fakes import FUNCTION, Fuse, Killed, delivery, service_error
from tests.support.transform import Transforms

_NAME = "transform/a.csv"


class DatasetRun:
    """One execution. The parts are at their last receive: whoever is killed is followed by the crashed function."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.actors: dict[str, Work] = {}
        self.invariants: list[Callable[[Any], Iterator[str]]] = [_one_outcome]
        self.world = Transforms()
        self.world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
        self.world.drop(_NAME, b"1\n2\n")
        self.world.process(self.world.splits.bodies.pop())
        (body,) = self.world.requests.bodies
        self.world.requests.bodies.clear()
        request = internal_request(load_json(body, "part"))
        assert isinstance(request, TransformPart)
        self.part = request
        self._ended: dict[str, tuple[str, bool]] = {}

    def deliver(self, name: str, start: int, end: int) -> None:
        """Deliver the part with a range of the file as the actor `name`."""
        body = body_of(TransformPart(self.part.file, start, end))
        self._ended[name] = body, False
        self.actors[name] = lambda: self._process(name, body)

    async def _process(self, name: str, body: str) -> None:
        core = self.world.processor(cast("Fuse", self.steps.of(name))).core
        parsed = core.parse(delivery(body, message_id=name, receive_count=3, sender_id=FUNCTION), lambda: 90_000)
        try:
            outcomes = await core.process(parsed)
        except Killed:
            return
        except BaseExceptionGroup as group:
            if group.subgroup(Killed) is None:
                raise
            return
        self._ended[name] = body, all(one.acknowledged for one in outcomes)

    def drain(self) -> None:
        """Give what was not acknowledged to the crashed function, then assemble."""
        for name, (body, ended) in self._ended.items():
            if not ended:
                one = self.world.processor()
                message = delivery(body, message_id=name, receive_count=4, sender_id=FUNCTION)
                one.dead_letter_crashed(one.parse(message))
        self.world.run()


def _one_outcome(one: DatasetRun) -> Iterator[str]:
    """The file is answered, or has failed and says so."""
    there = {f"{_NAME}.out", f"{_NAME}.err"} & one.world.results.objects.keys()
    if len(there) != 1:
        yield f"the file has {sorted(there)}"
    if there == {f"{_NAME}.out"} and one.world.out(_NAME) != b"1\n2\n":
        yield "the file has another answer"
    if there == {f"{_NAME}.err"} and not one.world.dead_letters.sent:
        yield ".err without a dead letter"


def _one_part(one: DatasetRun) -> None:
    one.deliver("part", 0, 4)


def _part_twice(one: DatasetRun) -> None:
    one.deliver("part", 0, 4)
    one.deliver("part again", 0, 4)


def _two_parts(one: DatasetRun) -> None:
    one.deliver("part 1", 0, 2)
    one.deliver("part 2", 2, 4)


def _refused_announcement(one: DatasetRun) -> None:
    _two_parts(one)
    left = iter(range(2))
    send = one.world.assemblies.send

    async def refuse(bodies: Any) -> None:
        if next(left, None) is not None:
            raise service_error(Operation.SEND_PARTS, "AccessDenied", status=403)
        await send(bodies)

    one.world.assemblies.send = refuse  # type: ignore[method-assign]


class DatasetScenario(Scenario):
    """A scenario of a dataset."""

    def start(self) -> Any:
        """A new run."""
        one = DatasetRun()
        self.build(cast("Any", one))
        return one


DATASETS = {
    one.name: one
    for one in (
        DatasetScenario("last-part", cast("Any", _one_part)),
        DatasetScenario("last-part-twice", cast("Any", _part_twice)),
        DatasetScenario("two-parts", cast("Any", _two_parts)),
        DatasetScenario("two-parts-announcement-refused", cast("Any", _refused_announcement)),
    )
}
