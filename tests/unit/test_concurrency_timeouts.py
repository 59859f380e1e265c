"""Deadlines: how they nest, and what they do beside cancellation."""

import pytest

from sluice.concurrency import Cancelled, Event, Future, Queue, current, deadline, now, sleep, spawn, timeout
from tests.support.groups import gather
from tests.support.virtual_time import VirtualTime, run


def test_a_wait_that_takes_too_long_raises_timeout_error() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError, match=r"at 2\.000 s"), timeout(2) as scope:
            await sleep(3)
        assert scope.expired
        assert now() == 2
        with timeout(2) as scope:
            await sleep(1)
        assert not scope.expired
        await sleep(5)  # nothing is left of either

    run(main())


def test_a_deadline_is_a_time_of_the_clock() -> None:
    async def main() -> None:
        await sleep(5)
        with pytest.raises(TimeoutError), deadline(7):
            await sleep(3)
        assert now() == 7

    run(main())


def test_a_deadline_that_has_passed_ends_the_first_wait() -> None:
    async def main() -> list[str]:
        await sleep(5)
        seen = []

        async def waits() -> None:
            with deadline(1):
                seen.append("begins")
                await Future[None]()

        with pytest.raises(TimeoutError):
            await waits()
        with deadline(1):
            seen.append("does not wait")
        await sleep(1)
        return seen

    assert run(main()) == ["begins", "does not wait"]


@pytest.mark.parametrize(("outer", "inner"), [(1, 2), (2, 1), (1, 1)])
def test_the_earliest_of_several_deadlines_holds(outer: float, inner: float) -> None:
    async def main() -> list[str]:
        caught = []
        try:
            with timeout(outer):
                try:
                    with timeout(inner):
                        await sleep(9)
                except TimeoutError:
                    caught.append("inner")
                    await sleep(9)
        except TimeoutError:
            caught.append("outer")
        assert now() == outer if caught == ["outer"] else 2
        return caught

    assert run(main()) == (["inner", "outer"] if inner < outer else ["outer"])


def test_of_two_deadlines_that_pass_in_one_wait_the_outer_is_not_lost() -> None:
    virtual = VirtualTime()

    async def main() -> list[str]:
        caught = []
        try:
            with timeout(2):
                try:
                    with timeout(1):
                        virtual.time += 10  # as if something had kept the thread
                        await Future[None]()
                except TimeoutError:
                    caught.append("inner")
                await Future[None]()
        except TimeoutError:
            caught.append("outer")
        return caught

    assert virtual.run(main())[-1] == "outer"


def test_what_has_come_by_the_deadline_counts() -> None:
    async def main() -> str:
        queue: Queue[str] = Queue()
        current().timers.add(1, lambda: queue.put("in time"))
        with timeout(1) as scope:
            item = await queue.get()
            assert scope.expired
        await sleep(0)  # and nothing is raised later
        return item

    assert run(main()) == "in time"


def test_a_cancelled_task_is_not_one_that_was_too_slow() -> None:
    async def work() -> None:
        with timeout(5):
            await sleep(9)

    async def main() -> None:
        task = spawn(work())
        await sleep(1)
        task.cancel()
        with pytest.raises(Cancelled):
            await task

    run(main())


@pytest.mark.parametrize("first", ["the deadline", "the cancellation"])
def test_a_cancellation_at_the_time_of_the_deadline_wins(first: str) -> None:
    async def work() -> None:
        with timeout(5):
            await Event().wait()

    async def main() -> None:
        task = spawn(work())
        if first == "the deadline":
            await sleep(0)
        current().timers.add(5, task.cancel)
        await sleep(6)
        assert isinstance(task.error, Cancelled)

    run(main())


def test_a_deadline_holds_for_what_is_gathered_within() -> None:
    cancelled: list[str] = []

    async def work(name: str) -> None:
        try:
            await sleep(9)
        except Cancelled:
            cancelled.append(name)
            raise

    async def main() -> None:
        with pytest.raises(TimeoutError), timeout(1):
            await gather(work("a"), work("b"))

    run(main())
    assert cancelled == ["a", "b"]


def test_an_error_within_a_deadline_is_raised_as_it_is() -> None:
    async def main() -> None:
        with timeout(1):
            raise KeyError

    with pytest.raises(KeyError):
        run(main())
