"""A conditional write that fails although nothing is there afterwards: whatever it was, it is written again.

S3 answers 409 ConditionalRequestConflict while another write is in progress, which may fail in the end; and 412 if the
object was there, and may be deleted right after that.
"""

import gzip
import json
from collections.abc import Callable

import pytest

from sluice.failures import Operation, ServiceError
from sluice.ports import Inference, PreconditionFailed
from sluice.processing.outcome import Status
from sluice.processing.storing import TRIES
from sluice.transform import options
from sluice.transform.answer_format import NONE, AnswerFormat
from sluice.transform.format_store import FormatStore
from tests.support.fakes import Call, FakeBucket, World, service_error, write_conflict
from tests.support.transform import Transforms
from tests.support.virtual_time import run

KEY = "transform/wine/a.csv"
ROWS = b"".join(b"%d\n" % number for number in range(400))
MOST = 40  # conditional writes of one scenario


def gone() -> PreconditionFailed:
    """The condition of a write fails for an object that is deleted right after that."""
    return PreconditionFailed()


ERRORS = pytest.mark.parametrize("error", [write_conflict, gone], ids=["409", "412"])


class Conflicts:
    """Lets one of the conditional writes of a bucket fail, once: the `at`-th of them."""

    def __init__(self, bucket: FakeBucket, error: Callable[[], Exception], at: int) -> None:
        self.failed: str | None = None
        self._left = at
        self._error = error
        bucket.conflicts = self._look

    def _look(self, key: str) -> bool:
        self._left -= 1
        if self._left:
            return False
        self.failed = key
        raise self._error()


def echo(call: Call) -> Inference:
    return Inference(call.body, "text/csv")


def refusing_one(call: Call) -> Inference | Exception:
    if b"\n7\n" in b"\n" + call.body:
        return service_error(Operation.INVOKE, "ModelError", original_status_code=400)
    return echo(call)


def refusing_all(call: Call) -> Exception:
    return service_error(Operation.INVOKE, "ModelError", original_status_code=400)


@ERRORS
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("threshold", [None, "50%"], ids=["any", "threshold"])
def test_every_conditional_write_of_a_file_is_repeated(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], is_packed: bool, threshold: str | None
) -> None:
    monkeypatch.setattr(options, "_MIN_CHUNK_BYTES", 400)
    expected = ROWS.replace(b"\n7\n", b"\n\n")
    failed: set[str] = set()
    for at in range(1, MOST):
        world = Transforms()
        world.endpoint.answer = refusing_one
        metadata = {"error-threshold": threshold} if threshold else {}
        world.drop(KEY, gzip.compress(ROWS) if is_packed else ROWS, metadata=metadata)
        conflicts = Conflicts(world.results, error, at)
        world.run(first_receive=1)
        assert world.out(KEY) == expected, f"{at}: {conflicts.failed}"
        assert [one["Line"] for one in world.errors(KEY)] == [8]
        assert not world.dead_letters.sent
        if conflicts.failed is None:
            break
        failed.add(conflicts.failed.rpartition("/")[2])
    assert {"answer-format.json", "a.csv.out", "a.csv.errors.jsonl"} <= failed
    assert ("unpacked" in failed) == is_packed


@ERRORS
def test_every_conditional_write_of_a_file_that_fails_is_repeated(error: Callable[[], Exception]) -> None:
    failed: set[str] = set()
    for at in range(1, MOST):
        world = Transforms()
        world.endpoint.answer = refusing_all
        world.drop(KEY, b"1\n2\n", metadata={"error-threshold": "1"})
        conflicts = Conflicts(world.results, error, at)
        world.run(first_receive=1)
        reason = json.loads(world.results.objects[f"{KEY}.err"].body)
        assert reason["ErrorCode"] == "ErrorThresholdExceeded", conflicts.failed
        assert len(world.dead_letters.sent) == 1
        assert [key for key in world.results.objects if "/failed." in key], "the failure is claimed"
        if conflicts.failed is None:
            break
        failed.add(conflicts.failed.rpartition("/")[2].split(".")[0])
    assert {"a", "failed"} <= failed


@ERRORS
@pytest.mark.parametrize("answer", [echo, refusing_all], ids=["answered", "failed"])
def test_every_conditional_write_of_a_request_is_repeated(
    error: Callable[[], Exception], answer: Callable[[Call], Inference | Exception]
) -> None:
    for at in range(1, MOST):
        world = World()
        event = world.inputs.drop("invoke/a.csv")
        world.endpoint.answer = answer
        conflicts = Conflicts(world.results, error, at)
        receives = 1
        while (ended := world.deliver(event, receive_count=receives)).status is Status.RETRY:
            receives += 1
        suffix = "out" if answer is echo else "err"
        assert set(world.results.objects) == {f"invoke/a.csv.{suffix}"}, conflicts.failed
        assert ended.status is (Status.SUCCEEDED if answer is echo else Status.DEAD_LETTERED)
        assert len(world.endpoint.calls) == 1
        assert len(world.queue.sent) == (answer is refusing_all)
        if conflicts.failed is None:
            assert at > 1
            return
    pytest.fail("the writes do not end")


FOLDER = "parts/transform/wine/a.csv/1/"
LINES = AnswerFormat.parse("Lines")


@ERRORS
@pytest.mark.parametrize("is_known", [False, True], ids=["not stored", "stored"])
def test_a_format_is_refuted_although_writes_conflict(error: Callable[[], Exception], is_known: bool) -> None:
    bucket = FakeBucket()
    store = FormatStore(bucket)
    if is_known:
        run(store.settle(FOLDER, LINES))
    Conflicts(bucket, error, 1)
    run(store.refute(FOLDER, LINES))
    stored = run(FormatStore(bucket).load(FOLDER))
    assert stored is not None
    assert (stored.answer_format, stored.refuted) == (NONE, "Lines")


@ERRORS
def test_a_format_whose_writes_all_conflict_is_refuted_in_the_next_receive(error: Callable[[], Exception]) -> None:
    bucket, tries = FakeBucket(), list[str]()

    def conflicts(key: str) -> bool:
        tries.append(key)
        assert len(tries) <= TRIES, "the tries do not end"
        raise error()

    bucket.conflicts = conflicts
    with pytest.raises(ServiceError) as raised:
        run(FormatStore(bucket).refute(FOLDER, LINES))
    assert raised.value.code == "ConditionalRequestConflict"
    assert len(tries) == TRIES
    assert not bucket.objects


@ERRORS
def test_an_order_that_is_not_stored_is_found_again(error: Callable[[], Exception]) -> None:
    bucket = FakeBucket()
    store = FormatStore(bucket)
    run(store.settle(FOLDER, LINES))
    before = dict(bucket.objects)
    Conflicts(bucket, error, 1)
    run(store.order(FOLDER, LINES))
    assert bucket.objects == before
