"""One record that the endpoint has no room for, ever, fails alone. An endpoint in trouble does not fail its records."""

from collections import Counter
from collections.abc import Callable

import pytest

from sluice.failures import Operation, ServiceError
from sluice.ports import Inference
from tests.support.fakes import Call, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/a.csv"
POISON = b"poison\n"


def of_model(status: int) -> ServiceError:
    return service_error(Operation.INVOKE, "ModelError", "too long", status=424, original_status_code=status)


ERRORS: dict[str, Callable[[], ServiceError]] = {
    "429": lambda: of_model(429),
    "503": lambda: of_model(503),
    "throttling": lambda: service_error(Operation.INVOKE, "ThrottlingException", "slow down", status=429),
    "internal": lambda: service_error(Operation.INVOKE, "InternalFailure", status=500),
}


def rows(count: int, poisoned: set[int]) -> bytes:
    return b"".join(POISON if number in poisoned else b"%d\n" % number for number in range(count))


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("poisoned", [{50}, {0, 30, 31, 99}], ids=["one", "some"])
@pytest.mark.parametrize("error", ERRORS)
def test_a_record_that_is_refused_for_now_at_each_receive_fails_alone(
    error: str, poisoned: set[int], strategy: str
) -> None:
    world = Transforms(max_receive_count=3)
    asked: Counter[bytes] = Counter()

    def answer(call: Call) -> Inference | Exception:
        asked[call.body] += 1
        return ERRORS[error]() if POISON in call.body else Inference(call.body, "text/csv")

    world.endpoint.answer = answer
    world.drop(KEY, rows(100, poisoned), metadata={"batch-strategy": strategy})
    world.run(first_receive=1)
    assert world.out(KEY) == rows(100, poisoned).replace(POISON, b"\n")
    assert [one["Line"] - 1 for one in world.errors(KEY)] == sorted(poisoned)
    assert {one["ErrorCode"] for one in world.errors(KEY)} == {ERRORS[error]().code}
    assert not world.dead_letters.sent


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_an_endpoint_that_takes_nothing_any_more_fails_no_record(strategy: str) -> None:
    """It has answered others of the file before."""
    world = Transforms(max_receive_count=3)
    world.endpoint.answer = lambda call: of_model(429) if b"2" in call.body else Inference(call.body, "text/csv")
    body = b"".join(b"%d\n" % number for number in (*[1] * 40, *[2] * 2_000))
    world.drop(KEY, body, metadata={"batch-strategy": strategy, "answer-format": "Lines"})
    world.run(first_receive=1)
    assert f"{KEY}.out" not in world.results.objects
    assert len(world.dead_letters.sent) == 1
    assert not [key for key in world.results.objects if ".errors." in key], "no record is refused"
    assert len(world.endpoint.calls) < 500
