"""The memory of a part, and of all parts of a function, is bounded."""

import gc
import json
import tracemalloc
from collections.abc import Callable

import pytest

from sluice.concurrency import Event, sleep, spawn
from sluice.ports import Inference
from sluice.processing.memory import Memory, MemoryExhausted, Reservation
from sluice.processing.outcome import Outcome, Status
from sluice.transform import work
from sluice.transform.memory import ENOUGH_ANSWERED, needed
from sluice.transform.options import MAX_CHUNK_BYTES
from tests.support.fakes import FUNCTION, Call, delivery
from tests.support.transform import Transforms
from tests.support.virtual_time import run

KEY = "transform/wine/rows.csv"
_MOST = 36 * 1024 * 1024  # ten parts and the rest of the function fit into the default of 512 MB


def as_lines(call: Call) -> Inference:
    return Inference(b"class_1,0.93\n" * call.body.count(b"\n"), "text/csv")


def as_json(call: Call) -> Inference:
    one = b'{"score":0.73,"label":"second"}'
    return Inference(b'{"predictions":[' + b",".join([one] * call.body.count(b"\n")) + b"]}", "application/json")


def as_emoji(call: Call) -> Inference:
    records = ['{"score": 0.73, "label": "\N{WINE GLASS}"}'] * call.body.count(b"\n")
    return Inference(f'{{"predictions": [{", ".join(records)}]}}'.encode(), "application/json")


def as_long_lines(call: Call) -> Inference:
    return Inference((b"0.123456," * 227 + b"1\n") * call.body.count(b"\n"), "text/csv")


ROW = b"5.1,3.25\n"
WIDE = b"14.23,1.71,2.43,15.6,127.0,2.8,3.06,0.28,2.29,5.64,1.04,3.92,1065.0\n"
FILTERED = {"input-filter": "$[1:]", "join-source": "Input", "output-filter": "$[0,-1]"}


@pytest.mark.parametrize(
    ("row", "metadata", "answer"),
    [
        (b"5\n", {}, as_lines),
        (ROW, {}, as_lines),
        (WIDE, {}, as_lines),
        (ROW, FILTERED, as_lines),
        (ROW, {}, as_json),
        (ROW, {}, as_emoji),
        (ROW, {}, as_long_lines),
        (b"x,1\n", {"input-filter": "$[2]"}, as_lines),  # without a match, so no record can be sent
    ],
)
def test_a_full_part_stays_within_its_reserved_memory(
    row: bytes, metadata: dict[str, str], answer: Callable[[Call], Inference]
) -> None:
    world = Transforms()
    world.endpoint.answer = answer
    world.drop(KEY, row * (MAX_CHUNK_BYTES // len(row)), metadata=metadata)
    world.process(world.splits.bodies.pop())
    (body, *_) = world.requests.bodies
    whole = json.loads(body)
    whole["TransformPart"]["End"] = whole["TransformPart"]["Size"]
    gc.disable()  # cyclic garbage would stay in memory for an unknown time
    tracemalloc.start()
    try:
        (outcome,) = world.process(json.dumps(whole))  # a new function, without a response size for its endpoint
        left, peak = tracemalloc.get_traced_memory()
    finally:
        gc.enable()
        tracemalloc.stop()
    assert outcome.status is Status.SUCCEEDED
    assert any(key.endswith(".out") for key in world.results.objects)
    stored = sum(len(one.body) for one in world.results.objects.values())
    assert left - stored - sum(len(call.body) for call in world.endpoint.calls) < 1024 * 1024
    assert peak < needed(MAX_CHUNK_BYTES, work.MAX_LINES, 2 * ENOUGH_ANSWERED) < _MOST


async def _reserve(memory: Memory, size: int, seconds: float, then: Event | None = None) -> None:
    """Reserve `size` bytes, and hold them until `then`."""
    async with memory.reserve(lambda: seconds) as one:
        await one.resize(size)
        if then is not None:
            await then.wait()


def test_parts_wait_for_each_other() -> None:
    async def main() -> None:
        memory = Memory(512)
        async with memory.reserve(lambda: 0) as first:
            await first.resize(300 << 20)
            second = spawn(_reserve(memory, 200 << 20, 60))
            with pytest.raises(MemoryExhausted):
                await _reserve(memory, 200 << 20, 0)
            assert not second.done
            await first.resize(100 << 20)
            await second

    run(main())


def test_a_part_larger_than_all_memory_reserves_all_of_it() -> None:
    async def main() -> None:
        memory = Memory(512)
        async with memory.reserve(lambda: 0) as first:
            await first.resize(10 << 30)
            with pytest.raises(MemoryExhausted):
                await _reserve(memory, 1, 0)
        await _reserve(memory, 1, 0)

    run(main())


def test_a_part_without_memory_is_sent_as_a_new_message() -> None:
    """It does not use up a receive because other parts are large."""
    world = Transforms()
    world.endpoint.answer = as_lines
    world.drop(KEY, ROW)
    world.process(world.splits.bodies.pop())
    body = world.requests.bodies.pop()
    world.remaining_ms = lambda: 80_000

    async def while_others_hold_it() -> list[Outcome]:
        async with world.memory.reserve(lambda: 0) as others:
            await others.resize(1 << 30)
            core = world.processor().core
            return await core.process(core.parse(delivery(body, sender_id=FUNCTION), world.remaining_ms))

    (outcome,) = run(while_others_hold_it())
    assert outcome.acknowledged
    whole = json.loads(body)["TransformPart"]
    assert [json.loads(one) for one in world.requests.bodies] == [{"TransformPart": {**whole, "TimesWhole": 1}}]
    assert not world.endpoint.calls
    world.run()
    assert world.out(KEY) == b"class_1,0.93\n"


@pytest.mark.parametrize(("name", "value"), [("MAX_LINES", 3), ("MAX_REFUSED", 2)])
def test_the_rest_of_a_part_with_too_many_lines_is_a_separate_part(
    monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    monkeypatch.setattr(work, name, value)
    world = Transforms()
    world.endpoint.answer = as_lines
    world.drop(KEY, b"1,2\n1\n" * 10 + b"1,2", metadata={"input-filter": "$[1]", "answer-format": "Lines"})
    world.run()
    assert world.out(KEY) == b"class_1,0.93\n\n" * 10 + b"class_1,0.93\n"
    assert [error["Line"] for error in world.errors(KEY)] == list(range(2, 21, 2))
    assert world.summary(KEY)["parts"] > 5
    assert sum(call.body.count(b"\n") for call in world.endpoint.calls) == 11, "each once"


def test_the_rest_of_a_part_with_too_many_results_is_a_separate_part() -> None:
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(b"x" * (ENOUGH_ANSWERED - 10) + b"\n", "text/csv")
    world.drop(KEY, b"1\n" * 6, metadata={"batch-strategy": "SingleRecord"})
    world.run()
    assert world.out(KEY).count(b"\n") == 6
    assert len(world.endpoint.calls) == 6
    assert world.summary(KEY)["parts"] == 3


@pytest.mark.parametrize("rows", [20, 64])
def test_answers_that_are_larger_than_the_memory_and_not_kept_do_not_end_a_part(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Each group has an answer that cannot be divided. Its halves are called for, two at once, not the group again."""
    monkeypatch.setattr("tests.support.transform._MOST_DELIVERIES", 60)
    world = Transforms(max_receive_count=3)
    world.memory = Memory(128)
    large = Inference(b"x" * (6 << 20), "text/csv")

    async def answer(call: Call) -> Inference:
        await sleep(1)
        return Inference(b"9\n", "text/csv") if call.body.count(b"\n") == 1 else large

    world.endpoint.answer = answer
    world.drop(KEY, b"".join(b"%d\n" % row for row in range(rows)), metadata={"answer-format": "Lines"})
    world.run(first_receive=1)
    assert world.out(KEY) == b"9\n" * rows
    assert len(world.endpoint.calls) <= 2 * rows
    assert run_free(world.memory), "all memory is released"


def run_free(memory: Memory) -> bool:
    """Whether nobody holds memory, and nobody has more than there is."""

    async def free() -> bool:
        reservation = Reservation(memory, lambda: 0.0)
        await reservation.resize(16 << 20)  # all of it; raises `MemoryExhausted` if some is taken
        await reservation.grow(17 << 20)
        is_over = reservation.is_over
        reservation.shrink(0)
        return is_over

    return run(free())


def test_a_reservation_that_shrinks_lets_others_take_more_than_there_is() -> None:
    async def main() -> None:
        memory = Memory(128)  # 16 MB of it for bodies
        first, second = Reservation(memory, lambda: 0.0), Reservation(memory, lambda: 0.0)
        await first.grow(20 << 20)
        waiting = spawn(second.grow(24 << 20))
        await sleep(0)
        assert [first.is_over, second.is_over] == [True, False]
        first.shrink(10 << 20)  # its answer was not kept
        await waiting
        assert [first.is_over, second.is_over] == [False, True]
        first.shrink(0)
        second.shrink(0)
        assert memory.fits(16 << 20)
        assert not memory.fits((16 << 20) + 1)

    run(main())
