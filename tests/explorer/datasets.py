"""Scenarios of datasets: the last parts, the request for the assembly, and the crashed function."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sluice.failures import Operation
from sluice.inputs.delivery import Delivery
from sluice.inputs.internal_messages import body_of, internal_request
from sluice.inputs.requests import TransformPart
from sluice.inputs.strict_json import load_json
from sluice.ports import Inference
from tests.explorer.execution import Scenario, Work, scenario
from tests.explorer.steps import Steps
from tests.support.fakes import FUNCTION, Answer, Call, delivery, service_error
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
        self.expected = b"1\n2\n"
        self.earlier: set[bytes] = set()  # results that may stay beside the dead letter of a later failure
        self._ended: dict[str, tuple[str, bool]] = {}

    def deliver_part(self, name: str, start: int, end: int) -> None:
        """Deliver the part with a range of the file as the actor `name`."""
        self.deliver(name, body_of(replace(self.part, start=start, end=end)))

    def deliver(self, name: str, body: str) -> None:
        """Deliver a message as the actor `name`."""
        self._ended[name] = body, False
        self.actors[name] = lambda: self._process(name, body)

    async def _process(self, name: str, body: str) -> None:
        core = self.world.processor(self.steps.of(name)).core
        parsed = core.parse(_delivery(body, name), lambda: 90_000)
        self._ended[name] = body, all(one.acknowledged for one in await core.process(parsed))

    def crash(self, name: str, start: int, end: int) -> None:
        """Deliver a part that has crashed its function at each receive to the crashed function, as the actor `name`."""
        body = body_of(replace(self.part, start=start, end=end))
        self._ended[name] = body, False

        async def work() -> None:
            core = self.world.processor(self.steps.of(name)).core
            ended = await core.dead_letter_crashed(core.parse(_delivery(body, name), lambda: 90_000))
            self._ended[name] = body, all(one.acknowledged for one in ended)

        self.actors[name] = work

    def deliver_at_once(self, name: str, body: str) -> None:
        """Deliver a message as the actor `name`, whose delivery is one step."""

        async def work() -> None:
            await self.steps.take(name, "all of its delivery", is_of_worker=False)
            await self._process_at_once(name, body)

        self.actors[name] = work

    def upload(self, name: str, content: bytes, *, is_assembled: bool = True) -> None:
        """As the actor `name`, replace the file, and process its parts as one step.

        With it, the file is assembled, or else its assembly is then delivered.
        """

        async def work() -> None:
            await self.steps.take(name, "upload", is_of_worker=False)
            self.world.drop(_NAME, content)
            self.earlier.add(self.expected)
            self.expected = content
            for queue in (self.world.splits, self.world.requests):
                await self._process_at_once(name, queue.bodies.pop())
            body = self.world.assemblies.bodies.pop()
            if is_assembled:
                await self._process_at_once(name, body)
                return
            self._ended[name] = body, False
            await self._process(name, body)

        self.actors[name] = work

    async def _process_at_once(self, name: str, body: str) -> None:
        core = self.world.processor().core
        await core.process(core.parse(_delivery(body, name), lambda: 90_000))

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
        objects, newest = self.world.results.objects, self.world.inputs("input").objects[_NAME].version_id
        there = {f"{_NAME}.out", f"{_NAME}.err"} & objects.keys()
        has_dead_letter = bool(self.world.dead_letters.sent)
        was_killed = any("killed" in line for line in self.steps.log)
        out = objects.get(f"{_NAME}.out")
        is_newest = out is not None and out.metadata["source-version"] == newest
        if len(there) != 1 and not (there and not is_newest and has_dead_letter):
            yield f"the file has {sorted(there)}"
        if f"{_NAME}.err" in there and not has_dead_letter:
            yield ".err without a dead letter"
        if out is not None and not has_dead_letter:
            if out.body != self.expected or not is_newest:
                yield f"the file has another answer: {out.body!r}"
            if self.world.summary(_NAME)["failed"] or f"{_NAME}.errors.jsonl" in objects:
                yield "there are refused records"
        if has_dead_letter and not there:
            yield "a dead letter without .err"
        if out is not None and out.body not in {self.expected, *self.earlier}:
            yield f"the file has another answer: {out.body!r}"
        if len(self.world.dead_letters.sent) > 1 + was_killed:
            yield f"{len(self.world.dead_letters.sent)} dead letters"


def _delivery(body: str, message_id: str) -> Delivery:
    return delivery(body, message_id=message_id, receive_count=3, sender_id=FUNCTION)


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


def _denied(one: DatasetRun) -> None:
    one.world.endpoint.answer = lambda call: service_error(Operation.INVOKE, "AccessDeniedException", status=403)


def _two_parts_fail(one: DatasetRun) -> None:
    _denied(one)
    one.deliver_part("part 1", 0, 2)
    one.deliver_at_once("part 2", body_of(replace(one.part, start=2, end=4)))


def _two_parts_crash(one: DatasetRun) -> None:
    one.crash("part 1", 0, 2)
    one.crash("part 2", 2, 4)


def _a_part_fails_and_succeeds(one: DatasetRun) -> None:
    """A part fails in one of its deliveries and is answered in the other, while another part fails."""
    answers = iter([False])

    def answer(call: Call) -> Answer:
        if call.body == b"2\n" or not next(answers, True):
            return service_error(Operation.INVOKE, "AccessDeniedException", status=403)
        return Inference(call.body, "text/csv")

    one.world.endpoint.answer = answer
    one.deliver_part("part 1", 0, 2)
    one.deliver_at_once("part 1 again", body_of(replace(one.part, start=0, end=2)))
    one.deliver_at_once("part 2", body_of(replace(one.part, start=2, end=4)))


def _refused_then_retried(one: DatasetRun, retries: int) -> None:
    """The file is done, with a refused record in each of two parts. It is retried."""
    content = b"1\n2\n3\n4\n"

    def refuse(call: Call) -> Answer:
        if call.body in {b"2\n", b"4\n"} or call.body.count(b"\n") > 1:
            return service_error(Operation.INVOKE, "ModelError", original_status_code=400)
        return Inference(call.body, "text/csv")

    one.world.drop(_NAME, content)
    one.expected = content
    one.world.process(one.world.splits.bodies.pop())
    (whole,) = one.world.requests.bodies
    one.world.requests.bodies.clear()
    part = internal_request(load_json(whole, "part"))
    assert isinstance(part, TransformPart)
    one.part = part
    one.world.endpoint.answer = refuse
    for start in (0, 4):
        one.world.process(body_of(replace(part, start=start, end=start + 4)))
    one.world.run()
    one.earlier.add(b"1\n\n3\n\n")
    assert one.world.out(_NAME) in one.earlier
    one.world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    for number in range(retries):
        body = one.world.retry(_NAME)
        one.world.splits.bodies.clear()
        one.world.process(body, message_id=f"retry {number}", age=timedelta(seconds=-1 - number))


def _retry(one: DatasetRun) -> None:
    """The two parts of a retry, at once."""
    _refused_then_retried(one, 1)
    for number in range(2):
        one.deliver(f"retried {number}", one.world.requests.bodies.pop())


def _two_retries(one: DatasetRun) -> None:
    """The last part of a retry, and the last one of the next, which began before the first ended."""
    _refused_then_retried(one, 2)
    first, last, second, last_of_second = one.world.requests.bodies
    one.world.requests.bodies.clear()
    for body in (first, second):
        one.world.process(body)
    one.deliver("last of the first", last)
    one.deliver("last of the second", last_of_second)


def _assemblies_of_two_retries(one: DatasetRun) -> None:
    _refused_then_retried(one, 2)
    while one.world.requests.bodies:
        one.world.process(one.world.requests.bodies.pop(0))
    older, *_, newer = one.world.assemblies.bodies
    one.world.assemblies.bodies.clear()
    one.deliver("older", older)
    one.deliver_at_once("newer", newer)


def _retry_and_newer_upload(one: DatasetRun) -> None:
    """A newer version is uploaded and transformed while the last part of a retry is processed and assembled."""
    _refused_then_retried(one, 1)
    one.world.process(one.world.requests.bodies.pop())
    one.deliver("retried", one.world.requests.bodies.pop())
    one.upload("newer", b"5\n6\n")


def _assembled(one: DatasetRun) -> str:
    """The message of a retry's assembly."""
    _refused_then_retried(one, 1)
    while one.world.requests.bodies:
        one.world.process(one.world.requests.bodies.pop())
    return one.world.assemblies.bodies.pop()


def _retry_assembled_and_newer_upload(one: DatasetRun) -> None:
    one.deliver("assembly", _assembled(one))
    one.upload("newer", b"5\n6\n")


def _newer_upload_and_retry_assembled(one: DatasetRun) -> None:
    one.deliver_at_once("assembly", _assembled(one))
    one.upload("newer", b"5\n6\n", is_assembled=False)


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
        _of("two-parts-fail", _two_parts_fail),
        _of("two-parts-crash", _two_parts_crash),
        _of("a-part-fails-and-succeeds", _a_part_fails_and_succeeds),
        _of("retry", _retry),
        _of("two-retries", _two_retries),
        _of("assemblies-of-two-retries", _assemblies_of_two_retries),
        _of("retry-and-newer-upload", _retry_and_newer_upload),
        _of("retry-assembled-and-newer-upload", _retry_assembled_and_newer_upload),
        _of("newer-upload-and-retry-assembled", _newer_upload_and_retry_assembled),
    )
}
