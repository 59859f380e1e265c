"""A file that is replaced or deleted while it is transformed: few calls follow, and its end says why."""

import gzip
import json
from collections.abc import Callable

import pytest

import sluice.transform.options
from sluice.concurrency import now, sleep
from sluice.failures import Operation, ServiceError
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.version_check import SECONDS
from tests.support.fakes import Call, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
AT = 19.0  # seconds after which the file is replaced or deleted
CALL = 0.4
LINE = 0.005
ROWS = b"".join(b"%04d\n" % number for number in range(1000))
REQUESTS = b"".join(
    b'{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":{"n":%d}}\n' % (number, number)
    for number in range(500)
)
CSV, JSON_LINES = "text/csv", "application/jsonlines"


class Slow:
    """An endpoint whose calls take time, and which acts once, `AT` seconds after the first call."""

    def __init__(self, act: Callable[[], object], refuses: Callable[[bytes], bool] = lambda body: False) -> None:
        self.act: Callable[[], object] | None = act
        self.refuses = refuses
        self.began: list[float] = []
        self.longest = 0.0

    async def __call__(self, call: Call) -> Inference | ServiceError:
        self.began.append(now())
        seconds = CALL + call.body.count(b"\n") * LINE
        self.longest = max(self.longest, seconds)
        await sleep(seconds)
        if self.act is not None and now() >= AT:
            act, self.act = self.act, None
            act()
        if self.refuses(call.body):
            return service_error(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)
        return Inference(call.body, call.parameters["ContentType"])

    def check(self) -> None:
        """Calls began until the file was no more, and then only until the next lookup of its version."""
        assert AT - self.longest <= max(self.began) <= AT + SECONDS + 2 * self.longest


def split(world: Transforms) -> None:
    while world.splits.bodies:
        world.process(world.splits.bodies.pop(0))


def delete(world: Transforms) -> None:
    world.inputs("input").objects.pop(KEY, None)


def assert_deleted(world: Transforms) -> None:
    document = json.loads(world.results.objects[f"{KEY}.err"].body)
    assert document["ErrorCode"] == "ObjectDeleted"
    assert document["ErrorMessage"] == "the object was deleted before all of it was transformed; upload it again"
    assert [attributes["ErrorCode"].value for _, attributes in world.dead_letters.sent] == ["ObjectDeleted"]
    assert not world.dead_letters.delays, "no retry"
    assert f"{KEY}.out" not in world.results.objects


KINDS = {
    "single records": (ROWS, CSV, {"batch-strategy": "SingleRecord"}, lambda body: False),
    "groups": (ROWS * 300, CSV, {"answer-format": "Lines"}, lambda body: False),
    "bisected groups": (ROWS, CSV, {"answer-format": "Lines"}, lambda body: b"1" in body),
    "a probe that finds nothing": (ROWS, CSV, {}, lambda body: b"1" in body or body.count(b"\n") > 1),
    "an OpenAI batch file": (REQUESTS, JSON_LINES, {}, lambda body: False),
}


@pytest.mark.parametrize("is_deleted", [False, True], ids=["replaced", "deleted"])
@pytest.mark.parametrize("kind", KINDS)
def test_few_calls_begin_for_a_file_that_is_no_more(kind: str, *, is_deleted: bool) -> None:
    world = Transforms()
    content, content_type, metadata, refuses = KINDS[kind]

    def act() -> None:
        if is_deleted:
            delete(world)
        else:
            world.drop(KEY, b"5\n")

    slow = Slow(act, refuses)
    world.endpoint.answer = slow
    world.drop(KEY, content, content_type=content_type, metadata=metadata)
    split(world)
    (outcome,) = world.process(world.requests.bodies.pop(0))
    slow.check()
    if not is_deleted:
        assert outcome.status is Status.SUPERSEDED
    before = len(slow.began)
    world.run(first_receive=1)
    if is_deleted:
        assert len(slow.began) == before
        assert_deleted(world)
    else:
        assert world.out(KEY) == b"5\n"
        assert {row for call in world.endpoint.calls[before:] for row in call.body.split()} == {b"5"}
        assert not world.dead_letters.sent


@pytest.mark.parametrize("is_deleted", [False, True], ids=["replaced", "deleted"])
def test_a_retry_stops_as_a_first_run_does(*, is_deleted: bool) -> None:
    world = Transforms()
    metadata = {"batch-strategy": "SingleRecord"}
    world.endpoint.answer = lambda call: (
        Inference(call.body, CSV)
        if call.body.startswith(b"0000")
        else service_error(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)
    )
    world.drop(KEY, ROWS, metadata=metadata)
    world.run()
    before = world.out(KEY)
    slow = Slow((lambda: delete(world)) if is_deleted else (lambda: world.drop(KEY, b"5\n")))
    world.endpoint.answer = slow
    world.retry(KEY)
    split(world)
    world.process(world.requests.bodies.pop(0))
    slow.check()
    world.run()
    if is_deleted:
        assert world.out(KEY) == before, "the result of an earlier run stays"
        assert [attributes["ErrorCode"].value for _, attributes in world.dead_letters.sent] == ["ObjectDeleted"]
    else:
        assert world.out(KEY) == b"5\n"


def test_all_parts_of_a_deleted_file_stop_with_one_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 1000)
    world = Transforms()
    slow = Slow(lambda: delete(world))
    world.endpoint.answer = slow
    world.drop(KEY, ROWS, metadata={"batch-strategy": "SingleRecord"})
    split(world)
    assert len(world.requests.bodies) == 5
    world.at_once(3)
    slow.check()
    world.run(first_receive=1)
    assert_deleted(world)


def test_the_answers_of_a_deleted_file_are_kept_for_the_same_version() -> None:
    """Whoever restores the version, by deleting the delete marker, pays for no record twice."""
    world = Transforms()
    stored = {}

    def act() -> None:
        stored[KEY] = world.inputs("input").objects.pop(KEY)

    slow = Slow(act)
    world.endpoint.answer = slow
    world.drop(KEY, ROWS, metadata={"batch-strategy": "SingleRecord"})
    world.run(first_receive=1)
    assert_deleted(world)
    world.inputs("input").objects.update(stored)
    world.redrive()
    world.run(first_receive=1)
    assert world.out(KEY) == ROWS
    assert world.summary(KEY)["calls"] == len(slow.began) == 1000


def at_its_start(world: Transforms) -> None:
    split(world)
    delete(world)


def before_the_split(world: Transforms) -> None:
    delete(world)


def in_a_ranged_read(world: Transforms) -> None:
    split(world)
    delete_when_read(world)


def delete_when_read(world: Transforms) -> None:
    bucket = world.inputs("input")
    read = bucket.get_range

    async def get_range(key: str, start: int, end: int, *, etag: str | None) -> bytes:
        delete(world)
        return await read(key, start, end, etag=etag)

    bucket.get_range = get_range  # type: ignore[method-assign]


def before_the_assembly(world: Transforms) -> None:
    split(world)
    while world.requests.bodies:
        world.process(world.requests.bodies.pop(0))
    assert world.assemblies.bodies
    delete(world)


@pytest.mark.parametrize("content", [ROWS, gzip.compress(ROWS)], ids=["plain", "gzip"])
@pytest.mark.parametrize("moment", [before_the_split, delete_when_read, at_its_start, before_the_assembly])
def test_a_deletion_is_the_same_failure_whenever_it_is_noticed(
    moment: Callable[[Transforms], None], content: bytes
) -> None:
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body, CSV)
    world.drop(KEY, content, content_type=CSV)
    moment(world)
    before = len(world.endpoint.calls)
    world.run(first_receive=1)
    assert len(world.endpoint.calls) == before
    assert_deleted(world)


def test_a_deletion_is_noticed_when_a_part_is_read() -> None:
    world = Transforms()
    world.drop(KEY, ROWS)
    in_a_ranged_read(world)
    world.run(first_receive=1)
    assert not world.endpoint.calls
    assert_deleted(world)


def test_a_new_upload_after_a_deletion_is_transformed() -> None:
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body, CSV)
    world.drop(KEY, ROWS)
    at_its_start(world)
    world.run(first_receive=1)
    world.drop(KEY, ROWS)
    world.run(first_receive=1)
    assert world.out(KEY) == ROWS
    assert f"{KEY}.err" not in world.results.objects


def test_the_version_is_looked_up_at_intervals_and_a_failed_lookup_stops_nothing() -> None:
    world = Transforms()
    slow = Slow(lambda: None)
    world.endpoint.answer = slow
    world.drop(KEY, ROWS, metadata={"batch-strategy": "SingleRecord"})
    split(world)
    heads: list[str] = []

    def fail(operation: str, key: str) -> None:
        if operation == "head":
            heads.append(key)
            if len(heads) > 1:
                raise service_error(Operation.READ_INPUT, "SlowDown", status=503)

    world.inputs("input").fail = fail
    world.process(world.requests.bodies.pop(0))
    assert len(slow.began) > 100
    seconds = max(slow.began) - min(slow.began)
    assert 2 < len(heads) <= seconds / SECONDS + 2
