"""Event, Semaphore and Queue: fair, and nothing is lost when a wait ends otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.concurrency import Event, Queue, Semaphore, now, sleep, spawn, timeout
from tests.support.groups import gather
from tests.support.virtual_time import run


def test_an_event_wakes_all_who_wait_and_lets_later_ones_pass() -> None:
    async def main() -> list[float]:
        event = Event()

        async def waits() -> float:
            await event.wait()
            return now()

        tasks = [spawn(waits()), spawn(waits())]
        await sleep(1)
        happened = [event.is_set]
        event.set()
        event.set()
        assert [*happened, event.is_set] == [False, True]
        return [await tasks[0], await tasks[1], await waits()]

    assert run(main()) == [1, 1, 1]


@pytest.mark.parametrize("permits", [1, 3])
def test_a_semaphore_lets_in_so_many_at_once_in_their_order(permits: int) -> None:
    inside: list[int] = []
    most = 0
    order: list[int] = []

    async def work(semaphore: Semaphore, number: int) -> None:
        nonlocal most
        async with semaphore:
            order.append(number)
            inside.append(number)
            most = max(most, len(inside))
            await sleep(1)
            inside.remove(number)

    async def main() -> None:
        semaphore = Semaphore(permits)
        await gather(*[work(semaphore, number) for number in range(7)])
        assert semaphore.free == permits

    run(main())
    assert most == permits
    assert order == list(range(7))


def test_who_comes_later_does_not_overtake_a_task_that_was_given_the_permit() -> None:
    order: list[str] = []
    semaphore = Semaphore(1)

    async def waits() -> None:
        async with semaphore:
            order.append("waits")

    async def main() -> None:
        await semaphore.acquire()
        task = spawn(waits())
        await sleep(0)
        semaphore.release()
        async with semaphore:  # without a step of the other in between
            order.append("main")
        await task

    run(main())
    assert order == ["waits", "main"]


def test_many_permits_are_not_overtaken_by_few() -> None:
    order: list[str] = []
    semaphore = Semaphore(2)

    async def takes(permits: int) -> None:
        await semaphore.acquire(permits)
        order.append(f"{permits} at {now():g}")
        await sleep(1)
        semaphore.release(permits)

    async def main() -> None:
        await gather(takes(1), takes(2), takes(1))
        assert semaphore.free == 2

    run(main())
    assert order == ["1 at 0", "2 at 1", "1 at 2"]


def test_when_who_waits_for_many_gives_up_those_behind_go_on() -> None:
    semaphore = Semaphore(2)

    async def main() -> None:
        await semaphore.acquire()

        async def gives_up() -> None:
            with pytest.raises(TimeoutError), timeout(1):
                await semaphore.acquire(2)

        async def is_behind() -> float:
            async with semaphore:
                return now()

        tasks = spawn(gives_up()), spawn(is_behind())
        await sleep(0)
        assert semaphore.waiting == 2
        await tasks[0]
        assert await tasks[1] == 1
        assert semaphore.waiting == 0
        assert semaphore.free == 1

    run(main())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3)), max_size=8),
    st.integers(3, 5),
)
def test_no_permit_is_lost_or_made(work: list[tuple[int, int, int, int]], permits: int) -> None:
    semaphore = Semaphore(permits)
    held = 0

    async def takes(at: int, wanted: int, patience: int, seconds: int) -> None:
        nonlocal held
        await sleep(at)
        try:
            with timeout(patience):
                await semaphore.acquire(wanted)
        except TimeoutError:
            return
        held += wanted
        assert held <= permits
        await sleep(seconds)
        held -= wanted
        semaphore.release(wanted)

    async def main() -> None:
        await gather(*[takes(*one) for one in work])

    run(main())
    assert (held, semaphore.free, semaphore.waiting) == (0, permits, 0)


def test_a_queue_gives_each_item_once_in_order() -> None:
    async def main() -> list[tuple[str, int]]:
        queue: Queue[int] = Queue()
        found: list[tuple[str, int]] = []

        async def takes(name: str) -> None:
            for _ in range(2):
                found.append((name, await queue.get()))  # noqa: PERF401

        tasks = [spawn(takes("a")), spawn(takes("b"))]
        await sleep(0)
        for number in range(5):
            queue.put(number)
        for task in tasks:
            await task
        assert len(queue) == 1
        return found

    assert run(main()) == [("a", 0), ("a", 2), ("b", 1), ("b", 3)]


def test_an_item_is_not_lost_with_who_no_longer_waits_for_it() -> None:
    async def main() -> str:
        queue: Queue[str] = Queue()
        with pytest.raises(TimeoutError), timeout(1):
            await queue.get()
        queue.put("item")
        return await queue.get()

    assert run(main()) == "item"
