"""What is sent at once follows from what calls took and what they answered; exceptions are forgotten."""

import pytest

from sluice.concurrency import sleep, spawn
from sluice.processing.memory import Memory
from sluice.transform.cost import CallCosts
from sluice.transform.division import cuts
from sluice.transform.memory import ENOUGH_ANSWERED, AnswerMemory
from tests.support.virtual_time import run

KB = 1024


def learned(*calls: tuple[int, int, float]) -> CallCosts:
    costs = CallCosts()
    for call in calls:
        costs.learn("e", *call)
    return costs


def test_before_anything_is_known_little_is_sent() -> None:
    costs = learned((50, 5, 0.01))
    assert not costs.is_known("e")
    assert not costs.is_known("another")
    assert costs.sendable("another") == 4 * KB
    assert costs.expected("another", 1000) == 2 * ENOUGH_ANSWERED


def test_a_tiny_record_with_a_large_answer_is_an_exception() -> None:
    usual = [(100 * KB, 10 * KB, 0.1)] * 10
    before, after = learned(*usual), learned(*usual, (10, 100 * KB, 0.1))
    assert after.sendable("e") > before.sendable("e") / 3
    assert learned(*usual, (10, 100 * KB, 0.1), *usual).sendable("e") > before.sendable("e") / 2
    first = learned((10, 100 * KB, 0.1), *usual)
    assert first.sendable("e") > before.sendable("e") / 2


def test_large_answers_make_small_calls() -> None:
    costs = learned(*[(4 * KB, 120 * KB, 0.1)] * 3)
    assert costs.sendable("e") * 30 <= ENOUGH_ANSWERED // 2
    assert costs.answer_bytes("e", KB) == pytest.approx(30 * KB, abs=1)
    assert costs.expected("e", 1 << 30) == 2 * ENOUGH_ANSWERED


def test_a_call_for_slow_records_takes_about_a_second() -> None:
    costs = learned(*[(size, size, size / KB * 0.5) for size in (100, 100, 300, 4 * KB)])
    assert 1 * KB < costs.sendable("e") < 3 * KB
    assert costs.is_known("e")


def test_what_a_call_takes_in_any_case_is_worth_many_records() -> None:
    costs = learned(*[(size, size, 5 + size / KB * 0.01) for size in (100, 4 * KB, 16 * KB, 64 * KB)])
    assert costs.sendable("e") > 200 * KB
    assert costs.seconds("e", 2, 100 * KB) == pytest.approx(2 * 5 + 1, rel=0.05)


def test_a_fast_model_gets_large_calls_soon() -> None:
    assert learned((4 * KB, 4 * KB, 0.01)).sendable("e") >= 256 * KB


def test_a_call_that_timed_out_makes_the_next_ones_smaller() -> None:
    costs = learned((64 * KB, 64 * KB, 0.5))
    before = costs.sendable("e")
    costs.timed_out("e", 128 * KB)
    assert costs.sendable("e") <= 64 * KB < before


@pytest.mark.parametrize(
    ("costs", "pieces", "found"),
    [
        ([1] * 10, 1, []),
        ([1] * 10, 2, [5]),
        ([1] * 10, 5, [2, 4, 6, 8]),
        ([0, 1, 0, 0, 1, 0], 2, [4]),
        ([1, 1], 5, [1]),
        ([9, 1, 1, 1], 2, [1]),
        ([], 3, []),
        ([0, 0], 3, []),
    ],
)
def test_pieces_cost_the_same(costs: list[int], pieces: int, found: list[int]) -> None:
    assert cuts(costs, pieces) == found


def test_answers_larger_than_expected_take_more_memory_before_they_are_read() -> None:
    async def main() -> None:
        memory = Memory(256)
        async with memory.reserve(lambda: 0) as reservation:
            await reservation.resize(1000 + 3 * 100)
            answers = AnswerMemory(reservation, 100)
            await answers.admit(60)
            assert reservation.size == 1300
            await answers.admit(60)
            assert reservation.size == 1000 + 3 * 120
            answers.withdraw(60)
            await answers.admit(60)
            assert reservation.size == 1000 + 3 * 120
        assert memory.fits(256 - 144 << 20)

    run(main())


def test_answers_that_exceed_all_memory_wait_for_one_another_and_end_the_part() -> None:
    async def main() -> None:
        memory = Memory(256)
        free = 256 - 144 << 20
        async with memory.reserve(lambda: 0) as first, memory.reserve(lambda: 0) as second:
            await first.resize(free // 2)
            await second.resize(free // 2)
            over, waiting = AnswerMemory(first, 0), AnswerMemory(second, 0)
            both = [spawn(over.admit(free)), spawn(over.admit(free))]
            for one in both:
                await one
            assert over.is_over
            third = spawn(waiting.admit(free))
            await sleep(1)
            assert not third.done
            first.shrink(0)
            await third
            assert second.is_over
        assert memory.fits(free)

    run(main())
