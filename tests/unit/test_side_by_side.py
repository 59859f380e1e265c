"""Calls of a part side by side: how many, what is called again, and when the endpoint is left alone."""

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from sluice.concurrency import now, sleep
from sluice.failures import Operation, ServiceError
from sluice.processing.concurrency_limit import ConcurrencyLimit
from sluice.transform.bisect import BudgetReached, Calls
from sluice.transform.side_by_side import SideBySide
from tests.support.virtual_time import VirtualTime, run

THROTTLED = ServiceError(Operation.INVOKE, "ThrottlingException", "slow down", status=400)
REFUSED = ServiceError(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)


class Endpoint:
    """Takes a second for each call; `fails` says which error a call has, by its number from 1 and its records."""

    def __init__(self, fails: Callable[[int, Sequence[int]], Exception | None] = lambda number, indices: None) -> None:
        self.fails = fails
        self.made: list[list[int]] = []
        self.times: list[float] = []
        self.under_way = 0
        self.most = 0

    async def call(self, indices: Sequence[int]) -> list[bytes]:
        self.made.append(list(indices))
        self.times.append(now())
        error = self.fails(len(self.made), indices)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await sleep(0.01 if error is THROTTLED else 1)
        self.under_way -= 1
        if error is not None:
            raise error
        return [b"%d" % index for index in indices]


def calls_of(
    call: Callable[[Sequence[int]], Awaitable[Sequence[bytes]]], at_once: int, enough_bytes: int = 1 << 30
) -> Calls:
    limit = ConcurrencyLimit(at_once)
    return Calls(call, SideBySide(lambda: at_once, limit, random.Random(1)), enough_bytes)


def singles(count: int) -> Iterator[list[int]]:
    return ([index] for index in range(count))


@pytest.mark.parametrize("at_once", [1, 7, 10])
def test_calls_run_side_by_side_up_to_the_bound(at_once: int) -> None:
    endpoint = Endpoint()
    calls = calls_of(endpoint.call, at_once)
    virtual = VirtualTime()
    virtual.run(calls.run(singles(70)))
    assert endpoint.most == at_once
    assert virtual.time == pytest.approx(70 / at_once)
    assert calls.answers == {index: b"%d" % index for index in range(70)}


def test_groups_are_formed_when_there_is_room_for_them() -> None:
    """Their size depends on the answers before them."""
    formed: list[float] = []

    def groups() -> Iterator[list[int]]:
        for index in range(4):
            formed.append(now())
            yield [index]

    run(calls_of(Endpoint().call, 2).run(groups()))
    assert formed == [0, 0, 1, 1]


def test_a_throttled_call_is_made_again_while_others_go_on() -> None:
    endpoint = Endpoint(lambda number, indices: THROTTLED if number == 3 else None)
    calls = calls_of(endpoint.call, 5)
    virtual = VirtualTime()
    virtual.run(calls.run(singles(5)))
    assert len(calls.answers) == 5
    assert endpoint.made.count([2]) == 2
    assert 0.1 <= endpoint.times[-1] <= 0.25, "after a pause"
    assert virtual.time < 1.3, "no other call waited for it"


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_calls_that_are_throttled_now_and_then_leave_the_concurrency_as_it_is(share: float) -> None:
    dice = random.Random(5)
    endpoint = Endpoint(lambda number, indices: THROTTLED if dice.random() < share else None)
    calls = calls_of(endpoint.call, 10)
    virtual = VirtualTime()
    virtual.run(calls.run(singles(500)))
    assert len(calls.answers) == 500
    assert virtual.time < 1.2 * 500 / 10


def test_an_endpoint_that_refuses_everything_is_left_alone() -> None:
    endpoint = Endpoint(lambda number, indices: THROTTLED if number > 40 else None)
    calls = calls_of(endpoint.call, 10)
    with pytest.raises(ServiceError):
        run(calls.run(singles(500)))
    assert 40 < len(endpoint.made) <= 40 + 10 + 10
    assert len(calls.answers) == 40, "what is under way is waited for"
    assert endpoint.under_way == 0


def test_an_endpoint_with_less_room_gets_fewer_calls_at_once() -> None:
    """It takes four calls at once."""
    endpoint = Endpoint()
    endpoint.fails = lambda number, indices: THROTTLED if endpoint.under_way >= 4 else None
    calls = calls_of(endpoint.call, 10)
    virtual = VirtualTime()
    virtual.run(calls.run(singles(200)))
    assert len(calls.answers) == 200
    assert virtual.time < 1.5 * 200 / 4
    assert len(endpoint.made) < 1.6 * 200


def test_the_first_call_of_a_part_is_not_made_again_if_it_is_alone() -> None:
    endpoint = Endpoint(lambda number, indices: THROTTLED)
    calls = calls_of(endpoint.call, 1)
    with pytest.raises(ServiceError):
        run(calls.run(singles(5)))
    assert len(endpoint.made) == 1


def test_a_record_that_the_endpoint_has_no_room_for_again_and_again_ends_the_delivery() -> None:
    endpoint = Endpoint(lambda number, indices: THROTTLED if indices == [7] else None)
    calls = calls_of(endpoint.call, 3)
    with pytest.raises(ServiceError):
        run(calls.run(singles(100)))
    assert endpoint.made.count([7]) == 6
    assert set(calls.answers) >= set(range(7))


def test_an_error_of_another_kind_ends_the_delivery_at_once() -> None:
    endpoint = Endpoint(lambda number, indices: ValueError("a bug") if number == 3 else None)
    calls = calls_of(endpoint.call, 4)
    with pytest.raises(ValueError, match="a bug"):
        run(calls.run(singles(100)))
    assert len(endpoint.made) <= 8
    assert endpoint.under_way == 0


def test_nothing_is_begun_when_enough_is_answered() -> None:
    endpoint = Endpoint()
    calls = calls_of(endpoint.call, 4, enough_bytes=5)
    with pytest.raises(BudgetReached):
        run(calls.run(singles(9)))
    assert len(calls.answers) == len(endpoint.made) == 8


def test_halves_of_a_refused_group_are_called_for_side_by_side() -> None:
    bad = {3, 200, 400, 511}
    endpoint = Endpoint(lambda number, indices: REFUSED if bad & set(indices) else None)
    calls = calls_of(endpoint.call, 10)
    virtual = VirtualTime()
    virtual.run(calls.run([range(512)]))
    assert set(calls.refused) == bad
    assert len(endpoint.made) <= 2 * 4 * 7 + 2 * 4
    assert virtual.time < 0.6 * len(endpoint.made), "not one after another"
