"""Loading ahead: in order, a few at once, and nothing left behind by an error or an early end."""

from collections.abc import Callable
from contextlib import aclosing

import pytest

from sluice.concurrency import current, sleep, timeout
from sluice.processing.prefetch import prefetch
from tests.support.virtual_time import run

KEYS = [str(number) for number in range(20)]


class Loader:
    def __init__(self, seconds: Callable[[int], float], broken: int | None = None) -> None:
        self.seconds = seconds
        self.broken = broken
        self.under_way = self.most = 0

    async def __call__(self, key: str) -> int:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await sleep(self.seconds(int(key)))
        finally:
            self.under_way -= 1
        if int(key) == self.broken:
            raise ValueError(key)
        return int(key)


@pytest.mark.parametrize("seconds", [lambda n: 1, lambda n: 20 - n, lambda n: n], ids=["alike", "falling", "rising"])
def test_results_come_in_order_and_at_most_eight_are_loaded_at_once(seconds: Callable[[int], float]) -> None:
    loader = Loader(seconds)

    async def main() -> list[int]:
        return [one async for one in prefetch(loader, KEYS)]

    assert run(main()) == list(range(20))
    assert loader.most == 8


@pytest.mark.parametrize("broken", [0, 1, 7, 8, 19])
def test_an_error_comes_in_its_turn_and_interrupts_nothing_before(broken: int) -> None:
    loader, consumed = Loader(lambda n: 0.1, broken), []

    async def main() -> None:
        async with aclosing(prefetch(loader, KEYS)) as results:
            async for one in results:
                await sleep(5)  # an upload: the error of a later key must not end it
                consumed.append(one)

    with pytest.raises(ValueError, match=f"^{broken}$") as raised:
        run(main())
    assert not hasattr(raised.value, "__notes__")
    assert consumed == list(range(broken))
    assert loader.under_way == 0


def test_nothing_is_under_way_after_an_early_end() -> None:
    loader = Loader(lambda n: n, broken=3)

    async def main() -> int:
        async with aclosing(prefetch(loader, KEYS)) as results:
            async for _ in results:
                break
        assert loader.under_way == 0
        return len(current()._tasks)

    assert run(main()) == 1, "only the main task is left"


def test_a_deadline_of_the_consumer_ends_what_is_loaded() -> None:
    loader = Loader(lambda n: 10)

    async def consume() -> None:
        with timeout(1):
            async with aclosing(prefetch(loader, KEYS)) as results:
                async for _ in results:
                    pass

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await consume()
        assert loader.under_way == 0

    run(main())
