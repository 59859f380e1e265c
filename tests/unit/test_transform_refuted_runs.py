"""A format that is refuted is so for all runs of a file: what was answered in groups before counts in none of them."""

import json

import pytest

import sluice.transform.options
from sluice.failures import Operation
from sluice.ports import Inference
from tests.support.fakes import Answer, Call, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")
COUNTS = [1] * 300
COUNTS[100:102], COUNTS[-1] = [2, 0], 2


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 200)


def found(line: bytes) -> list[str]:
    return [f"{one} of {int(line)}" for one in range(COUNTS[int(line)])]


def flat(call: Call) -> Answer:
    """A list of what is found in all records."""
    return Inference(
        json.dumps([one for line in call.body.split() for one in found(line)]).encode(), "application/json"
    )


def dropped() -> Transforms:
    world = Transforms()
    world.drop(KEY, b"".join(b"%d\n" % number for number in range(len(COUNTS))))
    return world


def assert_each_has_its_own(world: Transforms) -> None:
    assert [json.loads(line) for line in world.out(KEY).splitlines()] == [found(b"%d" % n) for n in range(len(COUNTS))]
    assert world.summary(KEY)["answer_format"] == "None"


@pytest.mark.parametrize("after", [0, 10, 25, 35, 60, 100, 200, 280])
def test_a_file_that_failed_before_or_after_it_was_refuted_is_redriven(after: int) -> None:
    world = dropped()
    world.endpoint.answer = lambda call: flat(call) if len(world.endpoint.calls) <= after else THROTTLED
    world.run()
    if not world.dead_letters.sent:
        pytest.skip("the file has a result")
    world.endpoint.answer = flat
    world.redrive()
    world.run()
    assert_each_has_its_own(world)


def test_a_retry_of_a_file_with_a_result_refutes_the_format() -> None:
    world = dropped()
    world.endpoint.answer = lambda call: THROTTLED if b"299\n" in call.body else flat(call)
    world.run()
    assert world.summary(KEY)["failed"] == 1
    world.endpoint.answer = flat
    world.retry(KEY)
    world.run()
    assert_each_has_its_own(world)
