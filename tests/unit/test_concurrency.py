"""The scheduler: order, cancellation, errors, and that a run leaves nothing behind."""

import ast
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sluice.concurrency
from sluice.concurrency import (
    Cancelled,
    Deadlock,
    Event,
    Future,
    Queue,
    Semaphore,
    Task,
    current,
    now,
    sleep,
    spawn,
    timeout,
)
from tests.support.groups import gather
from tests.support.virtual_time import VirtualTime, assert_nothing_is_left, run


def test_the_result_of_main_is_the_runs() -> None:
    async def main() -> str:
        return "done"

    assert run(main()) == "done"


def test_tasks_run_in_the_order_in_which_they_became_ready() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        order.append(f"{name} begins")
        await sleep(0)
        order.append(f"{name} ends")

    async def main() -> None:
        await gather(work("a"), work("b"))

    run(main())
    assert order == ["a begins", "b begins", "a ends", "b ends"]


def test_timers_end_by_time_and_then_by_the_order_in_which_they_were_set() -> None:
    order: list[str] = []

    async def work(name: str, seconds: float) -> None:
        await sleep(seconds)
        order.append(f"{name} at {now():g}")

    async def main() -> None:
        await gather(work("c", 2), work("a", 1), work("d", 2), work("b", 1))

    run(main())
    assert order == ["a at 1", "b at 1", "c at 2", "d at 2"]


def test_the_scheduler_waits_until_the_next_timer_that_was_not_cancelled() -> None:
    async def main() -> None:
        with timeout(1):
            pass
        await sleep(5)

    virtual = VirtualTime()
    virtual.run(main())
    assert virtual.waits == [5]


def test_many_cancelled_timers_do_not_stay() -> None:
    async def main() -> int:
        for _ in range(1000):
            with timeout(70):
                pass
        timers = current().timers
        assert len(timers) == 0
        return len(timers._heap)

    assert run(main()) < 200


def test_sleep_0_lets_io_and_timers_go_first() -> None:
    seen: list[str] = []
    virtual = VirtualTime()

    async def other() -> None:
        await sleep(0)
        seen.append("other")

    async def main() -> None:
        spawn(other())
        for _ in range(3):
            await sleep(0)
        seen.append("main")

    virtual.run(main())
    assert seen == ["other", "main"]
    assert virtual.waits == [0, 0, 0], "each polls for I/O"


@given(delays=st.lists(st.sampled_from([0, 0, 1, 2, 3]), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_a_schedule_is_the_same_each_time(delays: list[int], seed: int) -> None:
    def trace() -> list[Any]:
        found: list[Any] = []
        chance = random.Random(seed)

        def choose(ready: Sequence[Task[Any]]) -> int:
            index = chance.randrange(len(ready))
            found.append((index, [task.name for task in ready]))
            return index

        lock = Semaphore(1)

        async def work(number: int, delay: int) -> None:
            await sleep(delay)
            async with lock:
                await sleep(delay)
            found.append(number)

        async def main() -> None:
            await gather(*[work(number, delay) for number, delay in enumerate(delays)])

        virtual = VirtualTime(choose)
        virtual.run(main())
        assert_nothing_is_left(virtual.scheduler)
        return found

    assert trace() == trace()


def test_choose_decides_which_ready_task_takes_the_next_step() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        order.append(name)

    async def main() -> None:
        await gather(work("a"), work("b"), work("c"))

    VirtualTime(lambda ready: len(ready) - 1).run(main())
    assert order == ["c", "b", "a"]


def test_what_is_for_idle_time_is_called_when_no_task_and_no_timer_is_left_to_run() -> None:
    order: list[str] = []

    async def link(number: int) -> None:
        order.append(f"task {number}")
        if number < 3:
            spawn(link(number + 1))

    def call(name: str) -> None:
        order.append(name)
        spawn(link(3))

    async def main() -> None:
        for name in ("first", "second"):
            current().idle.append(partial(call, name))
        spawn(link(0))
        await sleep(0)
        order.append("slept")
        await sleep(1)
        order.append(f"at {now():g}")

    run(main())
    assert order == ["task 0", "task 1", "task 2", "task 3", "slept", "first", "task 3", "second", "task 3", "at 1"]


def test_what_is_for_idle_time_is_forgotten_at_the_end_of_a_run() -> None:
    async def main() -> None:
        current().idle.append(lambda: pytest.fail("the run has ended"))

    virtual = VirtualTime()
    virtual.run(main())

    async def idle() -> None:
        await sleep(1)

    virtual.run(idle())


def test_a_task_is_a_future_of_its_result() -> None:
    async def work() -> int:
        await sleep(1)
        return 7

    async def main() -> tuple[int, int, int]:
        task = spawn(work(), "worker")
        assert not task.done
        assert repr(task) == "<Task worker>"
        with pytest.raises(RuntimeError, match="no result yet"):
            task.result()
        return await task, await task, task.result()

    assert run(main()) == (7, 7, 7)


def test_a_future_is_settled_once_and_calls_back_once() -> None:
    future: Future[int] = Future()
    calls: list[str] = []
    dropped = lambda _: calls.append("dropped")  # noqa: E731 - it is removed again by its identity
    future.add_done_callback(lambda _: calls.append("first"))
    future.add_done_callback(dropped)
    future.remove_done_callback(dropped)
    future.set_result(1)
    future.add_done_callback(lambda _: calls.append("late"))
    assert calls == ["first", "late"]
    assert future.error is None
    with pytest.raises(RuntimeError, match="done already"):
        future.set_error(ValueError())


# Cancellation.


def test_a_cancelled_task_raises_where_it_waits_and_cleans_up() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await sleep(9)
        finally:
            await sleep(1)  # a wait in the clean-up is an ordinary one
            seen.append(f"cleaned up at {now():g}")

    async def main() -> None:
        task = spawn(work())
        await sleep(1)
        task.cancel()
        with pytest.raises(Cancelled):
            await task
        task.cancel()  # has no effect any more

    run(main())
    assert seen == ["cleaned up at 2"]


def test_a_task_that_has_not_begun_never_begins() -> None:
    began: list[int] = []

    async def work() -> None:
        began.append(1)

    async def main() -> None:
        spawn(work()).cancel()
        await sleep(0)

    run(main())
    assert not began


def test_what_a_task_was_given_is_not_lost_when_it_is_cancelled_then() -> None:
    lock = Semaphore(0)

    async def work() -> None:
        async with lock:
            await sleep(9)

    async def main() -> None:
        task = spawn(work())
        await sleep(0)
        lock.release()  # the permit is the task's from here on
        task.cancel()
        await sleep(0)
        assert task.done
        assert lock.free == 1, "and was given back"
        assert now() == 0

    run(main())


def test_a_task_that_never_waits_again_ends_as_if_not_cancelled() -> None:
    event = Event()

    async def work() -> str:
        await event.wait()
        return "done"

    async def main() -> str:
        task = spawn(work())
        await sleep(0)
        event.set()
        task.cancel()
        return await task

    assert run(main()) == "done"


def test_who_waits_for_a_task_can_be_cancelled_without_it() -> None:
    async def work() -> str:
        await sleep(2)
        return "done"

    async def main() -> str:
        task = spawn(work())
        with pytest.raises(TimeoutError), timeout(1):
            await task
        return await task

    assert run(main()) == "done"


def test_to_wait_for_a_task_that_was_cancelled_is_an_error_of_who_waits() -> None:
    async def forever() -> None:
        await Future[None]()

    async def waits(task: Task[None]) -> None:
        await task

    async def main() -> None:
        task = spawn(forever())
        spawn(waits(task))
        await sleep(1)
        task.cancel()
        await sleep(1)

    with pytest.raises(Cancelled):
        run(main())


# Errors.


def test_an_error_of_main_is_the_runs() -> None:
    async def main() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        run(main())


@pytest.mark.parametrize("seconds", [0, 9], ids=["which ends first", "which is left"])
def test_an_error_that_nothing_asks_for_is_the_runs(seconds: float) -> None:
    async def fails() -> None:
        try:
            await sleep(seconds)
        finally:
            raise ValueError("unseen")

    async def main() -> None:
        spawn(fails())
        await sleep(1)

    with pytest.raises(ValueError, match="unseen"):
        run(main())


def test_an_error_that_was_asked_for_too_early_does_not_vanish() -> None:
    async def fails() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        task = spawn(fails())
        assert task.error is None
        with pytest.raises(RuntimeError):
            task.result()
        await sleep(1)

    with pytest.raises(ValueError, match="unseen"):
        run(main())


def test_an_error_that_was_caught_is_not_raised_again() -> None:
    async def fails() -> None:
        raise ValueError("x")

    async def main() -> None:
        with pytest.raises(ValueError, match="x"):
            await spawn(fails())

    run(main())


def test_several_errors_are_raised_together() -> None:
    async def fails(error: Exception) -> None:
        raise error

    async def main() -> None:
        spawn(fails(ValueError()))
        await sleep(1)
        raise KeyError

    with pytest.raises(BaseExceptionGroup) as raised:
        run(main())
    assert [type(error) for error in raised.value.exceptions] == [ValueError, KeyError]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_process_ends_the_run_at_once(error: type[BaseException]) -> None:
    cleaned: list[float] = []

    async def other() -> None:
        try:
            await sleep(9)
        finally:
            cleaned.append(now())

    async def raises() -> None:
        await sleep(1)
        raise error

    async def main() -> None:
        spawn(other())
        spawn(raises())
        await sleep(2)

    with pytest.raises(error):
        run(main())
    assert cleaned == [1]


def test_a_foreign_awaitable_is_refused_where_it_is_awaited() -> None:
    class Foreign:
        def __await__(self) -> Any:
            yield "something"

    async def main() -> None:
        with pytest.raises(TypeError, match="'something', which is not of this scheduler"):
            await Foreign()

    run(main())


def test_a_wait_that_nothing_can_end_is_a_deadlock() -> None:
    async def main() -> None:
        await Future[None]()

    with pytest.raises(Deadlock):
        run(main())


# What a run leaves.


def test_a_run_leaves_nothing_and_the_next_begins_anew() -> None:
    virtual = VirtualTime()
    seen: list[str] = []

    async def left(name: str) -> None:
        try:
            await sleep(3600)
            seen.append("a timer of a former run")
        finally:
            seen.append(f"{name} is cancelled")

    async def main(name: str) -> str:
        spawn(left(name))
        spawn(Semaphore(0).acquire())
        spawn(Queue[int]().get())
        with timeout(9000):
            await sleep(0)
        spawn(left("not begun"))
        return name

    for name in ("first", "second"):
        assert virtual.run(main(name)) == name
        assert_nothing_is_left(virtual.scheduler)
        virtual.time += 100_000  # frozen
    assert seen == ["first is cancelled", "second is cancelled"]


def test_the_clean_up_of_what_is_left_is_not_waited_for() -> None:
    seen: list[str] = []

    async def left() -> None:
        try:
            await sleep(9)
        finally:
            seen.append("cleaned up")
            await sleep(9)
            seen.append("waited")

    async def main() -> None:
        spawn(left())
        await sleep(1)

    virtual = VirtualTime()
    virtual.run(main())
    assert seen == ["cleaned up"]
    assert virtual.time == 1


def test_what_is_left_and_spawns_in_its_clean_up_is_cancelled_with_it() -> None:
    seen: list[str] = []

    async def more() -> None:
        seen.append("more")
        await sleep(9)
        seen.append("waited")

    async def left() -> None:
        try:
            await sleep(9)
        finally:
            spawn(more())

    async def main() -> None:
        spawn(left())
        await sleep(1)

    run(main())
    assert seen == ["more"]


def test_what_cannot_be_cancelled_is_an_error() -> None:
    async def stubborn() -> None:
        while True:
            with contextlib.suppress(Cancelled):
                await sleep(1)

    async def main() -> None:
        spawn(stubborn(), "stubborn")
        await sleep(1)

    virtual = VirtualTime()
    with pytest.raises(RuntimeError, match="<Task stubborn>"):
        virtual.run(main())
    assert_nothing_is_left(virtual.scheduler)


def test_an_asynchronous_generator_that_is_dropped_cleans_up() -> None:
    seen: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(9):
                await sleep(1)
                yield number
        finally:
            await sleep(1)
            seen.append("closed")

    async def main() -> None:
        async for number in numbers():
            if number == 2:
                break
        await sleep(2)

    hooks = sys.get_asyncgen_hooks()
    run(main())
    assert seen == ["closed"]
    assert sys.get_asyncgen_hooks() == hooks


def test_one_scheduler_runs_at_a_time() -> None:
    async def inner() -> None:
        raise AssertionError("it never begins")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="running already"):
            VirtualTime().run(inner())

    run(main())


@pytest.mark.parametrize("call", [current, now])
def test_outside_of_a_run_there_is_no_scheduler(call: Any) -> None:
    with pytest.raises(RuntimeError, match="no scheduler is running"):
        call()


def test_the_package_needs_nothing_that_does_io_or_knows_the_time() -> None:
    allowed = {"collections", "heapq", "sluice", "sys", "types", "typing"}
    for path in Path(sluice.concurrency.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom):
                name = node.module or ""
                assert name.split(".")[0] in allowed, path
                assert not name.startswith("sluice") or name.startswith("sluice.concurrency"), path
