"""A batch: concurrent, complete, and nothing begun that can't end in time."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from sluice.backoff import delay_seconds
from sluice.dispatch import SETTLE_MS, Dispatcher
from sluice.outcome import Status
from sluice.ports import Inference
from tests.support.fakes import Call, World, delivery

CALL_MS = 75_000


def run(world: World, count: int, *, threads: int = 4, remaining_ms: float = 90_000) -> dict[str, Status]:
    with ThreadPoolExecutor(threads) as executor:
        dispatcher = Dispatcher(world.processor, executor, CALL_MS)
        deliveries = [delivery({"Body": str(n)}, message_id=f"m{n}") for n in range(count)]
        return {
            o.message_id: o.status for outcomes in dispatcher.run(deliveries, lambda: remaining_ms) for o in outcomes
        }


def test_every_delivery_has_an_outcome() -> None:
    assert run(World(), 25) == {f"m{n}": Status.SUCCEEDED for n in range(25)}


def test_calls_run_side_by_side() -> None:
    world = World()
    all_there = threading.Barrier(4, timeout=10)

    def answer(call: Call) -> Inference:
        all_there.wait()  # breaks, and fails the test, unless four calls are under way at once
        return Inference(b"ok")

    world.endpoint.answer = answer
    assert set(run(world, 4).values()) == {Status.SUCCEEDED}


def test_no_call_begins_that_cannot_end_in_time() -> None:
    world = World()
    assert set(run(world, 5, remaining_ms=CALL_MS + SETTLE_MS - 1).values()) == {Status.RETRY}
    assert not world.endpoint.calls
    assert len(world.queue.delays) == 5
    assert set(run(world, 5, remaining_ms=CALL_MS + SETTLE_MS).values()) == {Status.SUCCEEDED}


@given(st.integers(1, 2000), st.floats(0.1, 60), st.floats(1, 43200), st.randoms())
def test_backoff_is_whole_seconds_within_its_ceiling(
    receives: int, base: float, cap: float, rng: random.Random
) -> None:
    seconds = delay_seconds(receives, base=base, cap=cap, rng=rng)
    assert 1 <= seconds <= 43200
    assert seconds <= max(1, min(cap, base * 2 ** min(receives - 1, 40))) + 1


def test_backoff_grows_and_is_jittered() -> None:
    rng = random.Random(1)
    means = [
        sum(delay_seconds(receives, base=5, cap=900, rng=rng) for _ in range(500)) / 500 for receives in range(1, 9)
    ]
    assert means == sorted(means)
    assert len({delay_seconds(5, base=5, cap=900, rng=rng) for _ in range(50)}) > 10
