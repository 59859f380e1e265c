"""Bisection isolates the rejected records in few calls, and distinguishes a failing endpoint from bad records."""

import math
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Failure, Operation, ServiceError
from sluice.transform.bisect import Calls
from sluice.transform.records import AnswerError
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
    if len(bad) == size:
        return
    calls = Calls(model(bad))
    run(calls.run([range(size)]))
    assert set(calls.refused) == bad
    assert calls.answers == {index: b"%d" % index for index in range(size) if index not in bad}
    assert calls.made <= 1 + 2 * math.ceil(math.log2(size)) * len(bad)


def test_a_single_record_that_is_refused_is_a_bad_record() -> None:
    calls = Calls(model({0}))
    run(calls.run([[0]]))
    assert set(calls.refused) == {0}


@pytest.mark.parametrize("size", [2, 3, 10, 1000])
def test_when_all_records_are_rejected_the_endpoint_is_at_fault_after_few_calls(size: int) -> None:
    calls = Calls(model(set(range(size))))
    with pytest.raises(Failure) as raised:
        run(calls.run([range(size)]))
    assert raised.value.failure_class is FailureClass.MODEL
    assert calls.made <= 2 * size
    assert calls.made <= 20 + 4 * math.ceil(math.log2(size))


def test_many_bad_records_cost_a_bounded_number_of_calls() -> None:
    calls = Calls(model(set(range(0, 1000, 2))))
    run(calls.run([range(1000)]))
    assert calls.made < 150
    assert set(calls.answers) | set(calls.refused) == set(range(1000))
    assert set(range(0, 1000, 2)) <= set(calls.refused)
    assert "not tested singly" in next(
        one.failure.message for one in calls.refused.values() if "tested singly" in one.failure.message
    )


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


def test_records_with_mismatched_results_are_bisected() -> None:
    async def call(indices: Sequence[int]) -> list[bytes]:
        if 7 in indices:
            raise AnswerError("3 answers came back for 4 records")
        return [b"x" for _ in indices]

    calls = Calls(call)
    run(calls.run([range(8)]))
    assert set(calls.refused) == {7}
    assert calls.refused[7].failure.code == "AnswerMismatch"
