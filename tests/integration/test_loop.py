"""The loop: sockets, threads, and nothing left of either between two runs."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sluice.aws.loop import READ, WRITE, Loop
from sluice.concurrency import Cancelled, Deadlock, Future, now, sleep, spawn, timeout
from tests.support.groups import gather


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(threads=2)
    yield loop
    assert_nothing_is_left(loop)
    loop.close()


def assert_nothing_is_left(loop: Loop) -> None:
    assert not loop.selector.get_map()
    assert not loop.waits
    assert not loop._watches
    assert not loop._threads.under_way
    assert not loop.scheduler._tasks
    assert not loop.scheduler._ready
    assert not len(loop.scheduler.timers)


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        yield here, there


def test_a_socket_is_waited_for_until_it_can_be_read(loop: Loop, pair: Pair) -> None:
    here, there = pair

    async def writes() -> None:
        for _ in range(3):
            await sleep(0.01)
            there.send(b"x")

    async def main() -> bytes:
        task = spawn(writes())
        watch = loop.watch(here)
        read = b""
        for _ in range(3):
            assert await watch.wait(READ) == READ
            read += here.recv(9)
        await task
        return read

    assert loop.run(main()) == b"xxx"


def test_a_socket_is_waited_for_until_it_can_be_written(loop: Loop, pair: Pair) -> None:
    here, there = pair

    async def main() -> None:
        watch = loop.watch(here)
        assert await watch.wait(WRITE) == WRITE
        with contextlib.suppress(BlockingIOError):
            while here.send(b"x" * 65_536):
                pass
        with pytest.raises(TimeoutError), timeout(0.02):
            await watch.wait(WRITE)
        there.send(b"x")
        assert await watch.wait(READ | WRITE) == READ
        watch.close()
        watch.close()
        assert await watch.wait(READ) == READ, "it can be watched again"

    loop.run(main())


def test_a_closed_other_side_can_be_read(loop: Loop, pair: Pair) -> None:
    async def main() -> bytes:
        pair[1].close()
        await loop.watch(pair[0]).wait(READ)
        return pair[0].recv(1)

    assert loop.run(main()) == b""


def test_a_socket_that_is_ready_while_nothing_waits_for_it_does_not_keep_the_loop_awake(loop: Loop, pair: Pair) -> None:
    here, there = pair
    waits = 0
    select = loop.selector.select

    def counted(timeout: float | None = None) -> list[tuple[object, int]]:
        nonlocal waits
        waits += 1
        return select(timeout)  # type: ignore[return-value]

    loop.selector.select = counted  # type: ignore[method-assign, assignment]

    async def main() -> None:
        watch = loop.watch(here)
        with pytest.raises(TimeoutError), timeout(0.01):
            await watch.wait(READ)
        there.send(b"x")
        await sleep(0.05)
        await watch.wait(READ)
        assert here.recv(9) == b"x"

    loop.run(main())
    assert waits < 10


def test_timers_are_as_long_as_they_say(loop: Loop) -> None:
    async def main() -> float:
        began = now()
        await gather(sleep(0.05), sleep(0.02))
        return now() - began

    assert 0.05 <= loop.run(main()) < 1


def test_a_wait_that_nothing_can_end_is_a_deadlock(loop: Loop, pair: Pair) -> None:
    async def main() -> None:
        watch = loop.watch(pair[0])
        with pytest.raises(TimeoutError), timeout(0.01):
            await watch.wait(READ)  # it stays registered, but nothing waits for it
        await loop.in_thread(int)
        await Future[None]()

    with pytest.raises(Deadlock):
        loop.run(main())


# Threads.


def test_calls_run_in_threads_and_end_in_their_own_order(loop: Loop) -> None:
    order: list[str] = []

    def block(name: str, seconds: float) -> str:
        assert threading.current_thread() is not threading.main_thread()
        time.sleep(seconds)
        return name

    async def call(name: str, seconds: float) -> str:
        found = await loop.in_thread(block, name, seconds)
        order.append(found)
        return found

    async def main() -> list[str]:
        return await gather(call("slow", 0.2), call("quick", 0.0))

    assert loop.run(main()) == ["slow", "quick"]
    assert order == ["quick", "slow"]


def test_the_error_of_a_call_is_raised_where_it_is_awaited(loop: Loop) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            await loop.in_thread(int, "x")

    loop.run(main())


def test_a_future_of_a_call_can_be_awaited_by_many(loop: Loop) -> None:
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        return len(calls)

    async def main() -> list[int]:
        future = loop.submit(call)

        async def waits() -> int:
            return await future

        return await gather(waits(), waits())

    assert loop.run(main()) == [1, 1]
    assert calls == [1]


def test_a_call_whose_wait_is_cancelled_goes_on_and_is_dropped(loop: Loop) -> None:
    go_on = threading.Event()
    ended: list[str] = []

    def block() -> None:
        go_on.wait(10)
        ended.append("ended")

    async def main() -> None:
        with pytest.raises(TimeoutError), timeout(0.02):
            await loop.in_thread(block)
        go_on.set()
        assert await loop.in_thread(lambda: 5) == 5

    loop.run(main())
    wait_for(lambda: ended == ["ended"])


def test_a_call_that_has_not_begun_never_begins_when_its_wait_is_cancelled() -> None:
    loop = Loop(threads=1)
    go_on = threading.Event()
    began: list[int] = []

    async def main() -> None:
        first = spawn(loop.in_thread(go_on.wait, 10))
        second = spawn(loop.in_thread(began.append, 1))
        await sleep(0.01)
        second.cancel()
        with pytest.raises(Cancelled):
            await second
        go_on.set()
        await first
        await loop.in_thread(int)

    loop.run(main())
    assert not began
    assert_nothing_is_left(loop)
    loop.close()


def test_a_run_does_not_wait_for_calls_that_are_left_and_the_next_does_not_see_them(loop: Loop) -> None:
    go_on = threading.Event()
    left: list[Future[str]] = []

    def block() -> str:
        go_on.wait(10)
        return "of the first run"

    async def first() -> str:
        spawn(loop.in_thread(block))
        left.append(loop.submit(block))
        left.append(loop.submit(block))  # of which there are too few threads for it to begin
        await sleep(0.01)
        return "first"

    async def second() -> str:
        go_on.set()
        await sleep(0.05)
        return await loop.in_thread(lambda: "second")

    assert loop.run(first()) == "first"
    assert [type(future.error) for future in left] == [Cancelled, Cancelled]
    assert_nothing_is_left(loop)
    assert loop.run(second()) == "second"


def test_very_many_calls_at_once(loop: Loop) -> None:
    async def main() -> list[int]:
        return await gather(*[loop.in_thread(lambda number=number: number) for number in range(2000)])

    assert loop.run(main()) == list(range(2000))


def test_threads_that_end_after_the_loop_is_closed_do_no_harm(loop: Loop) -> None:
    other = Loop(threads=1)
    go_on = threading.Event()
    ended = threading.Event()

    def block() -> None:
        go_on.wait(10)
        ended.set()

    async def main() -> None:
        other.submit(block)
        await sleep(0.01)

    other.run(main())
    other.close()
    go_on.set()
    assert ended.wait(10)


def wait_for(condition: object) -> None:
    until = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.mark.parametrize("started", [0, 3])
def test_a_call_for_which_no_thread_could_be_started_is_not_made(monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    """The executor has queued it by then: another thread would make a call that was reported as failed."""
    start, count, made, failed = threading.Thread.start, itertools.count(), [], []

    def limited(thread: threading.Thread) -> None:
        if next(count) >= started:
            raise RuntimeError("can't start new thread")
        start(thread)

    def call(number: int) -> None:
        time.sleep(0.01)
        made.append(number)

    loop = Loop(threads=100)

    async def one(number: int) -> None:
        try:
            await loop.in_thread(call, number)
        except RuntimeError:
            failed.append(number)

    async def main() -> None:
        await gather(*[one(number) for number in range(10)])
        await sleep(0.1)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", limited)
        loop.run(main())
    assert sorted(made + failed) == list(range(10))
    assert len(made) == started

    async def later() -> str:
        return await loop.in_thread(lambda: "works")

    assert loop.run(later()) == "works"
    loop.close()
