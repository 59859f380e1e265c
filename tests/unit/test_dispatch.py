"""A batch: concurrency, complete outcomes, fairness, backoff from failing endpoints, and the remaining time."""

import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.concurrency import Event
from sluice.error_codes import ErrorCode, FailureClass
from sluice.failures import Failure, Operation, classify
from sluice.inputs.delivery import Delivery
from sluice.inputs.target import Target
from sluice.ports import Inference
from sluice.processing.backoff import delay_seconds
from sluice.processing.concurrency_limit import MAX_LIMITS, ConcurrencyLimit, ConcurrencyLimits
from sluice.processing.dispatcher import Dispatcher
from sluice.processing.outcome import Outcome, Status
from tests.support.fakes import Call, World, delivery, service_error
from tests.support.virtual_time import run

NEEDED_MS = 80_000
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")
DENIED = service_error(Operation.INVOKE, "AccessDeniedException")
BROKEN = service_error(Operation.INVOKE, "InternalFailure")

_NUMBERS = itertools.count()


def batch(count: int, endpoint_name: str = "wine", *, receive_count: int = 1) -> list[Delivery]:
    return [
        delivery(
            {"EndpointName": endpoint_name, "Body": str(number)},
            message_id=f"{endpoint_name}-{next(_NUMBERS)}",
            receive_count=receive_count,
        )
        for number in range(count)
    ]


class Bench:
    """A dispatcher for four concurrent calls, and fakes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._dispatcher = Dispatcher(world.core, concurrency=4, needed_ms=NEEDED_MS)

    @property
    def limits(self) -> ConcurrencyLimits:
        return self._dispatcher.limits

    def run(self, deliveries: Sequence[Delivery], remaining_ms: float = 90_000) -> dict[str, Outcome]:
        ended = run(self._outcomes(deliveries, remaining_ms))
        by_message = {one.message_id: one for one in ended}
        assert len(by_message) == len(ended) == len(deliveries), "one outcome for each delivery"
        return by_message

    async def _outcomes(self, deliveries: Sequence[Delivery], remaining_ms: float) -> list[Outcome]:
        return [one async for outcomes in self._dispatcher.run(deliveries, lambda: remaining_ms) for one in outcomes]

    def calls(self, endpoint_name: str = "wine") -> int:
        return sum(call.endpoint_name == endpoint_name for call in self.world.endpoint.calls)


@pytest.fixture
def bench() -> Bench:
    return Bench(World())


def statuses(outcomes: dict[str, Outcome]) -> set[Status]:
    return {outcome.status for outcome in outcomes.values()}


def test_every_delivery_has_an_outcome(bench: Bench) -> None:
    assert statuses(bench.run(batch(25))) == {Status.SUCCEEDED}
    assert bench.calls() == 25


def four_at_once() -> Callable[[Call], Awaitable[Inference]]:
    """Calls that wait for each other in fours. They fail when a fifth is under way; without a fourth they never end."""
    waiting: list[Event] = []

    async def answer(call: Call) -> Inference:
        assert len(waiting) < 4
        waiting.append(event := Event())
        if len(waiting) == 4:
            for one in waiting:
                one.set()
            waiting.clear()
        await event.wait()
        return Inference(b"ok")

    return answer


def test_calls_run_concurrently_up_to_the_limit(bench: Bench) -> None:
    bench.world.endpoint.answer = four_at_once()
    assert statuses(bench.run(batch(12))) == {Status.SUCCEEDED}


def test_no_call_is_started_that_cannot_finish_in_time(bench: Bench) -> None:
    assert statuses(bench.run(batch(9), NEEDED_MS - 1)) == {Status.RETRY}
    assert bench.calls() == 0
    assert len(bench.world.queue.delays) == 9
    assert statuses(bench.run(batch(9), NEEDED_MS)) == {Status.SUCCEEDED}


def test_a_delivery_without_a_call_needs_no_time(bench: Bench) -> None:
    """A test event is returned, because receiving it again costs nothing, but a broken rule is reported immediately."""
    outcomes = bench.run([delivery("{not json", message_id="broken")], 0)
    assert statuses(outcomes) == {Status.DEAD_LETTERED}


@pytest.mark.parametrize("error", [THROTTLED, DENIED])
def test_an_endpoint_that_rejects_every_call_is_only_probed(bench: Bench, error: Exception) -> None:
    bench.world.endpoint.answer = lambda call: error
    first = bench.run(batch(50))
    assert statuses(first) == {Status.RETRY}
    assert bench.calls() <= 8, "the four under way, and those that brought it down to one at a time"
    assert len(bench.world.queue.delays) == 50, "all go back with a delay"
    assert {one.failure.code for one in first.values() if one.failure} == {error.code, "HeldBack"}  # type: ignore[attr-defined]

    bench.world.endpoint.calls.clear()
    bench.run(batch(50))
    assert bench.calls() == 1, "the next batch probes with one call"


def test_it_recovers_one_by_one(bench: Bench) -> None:
    bench.world.endpoint.answer = lambda call: THROTTLED
    bench.run(batch(50))
    bench.world.endpoint.answer = lambda call: Inference(b"ok")
    assert statuses(bench.run(batch(50))) == {Status.SUCCEEDED}
    bench.world.endpoint.calls.clear()
    bench.world.endpoint.answer = four_at_once()
    assert statuses(bench.run(batch(12))) == {Status.SUCCEEDED}


@pytest.mark.parametrize("error", [BROKEN, service_error(Operation.INVOKE, "ModelError", original_status_code=500)])
def test_other_failures_do_not_lower_the_limit(bench: Bench, error: Exception) -> None:
    bench.world.endpoint.answer = lambda call: error
    bench.run(batch(20))
    assert bench.calls() == 20


def test_one_endpoint_in_trouble_does_not_hold_back_the_others(bench: Bench) -> None:
    bench.world.endpoint.answer = lambda call: THROTTLED if call.endpoint_name == "wine" else Inference(b"ok")
    outcomes = bench.run(batch(30) + batch(30, "digits"))
    assert {one.status for name, one in outcomes.items() if name.startswith("digits")} == {Status.SUCCEEDED}
    assert bench.calls("wine") <= 8


def test_a_hanging_endpoint_does_not_take_the_threads_of_others(bench: Bench) -> None:
    digits_done = Event()

    async def answer(call: Call) -> Inference | Exception:
        if call.endpoint_name == "wine":
            await digits_done.wait()  # the calls of wine end only after all calls of digits
        elif bench.calls("digits") == 20:
            digits_done.set()
        return Inference(b"ok")

    bench.world.endpoint.answer = answer
    assert statuses(bench.run(batch(20) + batch(20, "digits"))) == {Status.SUCCEEDED}


def test_the_default_endpoint_and_its_name_share_a_limit(bench: Bench) -> None:
    bench.world.endpoint.answer = lambda call: THROTTLED
    bench.run([delivery({"Body": str(n)}, message_id=f"m{n}") for n in range(30)])
    bench.world.endpoint.calls.clear()
    bench.run(batch(10, "wine"))
    assert bench.calls("wine") == 1


def test_a_delivery_at_its_last_receive_is_still_called(bench: Bench) -> None:
    bench.world.endpoint.answer = lambda call: THROTTLED
    bench.run(batch(30))
    bench.world.endpoint.calls.clear()
    last = batch(3, receive_count=3)
    outcomes = bench.run([*[delivery({"Body": str(n)}, message_id=f"m{n}") for n in range(10)], *last])
    assert {outcomes[one.message_id].status for one in last} == {Status.DEAD_LETTERED}
    assert {reason["ErrorCode"].value for _, reason in bench.world.queue.sent} == {"ThrottlingException"}
    assert bench.calls() == 3


def test_a_delivery_returned_at_its_last_receive_is_dead_lettered_under_its_own_name(bench: Bench) -> None:
    event = bench.world.inputs.drop("invoke/a.csv")
    (outcome,) = bench.run([delivery(event, receive_count=3)], 0).values()
    assert outcome.status is Status.DEAD_LETTERED
    assert bench.world.err("invoke/a.csv")["ErrorCode"] == "NotBegun"


def outcome(failure_class: FailureClass | None) -> list[Outcome]:
    if failure_class is None:
        return [Outcome("m", Status.SUCCEEDED, model_latency=timedelta(seconds=1))]
    return [Outcome("m", Status.RETRY, failure=Failure(failure_class, "code", "message", of_endpoint=True))]


@pytest.mark.parametrize(
    ("status", "message"), [(0, ""), (502, "Bad Gateway"), (507, "Out of resources"), (503, "Prediction failed")]
)
def test_a_request_that_the_model_fails_on_does_not_lower_the_limit(status: int, message: str) -> None:
    failure = classify(service_error(Operation.INVOKE, "ModelError", message, original_status_code=status))
    limit = ConcurrencyLimit(10)
    limit.learn([Outcome("m", Status.RETRY, failure=failure)])
    assert limit.calls == 10


@given(st.lists(st.sampled_from([None, *FailureClass])), st.integers(1, 50))
def test_a_limit_stays_between_one_and_its_ceiling(ends: list[FailureClass | None], ceiling: int) -> None:
    limit = ConcurrencyLimit(ceiling)
    for end in ends:
        before = limit.calls
        limit.learn(outcome(end))
        assert 1 <= limit.calls <= ceiling
        if end in {FailureClass.CAPACITY, FailureClass.CONFIGURATION}:
            assert limit.calls <= max(1, (before + 1) / 2)
        elif end is None:
            assert before <= limit.calls <= before + 1
        else:
            assert limit.calls == before


def test_a_limit_halves_and_grows_by_one_a_round() -> None:
    limit = ConcurrencyLimit(10)
    assert not limit.learn(outcome(FailureClass.CAPACITY))
    assert limit.calls == 5
    for _ in range(6):
        limit.learn(outcome(None))
    assert limit.calls == 6
    for _ in range(5):
        limit.learn(outcome(FailureClass.CONFIGURATION))
    assert limit.calls == 1
    assert limit.learn(outcome(FailureClass.CAPACITY)), "one at a time was one too many"


# What is learned, and of which target

NOT_OF_THE_ENDPOINT = [
    *[
        service_error(operation, code, status=403)
        for operation in Operation
        if operation is not Operation.INVOKE
        for code in ("AccessDenied", "SlowDown", "NoSuchBucket")
    ],
    Failure.of(ErrorCode.UNDER_WAY),
    Failure.of(ErrorCode.NOT_BEGUN),
    Failure.of(ErrorCode.HELD_BACK),
    *[Failure(failure_class, "code", "message") for failure_class in FailureClass],
    ZeroDivisionError(),
]


@pytest.mark.parametrize("error", NOT_OF_THE_ENDPOINT, ids=str)
def test_what_is_not_a_failure_of_invoke_endpoint_does_not_lower_the_limit(error: Exception) -> None:
    limit = ConcurrencyLimit(8)
    assert not limit.learn([Outcome("m", Status.RETRY, endpoint_name="wine", failure=classify(error))])
    assert limit.calls == 8


def test_an_input_that_cannot_be_read_does_not_throttle_its_endpoint(bench: Bench) -> None:
    def fail(bucket: str, key: str) -> None:
        if key == "locked.csv":
            raise service_error(
                Operation.READ_INPUT, "AccessDenied", "not authorized to perform kms:Decrypt", status=403
            )

    bench.world.inputs.drop("locked.csv", bucket="lake")
    bench.world.inputs.fail = fail
    for round_ in range(5):
        locked = [
            delivery({"InputLocation": "s3://lake/locked.csv"}, message_id=f"locked-{round_}-{n}", receive_count=2)
            for n in range(6)
        ]
        outcomes = bench.run([*locked, *batch(10)])
        codes = Counter(one.failure.code if one.failure else one.status.value for one in outcomes.values())
        assert codes == {"AccessDenied": 6, "succeeded": 10}
    bench.world.endpoint.answer = four_at_once()
    assert statuses(bench.run(batch(8))) == {Status.SUCCEEDED}, "four calls at once, as before"


SELECTORS = ["InferenceComponentName", "TargetVariant", "TargetModel", "TargetContainerHostname"]


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_target_in_trouble_does_not_hold_back_the_others_of_its_endpoint(bench: Bench, selector: str) -> None:
    def answer(call: Call) -> Inference | Exception:
        return THROTTLED if call.parameters.get(selector) == "cold" else Inference(b"ok")

    bench.world.endpoint.answer = answer

    def to(target: str | None) -> list[Delivery]:
        chosen = {selector: target} if target else {}
        return [delivery({"Body": "1", **chosen}, message_id=f"{target}-{next(_NUMBERS)}") for _ in range(30)]

    for _ in range(3):
        outcomes = bench.run([*to("cold"), *to("warm"), *to(None)])
        succeeded = Counter(name.partition("-")[0] for name, one in outcomes.items() if one.status is Status.SUCCEEDED)
        assert succeeded == {"warm": 30, "None": 30}
    assert sum(call.parameters.get(selector) == "cold" for call in bench.world.endpoint.calls) <= 10


def test_an_outcome_is_that_of_the_endpoint_that_was_called(bench: Bench) -> None:
    """The metadata of an object name another endpoint than its folder, in whose lane it waits."""
    bench.world.endpoint.answer = lambda call: THROTTLED if call.endpoint_name == "digits" else Inference(b"ok")
    events = [
        delivery(
            bench.world.inputs.drop(f"invoke/{n}.csv", b"%d" % n, metadata={"endpoint-name": "digits"}),
            message_id=f"digits-{next(_NUMBERS)}",
        )
        for n in range(12)
    ]
    bench.run(events)
    bench.world.endpoint.calls.clear()
    bench.run(batch(10, "digits"))
    assert bench.calls("digits") <= 2, "it is known to be in trouble"
    bench.world.endpoint.answer = four_at_once()
    assert statuses(bench.run(batch(8))) == {Status.SUCCEEDED}, "the other is not"


def test_the_targets_of_one_endpoint_have_one_share(bench: Bench) -> None:
    """The other endpoint has half of the calls, and waits for no more than those that are under way."""
    models = [delivery({"Body": "1", "TargetModel": f"m{n}"}, message_id=f"model-{n}") for n in range(20)]
    bench.run([*models, *batch(5, "digits")])
    started = [call.endpoint_name for call in bench.world.endpoint.calls]
    assert started.index("digits") < 4
    assert len(started) - 1 - started[::-1].index("digits") < 12
    assert [call.parameters["TargetModel"] for call in bench.world.endpoint.calls if call.endpoint_name == "wine"] == [
        f"m{n}" for n in range(20)
    ], "each in its turn"


def test_the_limits_that_are_kept_are_bounded() -> None:
    limits = ConcurrencyLimits(4)
    limits.of(Target("wine")).learn(outcome(FailureClass.CAPACITY))
    for number in range(3 * MAX_LIMITS):
        limits.of(Target("wine", target_model=f"m{number}"))
        limits.of(None)
    assert len(limits) == MAX_LIMITS
    assert limits.of(Target("wine")).calls == 2, "one that says something is kept for longer"
    for number in range(MAX_LIMITS):
        limits.of(Target("digits", target_model=f"m{number}")).learn(outcome(FailureClass.CAPACITY))
    assert len(limits) == MAX_LIMITS


def test_an_endpoint_off_the_list_has_no_limit_of_its_own(bench: Bench) -> None:
    bench.run([delivery({"Body": "1", "EndpointName": f"e{n}"}, message_id=f"m{n}") for n in range(50)])
    assert len(bench.limits) == 0


@given(st.integers(1, 2000), st.floats(0.1, 60), st.floats(1, 43200), st.randoms())
def test_backoff_is_whole_seconds_within_its_ceiling(
    receives: int, base: float, cap: float, rng: random.Random
) -> None:
    seconds = delay_seconds(receives, base=base, cap=cap, rng=rng)
    assert 1 <= seconds <= 43200
    assert seconds <= max(1, min(cap, base * 2 ** min(receives - 1, 40))) + 1


def test_backoff_grows_and_is_jittered() -> None:
    rng = random.Random(1)
    means = [
        sum(delay_seconds(receives, base=5, cap=900, rng=rng) for _ in range(500)) / 500 for receives in range(1, 9)
    ]
    assert means == sorted(means)
    assert len({delay_seconds(5, base=5, cap=900, rng=rng) for _ in range(50)}) > 10
