"""Bisection isolates the rejected records in few calls, and distinguishes a failing endpoint from bad records."""

import math
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Operation, ServiceError
from sluice.transform.answer_format import AnswerError
from sluice.transform.bisect import PATIENCE, Calls, NothingAnswered
from tests.support.virtual_time import run

REFUSES = ServiceError(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)


def model(bad: set[int]) -> Callable[[Sequence[int]], Awaitable[list[bytes]]]:
    async def call(indices: Sequence[int]) -> list[bytes]:
        if bad & set(indices):
            raise REFUSES
        return [b"%d" % index for index in indices]

    return call


@given(size=st.integers(2, 300), bad=st.sets(st.integers(0, 299), max_size=4))
def test_rejected_records_are_isolated_and_the_rest_has_results(size: int, bad: set[int]) -> None:
    bad = {index for index in bad if index < size}
    calls = Calls(model(bad))
    run(calls.run([range(size)]))
    assert set(calls.refused) == bad
    assert calls.answers == {index: b"%d" % index for index in range(size) if index not in bad}
    assert calls.made <= 1 + 2 * math.ceil(math.log2(size)) * len(bad)


def test_a_single_record_that_is_refused_is_a_bad_record() -> None:
    calls = Calls(model({0}))
    run(calls.run([[0]]))
    assert set(calls.refused) == {0}


@pytest.mark.parametrize("size", [PATIENCE, 100, 1000, 30_000])
def test_when_no_record_is_answered_the_endpoint_is_at_fault_after_few_calls(size: int) -> None:
    calls = Calls(model(set(range(size))))
    with pytest.raises(NothingAnswered) as raised:
        run(calls.run([range(size)]))
    assert raised.value.failure.failure_class is FailureClass.MODEL
    assert calls.made <= 2 * PATIENCE + 2 * math.ceil(math.log2(size))


def test_single_records_are_not_all_paid_for_if_none_is_answered() -> None:
    calls = Calls(model(set(range(1000))))
    with pytest.raises(NothingAnswered):
        run(calls.run([index] for index in range(1000)))
    assert calls.made == PATIENCE


def test_all_records_are_refused_alone_if_the_endpoint_has_answered_others() -> None:
    asked = []

    async def others_answered() -> bool:
        asked.append(True)
        return True

    calls = Calls(model(set(range(500))), others_answered=others_answered)
    run(calls.run([range(500)]))
    assert set(calls.refused) == set(range(500))
    assert asked == [True]


_SHARES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95, 0.99, 1.0)


def within_bound(made: int, size: int, bad: int) -> bool:
    return made <= max(1, 2 * bad * math.log2(size / bad) + 2 * bad) if bad else made == 1


@pytest.mark.parametrize("share", _SHARES)
@pytest.mark.parametrize("size", [1500, 1024])
@pytest.mark.parametrize("clustered", [False, True])
def test_every_refused_record_was_tried_alone_in_few_calls(share: float, size: int, *, clustered: bool) -> None:
    count = round(share * size)
    dice = random.Random(7)
    first = dice.randrange(size - count + 1)
    bad = set(range(first, first + count)) if clustered else set(dice.sample(range(size), count))
    alone = set()

    async def call(indices: Sequence[int]) -> list[bytes]:
        if len(indices) == 1:
            alone.add(indices[0])
        return await model(bad)(indices)

    calls = Calls(call, others_answered=_true)
    run(calls.run([range(size)]))
    assert set(calls.refused) == bad <= alone
    assert calls.answers.keys() == set(range(size)) - bad, "no good record is lost"
    assert within_bound(calls.made, size, count)


@given(size=st.integers(1, 200), bad=st.sets(st.integers(0, 199)))
def test_the_bound_of_calls_holds_for_any_bad_records(size: int, bad: set[int]) -> None:
    bad = {index for index in bad if index < size}
    calls = Calls(model(bad), others_answered=_true)
    run(calls.run([range(size)]))
    assert set(calls.refused) == bad
    assert within_bound(calls.made, size, len(bad))


async def _true() -> bool:
    return True


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "InternalFailure"])
def test_errors_that_are_not_of_a_record_are_raised_immediately(code: str) -> None:
    async def call(indices: Sequence[int]) -> list[bytes]:
        raise ServiceError(Operation.INVOKE, code, "no", status=400)

    calls = Calls(call)
    with pytest.raises(ServiceError):
        run(calls.run([range(10)]))
    assert calls.made == 1


def test_a_payload_that_is_too_large_is_halved() -> None:
    async def call(indices: Sequence[int]) -> list[bytes]:
        if len(indices) > 3:
            raise ServiceError(Operation.INVOKE, "ValidationError", "body too large", status=413)
        return [b"x" for _ in indices]

    calls = Calls(call)
    run(calls.run([range(10)]))
    assert len(calls.answers) == 10


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 8, 31, 32, 33, 100, 500])
@pytest.mark.parametrize("size", [1, 7, 500, 1000])
def test_a_container_that_takes_few_records_at_a_time_is_sent_few(most: int, size: int) -> None:
    async def call(indices: Sequence[int]) -> list[bytes]:
        if len(indices) > most:
            raise REFUSES
        return [b"%d" % index for index in indices]

    calls = Calls(call)
    run(calls.run(range(start, min(5000, start + size)) for start in range(0, 5000, size)))
    assert calls.answers == {index: b"%d" % index for index in range(5000)}
    assert most >= size or most / 2 <= calls.most_records <= most
    assert calls.made <= 5000 / max(1, min(most, size) // 2) + 2 * math.log2(size) + 5000 / size + 2


@given(size=st.integers(2, 200), bad=st.sets(st.integers(0, 199), max_size=6), most=st.integers(1, 200))
def test_bad_records_are_found_in_a_container_that_takes_few_at_a_time(size: int, bad: set[int], most: int) -> None:
    bad = {index for index in bad if index < size}

    async def call(indices: Sequence[int]) -> list[bytes]:
        if len(indices) > most or bad & set(indices):
            raise REFUSES
        return [b"%d" % index for index in indices]

    calls = Calls(call, others_answered=_true)
    run(calls.run([range(size)]))
    assert set(calls.refused) == bad
    assert calls.answers == {index: b"%d" % index for index in range(size) if index not in bad}


def test_records_with_mismatched_results_are_bisected() -> None:
    async def call(indices: Sequence[int]) -> list[bytes]:
        if 7 in indices:
            raise AnswerError("3 answers came back for 4 records")
        return [b"x" for _ in indices]

    calls = Calls(call)
    run(calls.run([range(8)]))
    assert set(calls.refused) == {7}
    assert calls.refused[7].failure.code == "AnswerMismatch"
