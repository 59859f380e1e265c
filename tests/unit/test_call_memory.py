"""The bodies of the calls that are under way fit into the function's memory."""

from collections.abc import Sequence
from typing import Any

import pytest

from sluice.concurrency import now, sleep
from sluice.ports import Inference, StoredObject
from sluice.processing.dispatcher import Dispatcher
from sluice.processing.outcome import Outcome, Status
from tests.support.fakes import NEEDED_MS, Call, World, delivery, with_settings
from tests.support.virtual_time import run

MB = 1024 * 1024
FREE = (512 - 144) * MB


class Concurrent:
    """An endpoint that answers after a second, and counts its calls at once."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.under_way = 0
        self.most = 0

    async def __call__(self, call: Call) -> Inference:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await sleep(1)
        self.under_way -= 1
        return Inference(self.answer)


def batch(
    world: World, count: int, remaining_ms: float = 90_000, bodies: Sequence[object] = ({"Body": "x"},)
) -> list[Status]:
    async def outcomes() -> list[Outcome]:
        dispatcher = Dispatcher(world.core, concurrency=100, needed_ms=NEEDED_MS)
        messages = [
            delivery(bodies[n % len(bodies)], message_id=f"{len(world.endpoint.calls)}-{n}") for n in range(count)
        ]
        return [one async for ended in dispatcher.run(messages, lambda: remaining_ms) for one in ended]

    return [one.status for one in run(outcomes())]


def held(world: World) -> list[int]:
    """The bytes that are reserved while results are stored, which takes a second."""
    put, seen = world.results.put, []

    async def slow(key: str, body: bytes, **options: Any) -> str:
        seen.append(FREE - world.memory._free.free)
        await sleep(1)
        return await put(key, body, **options)

    world.results.put = slow  # type: ignore[method-assign]
    return seen


def test_calls_with_small_bodies_do_not_wait() -> None:
    world = World(with_settings(max_body_bytes=25 * MB, concurrent_calls=100))
    world.endpoint.answer = endpoint = Concurrent(b"small")
    assert set(batch(world, 100)) == {Status.SUCCEEDED}
    assert endpoint.most == 100
    assert world.memory._free.free == FREE


@pytest.mark.parametrize("size", [6 * MB, 25 * MB])
def test_large_responses_wait_until_there_is_memory_for_them(size: int) -> None:
    world = World(with_settings(max_body_bytes=25 * MB, concurrent_calls=100))
    world.endpoint.answer = Concurrent(b"x" * size)
    seen = held(world)
    assert set(batch(world, 40 * 6 * MB // size * 3)) == {Status.SUCCEEDED}
    assert max(seen) <= FREE + 3 * size, "one at a time may take more than there is"
    assert world.memory._free.free == FREE
    assert world.memory.overcommitting.free == 1


def test_a_function_reads_no_more_large_bodies_at_once_than_it_has_memory_to_receive() -> None:
    """What is received is in memory in pieces and as a whole, for a moment: 40 bodies of 25 MB took 562 of 512 MB."""
    world = World(with_settings(max_body_bytes=25 * MB, concurrent_calls=100))
    bucket = world.inputs("input")
    get, reading, most = bucket.get, 0, 0

    async def slow(key: str, **options: Any) -> StoredObject:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await sleep(0.1)
        reading -= 1
        return await get(key, **options)

    bucket.get = slow  # type: ignore[method-assign]
    events = [world.inputs.drop(f"invoke/{number}", b"x" * 25 * MB) for number in range(8)]
    assert set(batch(world, len(events), bodies=events)) == {Status.SUCCEEDED}
    assert most == FREE // (3 * 25 * MB)


def test_the_largest_response_of_an_endpoint_is_expected() -> None:
    world = World(with_settings(max_body_bytes=8 * MB, concurrent_calls=100))
    world.endpoint.answer = endpoint = Concurrent(b"x" * 8 * MB)
    batch(world, 1)
    endpoint.most = 0
    assert set(batch(world, 100)) == {Status.SUCCEEDED}
    assert endpoint.most <= FREE // (8 * MB)


def test_a_call_that_gets_no_memory_in_time_is_retried() -> None:
    world = World(with_settings(max_body_bytes=200 * MB))
    world.endpoint.answer = Concurrent(b"x" * 200 * MB)
    batch(world, 1)
    left = NEEDED_MS + 500
    assert sorted(batch(world, 2, left)) == [Status.RETRY, Status.SUCCEEDED]


def test_a_call_that_gets_no_turn_in_time_is_retried() -> None:
    """A part of a dataset may hold all the calls that the function may make at once."""
    world = World(with_settings(concurrent_calls=1))
    world.endpoint.answer = Concurrent(b"x")

    async def outcomes() -> list[Outcome]:
        dispatcher = Dispatcher(world.core, concurrency=2, needed_ms=NEEDED_MS)
        messages = [delivery({"Body": "x"}, message_id=f"{number}") for number in range(2)]
        ends_at = now() + 0.5 + NEEDED_MS / 1000
        return [one async for ended in dispatcher.run(messages, lambda: (ends_at - now()) * 1000) for one in ended]

    assert sorted(one.status for one in run(outcomes())) == [Status.RETRY, Status.SUCCEEDED]
    assert len(world.endpoint.calls) == 1
