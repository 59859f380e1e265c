"""A transformed file: line N of the result belongs to line N, despite rejections, redeliveries and kills."""

import gzip
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sluice.transform.options
from sluice.failures import Operation
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.progress import covering_parts
from sluice.transform.unpacking import unpacked
from tests.support.fakes import TIMED_OUT, Call, Fuse, Killed, service_error
from tests.support.transform import Transforms
from tests.support.virtual_time import run

KEY = "transform/wine/rows.csv"
CHUNK = 40
AS_LINES = {"answer-format": "Lines"}  # for what has nothing to do with how the format is found


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", CHUNK)


def double(call: Call) -> Inference | Exception:
    """Returns each number doubled; rejects a line that is not a number."""
    lines = call.body.decode().removesuffix("\n").split("\n")
    try:
        return Inference("".join(f"{2 * int(line)}\n" for line in lines).encode(), "text/csv")
    except ValueError:
        return service_error(Operation.INVOKE, "ModelError", "no number", status=424, original_status_code=400)


@pytest.fixture
def world() -> Transforms:
    made = Transforms()
    made.endpoint.answer = double
    return made


def expected(content: bytes) -> bytes:
    lines = content.decode().removesuffix("\n").split("\n") if content else []
    return "".join(f"{2 * int(line)}\n" if line.strip("\r").isdecimal() else "\n" for line in lines).encode()


def test_line_by_line(world: Transforms) -> None:
    content = b"".join(b"%d\n" % n for n in range(100))
    world.drop(KEY, content)
    world.run()
    assert world.out(KEY) == expected(content)
    assert world.errors(KEY) == []
    assert f"{KEY}.errors.jsonl" not in world.results.objects
    summary = world.summary(KEY)
    assert (summary["records"], summary["succeeded"], summary["failed"]) == (100, 100, 0)
    assert summary["bytes"] == len(content)
    assert summary["calls"] == len(world.endpoint.calls) == summary["parts"] + 3, "two alone, then both together"
    assert summary["answer_format"] == "Lines"
    assert all(call.endpoint_name == "wine" for call in world.endpoint.calls)
    assert world.results.objects[f"{KEY}.out"].content_type == "text/csv"


@pytest.mark.parametrize("name", ["Umsätze 2026 100%.csv", "ü" * 400 + ".csv"])
def test_a_file_may_be_called_anything(world: Transforms, name: str) -> None:
    world.drop(f"transform/wine/{name}", b"1\npoison\n3\n")
    world.run()
    assert world.out(f"transform/wine/{name}") == b"2\n\n6\n"
    assert [error["Line"] for error in world.errors(f"transform/wine/{name}")] == [2]


def test_the_results_metadata_identifies_the_request(world: Transforms) -> None:
    metadata = {"accept": "text/csv", "trace-id": "order-7"}
    world.drop(KEY, b"".join(b"%d\n" % n for n in range(50)), metadata=metadata, content_type="text/csv")
    world.run()
    assert (
        world.results.objects[f"{KEY}.out"].metadata.items()
        >= {
            "trace-id": "order-7",
            "inference-id": "order-7",
            "endpoint-name": "wine",
            "received-at": "2026-11-24T12:00:00.000Z",
            "source-key": f"s3://input/{KEY}",
            "request-content-type": "text/csv",
            "accept": "text/csv",
        }.items()
    )


def test_rejected_rows_are_in_the_errors_with_their_line_numbers(world: Transforms) -> None:
    rows = [b"%d" % n for n in range(200)]
    bad = {3, 77, 78, 199}
    for n in bad:
        rows[n] = b"poison %d" % n
    content = b"\n".join(rows) + b"\n"
    world.drop(KEY, content, metadata={"trace-id": "mine"})
    world.run()
    assert world.out(KEY) == expected(content)
    errors = world.errors(KEY)
    assert [error["Line"] for error in errors] == sorted(n + 1 for n in bad)
    assert [error["Record"] for error in errors] == [f"poison {n}" for n in sorted(bad)]
    assert {(error["ErrorCode"], error["OriginalStatusCode"], error["TraceId"]) for error in errors} == {
        ("ModelError", 400, "mine")
    }
    assert world.summary(KEY)["failed"] == 4
    assert not world.dead_letters.sent


contents = st.lists(
    st.one_of(st.integers(0, 10**6).map(lambda n: b"%d" % n), st.sampled_from([b"", b"x", b"yy", b"1" * 100])),
    max_size=60,
).map(b"\n".join)


@given(content=contents, order=st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_in_any_order_with_everything_delivered_twice(content: bytes, order: Any) -> None:
    world = Transforms()
    world.endpoint.answer = double
    world.drop(KEY, content)
    world.splits.bodies *= 2
    try:
        world.run(order.randrange)
    finally:
        lines = content.decode().removesuffix("\n").split("\n") if content else []
    if f"{KEY}.out" not in world.results.objects:
        # A part had no answer at its last receive, or no record of the file succeeded.
        assert f"{KEY}.err" in world.results.objects
        codes = {attributes["ErrorCode"].value for _, attributes in world.dead_letters.sent}
        assert codes
        assert codes <= {"ModelError", "NothingAnswered", "NoRecordSucceeded"}
        return
    assert f"{KEY}.err" not in world.results.objects
    assert world.out(KEY) == expected(content)
    bad = [number for number, line in enumerate(lines, 1) if line and not line.isdecimal()]
    assert [error["Line"] for error in world.errors(KEY)] == bad


def test_a_kill_at_any_step_gives_the_same_result(world: Transforms) -> None:
    content = b"".join(b"%d\n" % n for n in range(12)) + b"poison\n" + b"7\n" * 20
    world.drop(KEY, content)
    kills = 0
    for queue in (world.splits, world.requests, world.assemblies):
        while queue.bodies:
            body = queue.bodies[0]
            for step in range(1, 100):
                fuse = Fuse(step, after=step % 2 == 0)
                try:
                    ended = world.process(body, fuse=fuse)
                except Killed:
                    kills += 1
                    continue
                assert all(outcome.acknowledged for outcome in ended)
                break
            queue.bodies.remove(body)
    assert kills > 20
    assert world.out(KEY) == expected(content)
    assert [error["Line"] for error in world.errors(KEY)] == [13]


@pytest.mark.parametrize(
    ("content", "answers", "records"),
    [
        (b"", b"", 0),
        (b"1", b"2\n", 1),
        (b"1\n", b"2\n", 1),
        (b"\n", b"\n", 1),
        (b"\xef\xbb\xbf1\r\n2\r\n", b"2\n4\n", 2),
    ],
)
def test_small_files(world: Transforms, content: bytes, answers: bytes, records: int) -> None:
    world.drop(KEY, content)
    world.run()
    assert world.out(KEY) == answers
    assert world.summary(KEY)["records"] == records


@pytest.mark.parametrize(("content", "answers"), [(b"n\n", b"\n"), (b"n\n1\n2\n", b"\n2\n4\n")])
def test_a_header_is_not_sent_and_keeps_its_line(world: Transforms, content: bytes, answers: bytes) -> None:
    world.drop(KEY, content, metadata={"csv-header": "true"})
    world.run()
    assert world.out(KEY) == answers
    assert world.errors(KEY) == []


def test_when_every_record_is_rejected_the_endpoint_is_at_fault(world: Transforms) -> None:
    world.drop(KEY, b"x\n" * 10)
    world.run()
    assert f"{KEY}.out" not in world.results.objects
    assert json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorCode"] == "NoRecordSucceeded"
    assert len(world.dead_letters.sent) == 1


def test_a_redrive_completes_the_file_and_clears_its_failure(world: Transforms) -> None:
    content = b"x\n" * 10
    world.drop(KEY, content)
    world.run()
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    world.redrive()
    world.run()
    assert world.out(KEY) == content
    assert f"{KEY}.err" not in world.results.objects


def test_a_line_too_long_for_a_call_is_a_record_error() -> None:
    world = Transforms()
    world.settings = world.settings.model_copy(update={"max_body_bytes": 100})
    world.endpoint.answer = double
    world.drop(KEY, b"1\n" + b"2" * 500 + b"\n3\n")
    world.run()
    assert world.out(KEY) == b"2\n\n6\n"
    (error,) = world.errors(KEY)
    assert (error["Line"], error["ErrorCode"]) == (2, "RecordTooLong")


def test_a_capacity_failure_returns_the_part_and_stores_nothing(world: Transforms) -> None:
    world.drop(KEY, b"1\n2\n")
    world.process(world.splits.bodies.pop())
    world.endpoint.answer = lambda call: service_error(Operation.INVOKE, "ThrottlingException", status=400)
    (outcome,) = world.process(world.requests.bodies[0])
    assert outcome.status is Status.RETRY
    assert not world.results.objects


def test_a_replaced_file_is_transformed_once_more_and_the_old_one_stops(world: Transforms) -> None:
    world.drop(KEY, b"1\n" * 100, metadata=AS_LINES)
    world.process(world.splits.bodies.pop())
    old = list(world.requests.bodies)
    world.process(old[0])
    world.drop(KEY, b"5\n", metadata=AS_LINES)
    world.run()
    assert world.out(KEY) == b"10\n"
    assert len(world.endpoint.calls) == 2, "of the old version no more is called for"
    for body in old:
        assert all(outcome.status is not Status.RETRY for outcome in world.process(body))
    assert world.out(KEY) == b"10\n"


def test_a_deleted_file_fails_with_a_reason(world: Transforms) -> None:
    world.drop(KEY, b"1\n")
    world.process(world.splits.bodies.pop())
    world.inputs("input").objects.clear()
    world.run()
    assert json.loads(world.results.objects[f"{KEY}.err"].body)["FailureClass"] == "invalid"


def test_one_record_a_call(world: Transforms) -> None:
    world.drop(KEY, b"1\n2\n3\n", metadata={"batch-strategy": "SingleRecord"})
    world.run()
    assert world.out(KEY) == b"2\n4\n6\n"
    assert [call.body for call in world.endpoint.calls] == [b"1\n", b"2\n", b"3\n"]


def test_ids_are_not_sent_to_the_model_and_joined_to_its_results(world: Transforms) -> None:
    metadata = {"input-filter": "$[1]", "join-source": "Input", "output-filter": "$[0,-1]"}
    world.drop(KEY, b"a,1\nb,2\n", metadata=metadata)
    world.run()
    assert world.out(KEY) == b"a,2\nb,4\n"


@pytest.mark.parametrize(
    ("metadata", "says"),
    [({"batch-strategy": "Some"}, "BatchStrategy"), ({"endpoint-name": "nope"}, "EndpointName")],
)
def test_options_that_are_wrong_fail_the_file_at_once(world: Transforms, metadata: dict[str, str], says: str) -> None:
    world.drop(KEY, b"1\n", metadata=metadata)
    (outcome,) = world.run()
    assert outcome.status is Status.DEAD_LETTERED
    assert says in json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]


def test_little_more_than_the_file_is_read(world: Transforms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.transform.work._TAIL", 8)
    content = b"".join(b"%d\n" % n for n in range(1000))
    world.drop(KEY, content)
    world.run()
    parts = world.summary(KEY)["parts"]
    assert sum(end - start for start, end in world.inputs("input").ranges) <= 2 * len(content) + parts * 40, (
        "the beginning is read twice"
    )


def flaky(times: int, then: Callable[[Call], Inference | Exception]) -> Callable[[Call], Inference | Exception]:
    left = [times]

    def answer(call: Call) -> Inference | Exception:
        if left[0]:
            left[0] -= 1
            return Inference(b"1\n2\n3\n", "text/csv")
        return then(call)

    return answer


def test_records_with_too_many_results_are_bisected(world: Transforms) -> None:
    world.endpoint.answer = flaky(1, double)
    world.drop(KEY, b"1\n2\n", metadata=AS_LINES)
    world.run()
    assert world.out(KEY) == b"2\n4\n"


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_function_out_of_time_passes_the_rest_on(world: Transforms, calls: int) -> None:
    def clock() -> float:
        return 90_000 if len(world.endpoint.calls) % (calls + 1) < calls else 10_000

    world.remaining_ms = clock
    content = b"1\n22\nx\n4\n\n6\n"
    metadata = {"batch-strategy": "SingleRecord"}
    world.drop(KEY, content, metadata=metadata)

    def answer(call: Call) -> Inference | Exception:
        return double(call)

    world.endpoint.answer = answer
    for _ in range(200):
        waiting = [(queue, body) for queue in world._queues() for body in queue.bodies]
        if not waiting:
            break
        queue, body = waiting[0]
        if clock() < 80_000:
            world.endpoint.calls.append(Call("another function", b"", {}))
        if all(outcome.acknowledged for outcome in world.process(body, receive_count=3)):
            queue.bodies.remove(body)
    assert world.out(KEY) == expected(content)
    assert [error["Line"] for error in world.errors(KEY)] == [3]
    called = [call.body for call in world.endpoint.calls if call.endpoint_name != "another function"]
    assert sorted(called) == [b"1\n", b"22\n", b"4\n", b"6\n", b"x\n"], "each record once"


def test_a_call_that_times_out_is_halved(world: Transforms) -> None:
    left = [90_000.0]
    world.remaining_ms = lambda: left[0]

    def slow(call: Call) -> Inference | Exception:
        if call.body.count(b"\n") > 2:
            left[0] = 10_000.0  # the container has timed out, and the function has no more time
            return service_error(Operation.INVOKE, "ModelError", TIMED_OUT, status=424, original_status_code=0)
        return double(call)

    world.endpoint.answer = slow
    content = b"1\n2\n3\n4\n5\n6\n7\n8\n"
    world.drop(KEY, content, metadata=AS_LINES)
    while waiting := [(queue, body) for queue in world._queues() for body in queue.bodies]:
        queue, body = waiting[0]
        left[0] = 90_000.0
        world.process(body)
        queue.bodies.remove(body)
    assert world.out(KEY) == expected(content)
    assert world.summary(KEY)["parts"] == 4


def packed(content: bytes) -> bytes:
    """A gzip file with several members, like concatenated logs."""
    half = len(content) // 2
    return gzip.compress(content[:half]) + gzip.compress(content[half:])


def test_a_gzip_is_unpacked_once_and_answered_line_by_line(world: Transforms) -> None:
    content = b"".join(b"%d\n" % n for n in range(300))
    world.drop(f"{KEY}.gz", packed(content), content_type="text/csv")
    world.splits.bodies *= 2
    world.run()
    assert world.out(f"{KEY}.gz") == expected(content)
    assert world.summary(f"{KEY}.gz")["bytes"] == len(content)
    assert len([name for name in world.results.objects if name.endswith("/unpacked")]) == 1


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"1\n" * 1000)[:-9]], ids=["none", "cut off"])
def test_an_invalid_gzip_fails_with_a_reason(world: Transforms, content: bytes) -> None:
    world.drop(f"{KEY}.gz", content)
    world.run()
    error = json.loads(world.results.objects[f"{KEY}.gz.err"].body)
    assert "not a complete gzip file" in error["ErrorMessage"]
    assert not world.endpoint.calls


def test_a_gzip_is_unpacked_in_little_memory() -> None:
    async def bomb() -> AsyncGenerator[bytes]:
        yield gzip.compress(bytes(50_000_000))

    async def unpack() -> list[int]:
        return [len(piece) async for piece in unpacked(bomb())]

    sizes = run(unpack())
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 1024 * 1024


def test_a_file_that_is_not_split_is_one_call(world: Transforms) -> None:
    world.endpoint.answer = lambda call: Inference(call.body[::-1], "application/x-npy")
    world.drop(KEY, b'1,"a\n2', metadata={"split-type": "None"})
    world.run()
    assert [call.body for call in world.endpoint.calls] == [b'1,"a\n2']
    assert world.out(KEY) == b'2\na",1'


def test_a_file_that_is_not_split_and_too_large_is_refused() -> None:
    world = Transforms()
    world.drop(KEY, b"x" * ((1 << 20) + 1), metadata={"split-type": "None"})
    world.run()
    assert "SplitType None" in json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]


def test_a_failure_in_the_middle_keeps_billed_results(world: Transforms) -> None:
    """After four successful calls, the endpoint throttles for longer than a part waits."""
    calls = [0]

    def throttled(call: Call) -> Inference | Exception:
        calls[0] += 1
        if 5 <= calls[0] < 14:
            return service_error(Operation.INVOKE, "ThrottlingException", status=400)
        return double(call)

    world.endpoint.answer = throttled
    content = b"1\n22\nx\n4\n55\n6\n7\n8\n9\n10\n"
    world.drop(KEY, content, metadata={"batch-strategy": "SingleRecord"})
    world.run()
    assert world.out(KEY) == expected(content)
    answered = [call.body for call in world.endpoint.calls]
    assert world.summary(KEY)["parts"] > 1
    assert len([body for body in answered if body == b"1\n"]) == 1, "what was answered is not asked again"


def test_a_short_failure_is_waited_for(world: Transforms) -> None:
    faults = iter([False, True, False, True, True])

    def shaky(call: Call) -> Inference | Exception:
        if next(faults, False):
            return service_error(Operation.INVOKE, "ServiceUnavailable", status=503)
        return double(call)

    world.endpoint.answer = shaky
    world.drop(KEY, b"1\n2\n3\n", metadata={"batch-strategy": "SingleRecord"})
    outcomes = world.run()
    assert all(outcome.status is Status.SUCCEEDED for outcome in outcomes)
    assert world.summary(KEY)["parts"] == 1


def test_a_part_whose_first_call_fails_is_returned_whole(world: Transforms) -> None:
    world.remaining_ms = lambda: 10_000
    world.drop(KEY, b"1\n")
    world.process(world.splits.bodies.pop())
    (outcome,) = world.process(world.requests.bodies[0])
    assert outcome.status is Status.RETRY
    assert outcome.failure is not None
    assert outcome.failure.code == "NotBegun"
    assert len(world.requests.bodies) == 1


def test_a_continued_part_is_not_invoked_again(world: Transforms) -> None:
    left = [90_000.0]
    world.remaining_ms = lambda: left[0]

    def answer(call: Call) -> Inference | Exception:
        left[0] = 10_000.0
        return double(call)

    world.endpoint.answer = answer
    world.drop(KEY, b"1\n2\n3\n", metadata={"batch-strategy": "SingleRecord"})
    world.process(world.splits.bodies.pop())
    (whole,) = world.requests.bodies
    while world.requests.bodies:
        left[0] = 90_000.0
        world.process(world.requests.bodies.pop(0))
    assert len(world.endpoint.calls) == 3
    left[0] = 90_000.0
    (again,) = world.process(whole)
    assert again.status is Status.DUPLICATE
    assert len(world.endpoint.calls) == 3
    world.run()
    assert world.out(KEY) == b"2\n4\n6\n"


def test_the_write_of_a_billed_part_is_retried(world: Transforms) -> None:
    failures = [5]

    def fail(operation: str, key: str) -> None:
        if operation == "put" and failures[0]:
            failures[0] -= 1
            raise service_error(Operation.STORE_RESULT, "SlowDown", status=503)

    world.drop(KEY, b"1\n2\n", metadata=AS_LINES)
    world.results.fail = fail
    world.run()
    assert world.out(KEY) == b"2\n4\n"
    assert len(world.endpoint.calls) == 1


def test_a_failure_is_ignored_if_another_delivery_has_stored_the_part(world: Transforms) -> None:
    world.drop(KEY, b"1\n2\n")
    world.process(world.splits.bodies.pop())
    (body,) = world.requests.bodies

    def already_resolved(call: Call) -> Inference | Exception:
        world.endpoint.answer = double
        world.process(body)
        world.endpoint.answer = already_resolved
        return service_error(Operation.INVOKE, "ThrottlingException", status=400)

    world.endpoint.answer = already_resolved
    (outcome,) = world.process(body, receive_count=3)
    assert outcome.status is Status.DUPLICATE
    assert not world.dead_letters.sent
    world.run()
    assert world.out(KEY) == b"2\n4\n"
    assert not [key for key in world.results.objects if key.endswith(".err")]


@pytest.mark.parametrize("backwards", [False, True])
def test_only_the_last_part_requests_the_assembly_and_few_list_all_parts(world: Transforms, *, backwards: bool) -> None:
    world.drop(KEY, b"12345678\n" * 100)
    world.process(world.splits.bodies.pop())
    bodies = world.requests.bodies[:: -1 if backwards else 1]
    assert len(bodies) > 10
    for body in bodies:
        assert not world.assemblies.bodies
        (outcome,) = world.process(body)
        assert outcome.status is Status.SUCCEEDED
    assert len(world.assemblies.bodies) == 1
    assert backwards or world.results.listed == 1, "a listing of thousands, for each of thousands, is none that scales"


def test_a_failure_of_a_part_is_ignored_if_its_file_was_replaced(world: Transforms) -> None:
    world.drop(KEY, b"1\n2\n")
    world.process(world.splits.bodies.pop())
    (body,) = world.requests.bodies

    def replaced(call: Call) -> Inference | Exception:
        world.inputs.drop(KEY, b"3\n")
        return service_error(Operation.INVOKE, "ThrottlingException", status=400)

    world.endpoint.answer = replaced
    (outcome,) = world.process(body, receive_count=3)
    assert outcome.status is Status.SUPERSEDED
    assert not world.dead_letters.sent
    assert not world.results.objects


@pytest.mark.parametrize(("content", "called"), [(b"1\n", True), (b"\n", False)])
def test_only_a_part_with_a_call_has_a_latency(world: Transforms, content: bytes, *, called: bool) -> None:
    world.drop(KEY, content)
    world.process(world.splits.bodies.pop())
    (outcome,) = world.process(world.requests.bodies[0])
    assert (outcome.model_latency is not None) == called


def test_a_line_longer_than_the_first_read_beyond_a_part_is_sent_whole(world: Transforms) -> None:
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    content = b"1\n" + b"7" * 150_000 + b"\n3\n"
    world.drop(KEY, content)
    world.run()
    assert world.out(KEY) == content


@pytest.mark.parametrize("metadata", [{}, {"input-filter": "$[0]"}])
def test_a_line_too_long_to_be_read_is_a_record_error(world: Transforms, metadata: dict[str, str]) -> None:
    """Also with a filter that selects little of it, because only its beginning is read."""
    world.settings = world.settings.model_copy(update={"max_body_bytes": 20_000})
    world.drop(KEY, b"1\n2," + b"7" * 60_000 + b"\n3\n" + b"4\n" * 30_000, metadata=metadata)
    world.run()
    assert world.out(KEY) == b"2\n\n6\n" + b"8\n" * 30_000
    (error,) = world.errors(KEY)
    assert (error["Line"], error["ErrorCode"]) == (2, "RecordTooLong")
    assert error["Record"] == "2," + "7" * 4094 + "…"


def test_an_assembly_that_is_delivered_again_writes_nothing(world: Transforms) -> None:
    world.drop(KEY, b"1\n2\n")
    world.process(world.splits.bodies.pop())
    world.process(world.requests.bodies.pop())
    (assembly,) = world.assemblies.bodies
    world.run()
    before = dict(world.results.objects)
    (again,) = world.process(assembly)
    assert again.status is Status.DUPLICATE
    assert world.results.objects == before


def test_a_newer_upload_replaces_a_finished_file_and_an_older_one_never_does(world: Transforms) -> None:
    assemblies = []
    for content in (b"1\n", b"22\n"):
        world.drop(KEY, content)
        world.process(world.splits.bodies.pop())
        world.process(world.requests.bodies.pop())
        assemblies += world.assemblies.bodies
        world.run()
    assert world.out(KEY) == b"44\n"
    (late,) = world.process(assemblies[0])
    assert late.status is Status.SUPERSEDED
    assert world.out(KEY) == b"44\n"


def test_parts_cover_a_file_without_gap_or_overlap() -> None:
    def names(*parts: tuple[int, int]) -> list[str]:
        return [f"parts/f/{start:015d}-{end:015d}.out" for start, end in parts]

    assert covering_parts(names((0, 5), (5, 9)), 9) == names((0, 5), (5, 9))
    assert covering_parts(names((5, 9)), 9) is None
    assert covering_parts(names((0, 4), (5, 9)), 9) is None
    assert covering_parts(names((0, 5)), 9) is None
    assert covering_parts(names((0, 5), (0, 3), (3, 5), (5, 9)), 9) is not None
    assert covering_parts(names((0, 5), (3, 9), (5, 9)), 9) == names((0, 5), (5, 9)), "what overlaps is left out"
    assert covering_parts(names((5, 7), (7, 9)), 9, 5) == names((5, 7), (7, 9))
    assert covering_parts([*names((0, 9)), "parts/f/unpacked"], 9) == names((0, 9))
    assert covering_parts([], 0) == []
