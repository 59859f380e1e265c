"""gather and TaskGroup: no task outlives them, and no error vanishes in them."""

import pytest

from sluice.concurrency import Cancelled, Queue, Task, now, sleep, spawn, timeout
from tests.support.groups import TaskGroup, gather
from tests.support.virtual_time import run


async def after(seconds: float, result: str) -> str:
    await sleep(seconds)
    return result


async def fails(seconds: float, error: BaseException) -> str:
    await sleep(seconds)
    raise error


def test_results_come_in_the_order_of_the_coroutines() -> None:
    async def main() -> None:
        assert await gather(after(2, "a"), after(1, "b"), after(3, "c")) == ["a", "b", "c"]
        assert await gather() == []
        assert now() == 3

    run(main())


def test_the_first_error_cancels_the_rest_and_is_raised_after_they_ended() -> None:
    seen: list[str] = []

    async def cleans_up() -> str:
        try:
            return await after(9, "never")
        finally:
            await sleep(1)
            seen.append(f"cleaned up at {now():g}")

    async def main() -> None:
        with pytest.raises(ValueError, match="first"):
            await gather(cleans_up(), fails(1, ValueError("first")), fails(9, KeyError()))
        seen.append(f"raised at {now():g}")

    run(main())
    assert seen == ["cleaned up at 2", "raised at 2"]


def test_further_errors_are_notes_of_the_first() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="first") as raised:
            await gather(fails(1, ValueError("first")), fails(1, KeyError("second")))
        assert raised.value.__notes__ == ["then: KeyError('second')"]

    run(main())


def test_who_is_cancelled_cancels_what_it_gathers_and_waits_for_it() -> None:
    seen: list[str] = []

    async def cleans_up() -> None:
        try:
            await sleep(9)
        finally:
            await sleep(1)
            seen.append(f"cleaned up at {now():g}")

    async def main() -> None:
        task = spawn(gather(cleans_up(), cleans_up()))
        await sleep(1)
        task.cancel()
        with pytest.raises(Cancelled):
            await task

    run(main())
    assert seen == ["cleaned up at 2"] * 2


def test_a_groups_tasks_have_ended_when_its_block_has() -> None:
    async def main() -> list[str]:
        async with TaskGroup() as group:
            tasks = [group.spawn(after(seconds, str(seconds))) for seconds in (2, 1)]
        assert all(task.done for task in tasks)
        return [task.result() for task in tasks]

    assert run(main()) == ["2", "1"]


def test_tasks_as_they_end() -> None:
    async def main() -> list[str]:
        ended: Queue[Task[str]] = Queue()
        async with TaskGroup() as group:
            for seconds in (3, 1, 2):
                group.spawn(after(seconds, str(seconds))).add_done_callback(ended.put)
            return [(await ended.get()).result() for _ in range(3)]

    assert run(main()) == ["1", "2", "3"]


def test_an_error_of_a_task_ends_the_wait_of_the_block() -> None:
    async def main() -> None:
        async def block() -> None:
            async with TaskGroup() as group:
                group.spawn(fails(1, ValueError("task")))
                await sleep(9)

        with pytest.raises(ValueError, match="task"):
            await block()
        assert now() == 1
        await sleep(9)

    run(main())


def test_an_error_of_the_block_cancels_the_tasks() -> None:
    async def main() -> None:
        tasks: list[Task[str]] = []

        async def block() -> None:
            async with TaskGroup() as group:
                tasks.append(group.spawn(after(9, "never")))
                await sleep(1)
                raise ValueError("block")

        with pytest.raises(ValueError, match="block"):
            await block()
        assert isinstance(tasks[0].error, Cancelled)
        assert now() == 1

    run(main())


def test_an_error_in_the_moment_in_which_the_block_ends() -> None:
    async def main() -> None:
        async def block() -> None:
            async with TaskGroup() as group:
                group.spawn(fails(1, ValueError("task")))
                group.spawn(after(9, "never"))

        with pytest.raises(ValueError, match="task"):
            await block()
        assert now() == 1

    run(main())


def test_what_is_spawned_in_a_group_that_failed_never_begins() -> None:
    began: list[int] = []

    async def work() -> None:
        began.append(1)

    async def main() -> None:
        async def block() -> None:
            async with TaskGroup() as group:
                group.spawn(fails(1, ValueError("task")))
                try:
                    await sleep(9)
                finally:
                    group.spawn(work())

        with pytest.raises(ValueError, match="task"):
            await block()

    run(main())
    assert not began


def test_a_task_of_a_group_can_be_cancelled_alone() -> None:
    async def main() -> str:
        async with TaskGroup() as group:
            one, other = group.spawn(after(1, "one")), group.spawn(after(1, "other"))
            one.cancel()
        assert isinstance(one.error, Cancelled)
        return other.result()

    assert run(main()) == "other"


def test_a_deadline_that_passes_while_a_failed_group_cleans_up_is_not_lost() -> None:
    async def cleans_up() -> str:
        try:
            return await after(9, "never")
        finally:
            await sleep(9)

    async def main() -> None:
        with pytest.raises(TimeoutError) as raised, timeout(2):
            await gather(cleans_up(), fails(1, ValueError("task")))
        assert raised.value.__cause__ is not None
        assert raised.value.__cause__.__notes__ == ["after: ValueError('task')"]
        assert now() == 10

    run(main())
