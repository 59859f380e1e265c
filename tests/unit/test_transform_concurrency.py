"""Parts whose calls run side by side: their shared bound, their division among functions, what is stored of them."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

import sluice.transform.options
from sluice.concurrency import now, sleep, spawn
from sluice.failures import Operation
from sluice.ports import Inference
from sluice.processing.outcome import Outcome, Status
from sluice.transform.bisect import PATIENCE
from tests.support.containers import refusal
from tests.support.fakes import FUNCTION, Answer, Call, Fuse, Killed, delivery, service_error
from tests.support.transform import Transforms
from tests.support.virtual_time import run

KEY = "transform/wine/rows.csv"
SINGLE = {"batch-strategy": "SingleRecord"}
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException", status=400)


class Slow:
    """Echoes after some seconds, and counts the calls at once; `fails` says which body has which error."""

    def __init__(self, seconds: float = 10, fails: Callable[[bytes], Exception | None] = lambda body: None) -> None:
        self.seconds = seconds
        self.fails = fails
        self.under_way = 0
        self.most = 0
        self.began: list[tuple[float, bytes]] = []

    def __call__(self, call: Call) -> Awaitable[Answer]:
        return self._answer(call.body)

    async def _answer(self, body: bytes) -> Answer:
        error = self.fails(body)
        if error is not None:
            return error
        self.began.append((now(), body))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await sleep(self.seconds)
        self.under_way -= 1
        return Inference(body, "text/csv")


def rows(count: int) -> bytes:
    return b"".join(b"%03d\n" % number for number in range(count))


def ranges(world: Transforms) -> list[tuple[int, int]]:
    """The parts that are queued."""
    parts = [json.loads(body)["TransformPart"] for body in world.requests.bodies]
    return [(part["Start"], part["End"]) for part in parts]


def part_of(world: Transforms, content: bytes, metadata: dict[str, str] = SINGLE) -> str:
    world.drop(KEY, content, metadata=metadata)
    world.process(world.splits.bodies.pop())
    return world.requests.bodies.pop()


def together(world: Transforms, bodies: list[str]) -> list[Outcome]:
    """Process messages in one function at the same time."""
    core = world.processor().core

    async def main() -> list[Outcome]:
        tasks = [
            spawn(core.process(core.parse(delivery(body, message_id=f"{number}", sender_id=FUNCTION), lambda: 90_000)))
            for number, body in enumerate(bodies)
        ]
        return [outcome for task in tasks for outcome in await task]

    return run(main())


def test_all_calls_of_a_function_share_its_bound() -> None:
    world = Transforms(concurrent_calls=6)
    world.endpoint.answer = slow = Slow()
    bodies = [part_of(world, rows(30))]
    world.drop("transform/wine/other.csv", rows(30), metadata=SINGLE)
    world.process(world.splits.bodies.pop())
    bodies += world.requests.bodies
    world.requests.bodies.clear()
    outcomes = together(world, bodies)
    assert {one.status for one in outcomes} == {Status.SUCCEEDED}
    assert slow.most == 6
    first = slow.began[:6]
    assert max(time for time, _ in first) <= 0.25, "none waits for others to end while there is room"


def test_parts_of_one_function_have_equal_shares() -> None:
    world = Transforms(concurrent_calls=6)
    world.endpoint.answer = slow = Slow()
    bodies = [part_of(world, rows(30))]
    world.drop("transform/wine/other.csv", b"".join(b"x%03d\n" % n for n in range(30)), metadata=SINGLE)
    world.process(world.splits.bodies.pop())
    bodies += world.requests.bodies
    together(world, bodies)
    began = Counter(body[:1] == b"x" for time, body in slow.began if time < 50)
    assert began[True] == began[False]


def test_a_slow_file_of_one_part_is_divided_among_the_functions() -> None:
    world = Transforms(concurrent_calls=4, concurrent_functions=3)
    world.endpoint.answer = slow = Slow()
    body = part_of(world, rows(120))
    sent: list[float] = []
    send = world.requests.send

    async def timed(bodies: list[str]) -> None:
        sent.append(now())
        await send(bodies)

    world.requests.send = timed  # type: ignore[assignment, method-assign]
    (outcome,) = world.process(body)
    assert outcome.status is Status.SUCCEEDED
    assert sent == [10], "as soon as it is known that the calls are slow"
    assert len(ranges(world)) == 2
    assert len(slow.began) in range(36, 50), "its own share"
    assert ranges(world)[-1][1] == 480
    world.run()
    assert world.out(KEY) == rows(120)
    assert Counter(call.body for call in world.endpoint.calls).most_common(1)[0][1] == 1, "each once"
    assert world.summary(KEY)["parts"] == 3
    assert world.summary(KEY)["calls"] == 120


@pytest.mark.parametrize("functions", [1, 3])
@pytest.mark.parametrize("seconds", [0.01, 10])
def test_a_file_is_not_divided_without_need(functions: int, seconds: float) -> None:
    world = Transforms(concurrent_calls=4, concurrent_functions=functions)
    world.endpoint.answer = Slow(seconds)
    count = 120 if functions == 1 or seconds < 1 else 4
    world.process(part_of(world, rows(count)))
    assert not ranges(world)


def test_a_divided_part_that_is_killed_at_any_step_gives_the_same_result() -> None:
    kills = 0
    world = Transforms(concurrent_calls=4, concurrent_functions=3)
    world.endpoint.answer = Slow()
    world.drop(KEY, rows(60), metadata=SINGLE)
    for queue in (world.splits, world.requests, world.assemblies):
        while queue.bodies:
            body = queue.bodies[0]
            for step in [*range(1, 20), *range(20, 140, 7), 1000]:
                try:
                    ended = world.process(body, fuse=Fuse(step, after=step % 2 == 0))
                except Killed:
                    kills += 1
                    continue
                assert all(outcome.acknowledged for outcome in ended)
                break
            queue.bodies.remove(body)
    assert kills > 30
    assert world.out(KEY) == rows(60)
    assert not world.dead_letters.sent


def test_what_is_answered_around_a_record_that_is_not_is_stored() -> None:
    world = Transforms(concurrent_calls=4)
    world.endpoint.answer = Slow(fails=lambda body: THROTTLED if body == b"002\n" else None)
    body = part_of(world, rows(40))
    (outcome,) = world.process(body)
    assert outcome.status is Status.SUCCEEDED
    answered = {call.body for call in world.endpoint.calls} - {b"002\n"}
    assert answered > {b"000\n", b"001\n", b"003\n"}
    assert ranges(world)[0] == (8, 12)
    assert len(ranges(world)) == 2
    world.endpoint.calls.clear()
    world.endpoint.answer = Slow()
    world.run()
    assert world.out(KEY) == rows(40)
    assert not answered & {call.body for call in world.endpoint.calls}, "what was paid for is not paid for again"


def test_an_answer_that_is_far_larger_than_expected_is_admitted() -> None:
    world = Transforms(concurrent_calls=4)
    sizes = iter([100] * 20 + [3 << 20] * 2 + [100] * 1000)

    async def answer(call: Call) -> Inference:
        await sleep(1)
        return Inference(b"x" * next(sizes) + b"\n", "text/csv")

    world.endpoint.answer = answer
    body = part_of(world, rows(100))
    free = world.memory._free.free
    (outcome,) = world.process(body)
    assert outcome.acknowledged
    assert world.memory._free.free == free
    world.run()
    assert [len(line) for line in world.out(KEY).split(b"\n")[:-1]].count(3 << 20) == 2


def test_records_are_sent_alone_while_a_slow_probe_goes_on() -> None:
    world = Transforms(concurrent_calls=4)

    def fails(body: bytes) -> Exception | None:
        return refusal() if body.count(b"\n") > 1 else None

    world.endpoint.answer = slow = Slow(fails=fails)
    world.process(part_of(world, rows(40), {}))
    began = [time for time, _ in slow.began]
    assert began[:4] == [0, 0, 0.25, 0.25]
    assert slow.most == 4
    world.run()
    assert world.out(KEY) == rows(40)
    assert world.summary(KEY)["answer_format"] == "None"
    assert world.summary(KEY)["calls"] == 42, "each record once, and twice several together"


def test_a_fast_probe_sends_no_more_than_it_needs() -> None:
    world = Transforms(concurrent_calls=4)
    world.endpoint.answer = Slow(0.2)
    world.process(part_of(world, rows(40), {}))
    assert [call.body.count(b"\n") for call in world.endpoint.calls] == [1, 1, 4, 38]


def test_a_part_whose_last_refusal_cannot_be_looked_into_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record has an answer or a reason by then, so that the file must be assembled."""
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 5 * PATIENCE)
    world = Transforms(concurrent_calls=4)
    world.endpoint.answer = Slow(fails=lambda body: refusal() if body[:1] == b"x" else None)
    world.drop(KEY, b"".join(b"x%03d\n" % number for number in range(PATIENCE)) + rows(3), metadata=SINGLE)
    world.process(world.splits.bodies.pop())
    bad, good = world.requests.bodies
    world.requests.bodies.clear()
    world.process(good)

    left = iter([True])

    def fail(operation: str, key: str) -> None:
        if operation == "head" and key.startswith("parts/") and next(left, False):
            raise service_error(Operation.STORE_RESULT, "AccessDenied", status=403)

    world.results.fail = fail
    (outcome,) = world.process(bad)
    assert outcome.status is Status.SUCCEEDED
    world.results.fail = lambda operation, key: None
    world.run()
    assert world.out(KEY) == b"\n" * PATIENCE + rows(3)
    assert len(world.endpoint.calls) == PATIENCE + 3
