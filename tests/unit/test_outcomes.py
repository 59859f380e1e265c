"""Every outcome has one owner: who may write, replace and remove it, and who finishes what is half done."""

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from sluice.failures import Operation
from sluice.inputs.identity import key_of_version
from sluice.ports import Inference
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import SOURCE_VERSION, owner_of
from tests.support.fakes import FUNCTION, Answer, Call, Fuse, Killed, World, delivery, service_error
from tests.support.transform import Transforms
from tests.support.virtual_time import run

REFUSED = service_error(Operation.INVOKE, "ModelError", original_status_code=400)
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")
KEY = "invoke/a.csv"


@pytest.fixture
def world() -> World:
    return World()


def by_body(world: World, answers: dict[bytes, Answer], meanwhile: Callable[[], Any] | None = None) -> None:
    """The endpoint answers by body. The first call for `B` first runs `meanwhile`, as another worker would."""
    waiting = [] if meanwhile is None else [meanwhile]

    def answer(call: Call) -> Answer:
        if call.body == b"B" and waiting:
            waiting.pop()()
        return answers[call.body]

    world.endpoint.answer = answer


def owned_version(world: World, suffix: str = ".out") -> str | None:
    return world.results.objects[KEY + suffix].metadata.get(SOURCE_VERSION)


@pytest.mark.parametrize("is_versioned", [True, False])
@pytest.mark.parametrize(("answer", "suffix"), [(Inference(b"a"), ".out"), (REFUSED, ".err")])
def test_an_outcome_says_which_upload_it_is_of(
    world: World, answer: Answer, suffix: str, *, is_versioned: bool
) -> None:
    world.endpoint.answer = lambda _: answer
    event = world.inputs.drop(KEY, b"A")
    stored = world.inputs("input").objects[KEY]
    if not is_versioned:
        del event["Records"][0]["s3"]["object"]["versionId"]
        world.inputs("input").objects[KEY] = replace(stored, version_id=None)
    world.deliver(event)
    assert owned_version(world, suffix) == (stored.version_id if is_versioned else stored.etag)


# An older answer over a newer one, whatever its content.


@pytest.mark.parametrize("content", ["equal", "different"])
def test_a_slow_older_answer_does_not_replace_a_newer_one(world: World, content: str) -> None:
    """The newest answer has the content of the one that the older upload found: their ETags are equal."""
    last = b"A" if content == "equal" else b"C"
    meanwhile: list[Outcome] = []

    def upload_again() -> None:
        meanwhile.append(world.another_worker().deliver(world.inputs.drop(KEY, last), message_id="last"))

    by_body(world, {b"A": Inference(b"a"), b"B": Inference(b"b"), b"C": Inference(b"c")}, upload_again)
    world.deliver(world.inputs.drop(KEY, b"A"), message_id="first")
    assert world.deliver(world.inputs.drop(KEY, b"B"), message_id="second").status is Status.SUPERSEDED
    assert [one.status for one in meanwhile] == [Status.SUCCEEDED]
    assert world.results.objects[KEY + ".out"].body == (b"a" if content == "equal" else b"c")
    assert owned_version(world) == world.inputs("input").objects[KEY].version_id


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_that_is_killed_before_it_withdraws_its_answer(world: World, *, after: bool) -> None:
    for blows_at in itertools.count(1):
        world = World()
        inputs, endpoint = world.inputs, world.endpoint

        def upload_again(world: World = world) -> None:
            world.another_worker().deliver(world.inputs.drop(KEY, b"A"), message_id="last")

        by_body(world, {b"A": Inference(b"a"), b"B": Inference(b"b")}, upload_again)
        world.deliver(inputs.drop(KEY, b"A"), message_id="first")
        older = inputs.drop(KEY, b"B")
        fuse = Fuse(blows_at, after=after)
        try:
            world.another_worker(fuse).deliver(older, message_id="second")
        except Killed:
            world.deliver(older, message_id="second", receive_count=2)
        newest = inputs("input").objects[KEY].version_id
        if any(call.body == b"B" for call in endpoint.calls) and newest != "v2":
            assert owned_version(world) == newest, f"killed at {fuse.passed}"
        if len(fuse.passed) < blows_at:
            return


def test_an_err_that_somebody_put_under_a_messages_name_does_not_hide_its_failure(world: World) -> None:
    key = "messages/i.err"
    run(world.results.put(key, b"{}", content_type=None, metadata={"sluice-identity": "another"}))
    world.endpoint.answer = lambda call: REFUSED
    assert world.deliver({"Body": "x", "InferenceId": "i"}).status is Status.DEAD_LETTERED
    assert len(world.queue.sent) == 1
    assert json.loads(world.results.objects[key].body)["InferenceId"] == "i"


def _without_sequencer(event: dict[str, Any]) -> dict[str, Any]:
    """As a backfill sends it."""
    del event["Records"][0]["s3"]["object"]["sequencer"]
    return event


@pytest.mark.parametrize("is_newer_backfilled", [True, False])
def test_a_backfilled_older_answer_does_not_replace_an_equal_newer_one(
    world: World, *, is_newer_backfilled: bool
) -> None:
    """An event without a sequencer does not say which upload is newer. The object does."""

    def upload_again() -> None:
        event = world.inputs.drop(KEY, b"A")
        newest = _without_sequencer(event) if is_newer_backfilled else event
        world.another_worker().deliver(newest, message_id="last")

    by_body(world, {b"A": Inference(b"a"), b"B": Inference(b"b")}, upload_again)
    world.deliver(world.inputs.drop(KEY, b"A"), message_id="first")
    older = _without_sequencer(world.inputs.drop(KEY, b"B"))
    assert world.deliver(older, message_id="second").status is Status.SUPERSEDED
    assert owned_version(world) == world.inputs("input").objects[KEY].version_id


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_an_equal_older_answer_that_was_written_several_times_is_withdrawn(
    world: World, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The responses to the first writes are lost. Their condition holds again, because all answers are equal."""
    put = world.results.put
    left = iter(range(lost))

    async def lose(key: str, body: bytes, **options: Any) -> str:
        written = await put(key, body, **options)
        if next(left, None) is not None:
            raise service_error(Operation.STORE_RESULT, "InternalError", status=500)
        return written

    def upload_again() -> None:
        world.another_worker().deliver(world.inputs.drop(KEY, b"A"), message_id="last")
        monkeypatch.setattr(world.results, "put", lose)

    by_body(world, {b"A": Inference(b"a"), b"B": Inference(b"a")}, upload_again)
    world.deliver(world.inputs.drop(KEY, b"A"), message_id="first")
    assert world.deliver(world.inputs.drop(KEY, b"B"), message_id="second").status is Status.SUPERSEDED
    assert next(left, None) is None, "each of them was lost"
    assert owned_version(world) == world.inputs("input").objects[KEY].version_id


def test_an_older_answer_that_replaces_an_even_older_one_stays_until_the_newest(world: World) -> None:
    """The newest upload fails: the answer to the one before it is the newest answer."""

    def upload_again() -> None:
        world.another_worker().deliver(world.inputs.drop(KEY, b"refused"), message_id="last")

    answers: dict[bytes, Answer] = {b"A": Inference(b"a"), b"B": Inference(b"b"), b"refused": REFUSED}
    by_body(world, answers, upload_again)
    world.deliver(world.inputs.drop(KEY, b"A"), message_id="first")
    world.deliver(world.inputs.drop(KEY, b"B"), message_id="second")
    assert world.results.objects[KEY + ".out"].body == b"b"
    assert KEY + ".err" in world.results.objects


# The .err is that of one request.


def test_two_failures_with_one_filename_have_two_errs(world: World) -> None:
    world.endpoint.answer = lambda call: REFUSED
    world.deliver({"Body": "x", "Filename": "r"}, message_id="first")
    world.deliver({"Body": "y", "Filename": "r"}, message_id="second")
    assert set(world.results.objects) == {"messages/first@r.err", "messages/second@r.err"}
    world.endpoint.answer = lambda call: Inference(b"ok")
    world.deliver({"Body": "z", "Filename": "r"}, message_id="third")
    assert set(world.results.objects) == {"messages/first@r.err", "messages/second@r.err", "files/r.out"}


@pytest.mark.parametrize("forged", [{"Filename": "order-7"}, {"Filename": "order-7", "Bodyy": "x"}])
def test_a_filename_touches_no_other_requests_outcome(world: World, forged: dict[str, str]) -> None:
    world.endpoint.answer = lambda call: REFUSED
    world.deliver({"Body": "x", "InferenceId": "order-7"}, message_id="victim")
    before = dict(world.results.objects)
    world.endpoint.answer = lambda call: Inference(b"ok")
    world.deliver({"Body": "x", **forged}, message_id="forged")
    assert before.items() <= world.results.objects.items()


_OUTCOMES = {"answered": "ok", "failed": "refused", "invalid": "ok"}


@pytest.mark.parametrize("names", [("first", "second"), ("first", ""), ("", "second")])
@pytest.mark.parametrize("first", _OUTCOMES)
@pytest.mark.parametrize("second", _OUTCOMES)
def test_messages_with_one_inference_id_and_different_filenames_have_an_outcome_each(
    world: World, first: str, second: str, names: tuple[str, str]
) -> None:
    """Or one of them none. And a redrive of one that failed removes its own `.err` alone."""
    world.endpoint.answer = lambda call: REFUSED if call.body == b"refused" else Inference(b"answer")
    messages = {}
    for name, kind in zip(names, (first, second), strict=True):
        message = {"Body": _OUTCOMES[kind], "InferenceId": "i"} | ({"Filename": name} if name else {})
        messages[name] = message | ({"Unknown": "x"} if kind == "invalid" else {})
        outcome = world.deliver(messages[name], message_id=f"message {name}", receive_count=3)
        assert outcome.status is (Status.SUCCEEDED if kind == "answered" else Status.DEAD_LETTERED)

    def outcomes() -> dict[str, str]:
        return {(owner_of(stored) or "").partition(" → ")[2]: key[-4:] for key, stored in stored_outcomes()}

    def stored_outcomes() -> list[tuple[str, Any]]:
        return list(world.results.objects.items())

    failed = [name for name, kind in zip(names, (first, second), strict=True) if kind != "answered"]
    assert len(stored_outcomes()) == len(outcomes()) == 2
    assert outcomes() == {name: ".err" if name in failed else ".out" for name in messages}
    assert len(world.queue.sent) == len(failed)
    world.endpoint.answer = lambda call: Inference(b"answer")
    for name in failed:
        messages[name].pop("Unknown", None)
        world.deliver(messages[name], message_id=f"{name}-again")
    assert outcomes() == dict.fromkeys(names, ".out")
    assert len(stored_outcomes()) == 2


def test_the_failure_of_an_older_version_does_not_replace_that_of_the_newer(world: World) -> None:
    def upload_again() -> None:
        world.another_worker().deliver(world.inputs.drop(KEY, b"refused"), message_id="newer")

    by_body(world, {b"B": REFUSED, b"refused": REFUSED}, upload_again)
    assert world.deliver(world.inputs.drop(KEY, b"B"), message_id="older").status is Status.SUPERSEDED
    assert world.err(KEY)["MessageId"] == "newer"
    assert len(world.queue.sent) == 1


def test_an_err_that_is_replaced_while_it_is_removed_stays(world: World) -> None:
    """The delete is conditional: the .err that was looked at may be another one by then."""
    world.endpoint.answer = lambda call: REFUSED
    world.deliver({"Body": "x", "InferenceId": "i"}, message_id="first")
    world.endpoint.answer = lambda call: Inference(b"ok")
    waiting = [None]

    def refuse(operation: str, key: str) -> None:
        if operation == "delete" and waiting:
            waiting.pop()
            stored = world.results.objects["messages/i.err"]
            newer = type(stored)(b"{}", None, {"sluice-identity": "another"}, "another etag")
            world.results.objects["messages/i.err"] = newer

    world.results.fail = refuse
    assert world.deliver({"Body": "x", "InferenceId": "i"}, message_id="second").status is Status.SUCCEEDED
    assert world.results.objects["messages/i.err"].etag == "another etag"


# Two effects: whoever finds the first finishes the second.


def test_a_success_after_an_acknowledged_failure_that_sqs_counts_as_the_first_receive(world: World) -> None:
    world.endpoint.answer = lambda call: REFUSED
    assert world.deliver({"Body": "x"}, receive_count=1).status is Status.DEAD_LETTERED
    world.endpoint.answer = lambda call: Inference(b"ok")
    assert world.deliver({"Body": "x"}, receive_count=1).status is Status.SUCCEEDED
    assert all(key.endswith(".out") for key in world.results.objects)


def test_a_worker_killed_at_its_last_receive_leaves_no_err_beside_the_answer(world: World) -> None:
    """The crashed function finds the answer, and removes the `.err` of an earlier failure."""
    world.endpoint.answer = lambda call: REFUSED
    world.deliver({"Body": "x", "InferenceId": "i"}, message_id="first")
    world.endpoint.answer = lambda call: Inference(b"ok")
    fuse = Fuse(5)  # head twice, invoke, put, and before the head that looks for the .err
    last: dict[str, Any] = {"message_id": "second", "receive_count": 3}
    with pytest.raises(Killed):
        world.another_worker(fuse).deliver({"Body": "x", "InferenceId": "i"}, **last)
    assert set(world.results.objects) == {"messages/i.out", "messages/i.err"}
    parsed = world.processor.parse(delivery({"Body": "x", "InferenceId": "i"}, **last))
    (outcome,) = world.processor.dead_letter_crashed(parsed)
    assert outcome.status is Status.DUPLICATE
    assert set(world.results.objects) == {"messages/i.out"}


# What has been paid for is not paid for again.


def test_a_refusal_is_not_called_again_while_the_dead_letter_queue_refuses(world: World) -> None:
    world.endpoint.answer = lambda call: REFUSED
    world.queue.fail_send = service_error(Operation.DEAD_LETTER, "InternalError", status=500)
    for number in (1, 2):
        assert world.deliver({"Body": "x"}, receive_count=number).status is Status.RETRY
    world.queue.fail_send = None
    outcome = world.deliver({"Body": "x"}, receive_count=3)
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.failure is not None
    assert outcome.failure.code == "ModelError"
    assert len(world.endpoint.calls) == 1
    assert world.dead_letter()[1]["OriginalStatusCode"] == "400"


def test_the_crashed_function_gives_the_recorded_reason(world: World) -> None:
    world.endpoint.answer = lambda call: THROTTLED
    world.queue.fail_send = service_error(Operation.DEAD_LETTER, "InternalError", status=500)
    world.deliver({"Body": "x"}, receive_count=3)
    world.queue.fail_send = None
    (outcome,) = world.processor.dead_letter_crashed(world.processor.parse(delivery({"Body": "x"}, receive_count=4)))
    assert outcome.failure is not None
    assert outcome.failure.code == "ThrottlingException"


def test_a_redrive_of_a_recorded_failure_is_called(world: World) -> None:
    world.endpoint.answer = lambda call: REFUSED
    world.deliver({"Body": "x"}, message_id="first", receive_count=2)
    body, reason = world.dead_letter()
    world.endpoint.answer = lambda call: Inference(b"ok")
    redriven = world.deliver(body, message_id="second", attributes=reason, receive_count=2)
    assert redriven.status is Status.SUCCEEDED
    assert set(world.results.objects) == {"messages/first.out"}


def test_a_refused_record_of_an_event_is_called_once_while_the_others_are_retried(world: World) -> None:
    throttled = [True]

    def answer(call: Call) -> Answer:
        if call.body == b"bad":
            return REFUSED
        return THROTTLED if throttled else Inference(b"ok")

    world.endpoint.answer = answer
    event = world.inputs.drop("invoke/bad.csv", b"bad")
    event["Records"] += world.inputs.drop("invoke/good.csv", b"good")["Records"]
    for number in (1, 2):
        statuses = {one.status for one in world.process(delivery(event, receive_count=number))}
        assert statuses == {Status.RETRY}
    throttled.clear()
    ended = world.process(delivery(event, receive_count=3))
    assert sorted(one.status for one in ended) == [Status.DEAD_LETTERED, Status.SUCCEEDED]
    assert sum(call.body == b"bad" for call in world.endpoint.calls) == 1
    assert set(world.results.objects) == {"invoke/bad.csv.err", "invoke/good.csv.out"}
    assert len(world.queue.sent) == 1


# Time.


def test_no_call_is_begun_when_reading_the_input_took_too_long(world: World) -> None:
    left = [90_000.0]

    def slow(bucket: str, key: str) -> None:
        left[0] -= 45_000

    world.inputs.fail = slow
    parsed = world.core.parse(delivery(world.inputs.drop(KEY)), lambda: left[0])
    (outcome,) = world.processor.process(parsed)
    assert outcome.status is Status.RETRY
    assert not world.endpoint.calls


def test_every_record_of_an_event_needs_the_time_of_a_call(world: World) -> None:
    left = [90_000.0]
    begun: list[float] = []

    def answer(call: Call) -> Inference:
        begun.append(left[0])
        left[0] -= 6_000
        return Inference(b"ok")

    world.endpoint.answer = answer
    event = world.inputs.drop("invoke/0")
    for number in range(1, 8):
        event["Records"] += world.inputs.drop(f"invoke/{number}")["Records"]
    world.processor.process(world.core.parse(delivery(event), lambda: left[0]))
    assert begun == [90_000, 84_000]


# A part that is stored and not announced.


def transform_with_one_part(**options: Any) -> tuple[Transforms, str]:
    world = Transforms(**options)
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    world.drop("transform/a.csv", b"1\n2\n", metadata={"answer-format": "Lines"})
    world.process(world.splits.bodies.pop())
    (part,) = world.requests.bodies
    world.requests.bodies.clear()
    return world, part


def test_an_announcement_that_is_refused_through_the_last_receive_is_a_failure_of_the_file() -> None:
    world, part = transform_with_one_part()
    send, refused = world.assemblies.send, service_error(Operation.SEND_PARTS, "AccessDenied", status=403)

    async def refuse(bodies: object) -> None:
        raise refused

    world.assemblies.send = refuse  # type: ignore[method-assign]
    ended = [world.process(part, receive_count=number)[0].status for number in (1, 2, 3)]
    assert ended == [Status.RETRY, Status.RETRY, Status.DEAD_LETTERED]
    assert "transform/a.csv.err" in world.results.objects
    ((body, _),) = world.dead_letters.sent

    world.assemblies.send = send  # type: ignore[method-assign]
    world.requests.bodies.append(body)
    world.run()
    assert world.out("transform/a.csv") == b"1\n2\n"
    assert "transform/a.csv.err" not in world.results.objects
    assert len(world.endpoint.calls) == 1, "the part was stored"


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_at_the_last_receive_of_the_last_part_leaves_an_outcome(*, after: bool) -> None:
    for blows_at in itertools.count(1):
        world, part = transform_with_one_part()
        fuse = Fuse(blows_at, after=after)
        try:
            world.process(part, fuse=fuse, receive_count=3)
        except Killed:
            one = world.processor()
            one.dead_letter_crashed(one.parse(delivery(part, receive_count=4, sender_id=FUNCTION)))
        world.run()
        kinds = {
            key for key in world.results.objects if key.startswith("transform/") and key.endswith((".out", ".err"))
        }
        assert len(kinds) == 1, f"killed at {fuse.passed}"
        assert len(world.dead_letters.sent) == sum(key.endswith(".err") for key in kinds)
        if len(fuse.passed) < blows_at:
            return


def test_a_stored_part_leaves_the_failure_of_another_part() -> None:
    world = Transforms()
    denied = service_error(Operation.INVOKE, "AccessDeniedException", status=403)
    world.endpoint.answer = lambda call: denied if b"bad" in call.body else Inference(call.body, "text/csv")
    world.drop("transform/a.csv", (b"bad" * 21 + b"\n") * 8192 + b"good\n")
    world.process(world.splits.bodies.pop())
    bad, good = world.requests.bodies
    world.process(good, message_id="good", receive_count=3)
    world.process(bad, message_id="bad", receive_count=3)
    before = world.results.objects["transform/a.csv.err"]
    one = world.processor()
    one.dead_letter_crashed(one.parse(delivery(good, message_id="good", receive_count=4, sender_id=FUNCTION)))
    assert world.results.objects["transform/a.csv.err"] == before


# What a sender forges changes no other request's outcome.


def forged(event: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of an S3 event, with changes of its object."""
    copy: dict[str, Any] = json.loads(json.dumps(event))
    described = copy["Records"][0]["s3"]["object"]
    for name, value in changes.items():
        described.pop(name) if value is None else described.update({name: value})
    return copy


FORGERIES: dict[str, dict[str, Any]] = {
    "no version": {"versionId": None, "sequencer": "FFFF"},
    "no version and no sequencer": {"versionId": None, "sequencer": None},
    "a version that is not": {"versionId": "made-up", "sequencer": "FFFF"},
    "the right version, another sequencer": {"sequencer": "FFFF"},
    "the right version, another ETag": {"eTag": "0", "sequencer": "0"},
}


@pytest.mark.parametrize("state", ["answered", "failed", "not delivered yet", "deleted"])
@pytest.mark.parametrize("changes", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_event_changes_no_outcome(world: World, changes: dict[str, Any], state: str) -> None:
    genuine = world.inputs.drop(KEY, b"A")
    by_body(world, {b"A": REFUSED if state == "failed" else Inference(b"a"), b"B": Inference(b"b")})
    if state != "not delivered yet":
        world.deliver(genuine, message_id="genuine")
    if state == "deleted":
        world.inputs("input").objects.pop(KEY)
    before = {key: stored for key, stored in world.results.objects.items() if key.startswith(KEY)}
    world.deliver(forged(genuine, **changes), message_id="forged", receive_count=3)
    if state != "not delivered yet" and "versionId" in changes:  # else it is a duplicate of the genuine event
        assert {key: stored for key, stored in world.results.objects.items() if key.startswith(KEY)} == before
    if state != "deleted":
        world.deliver(genuine, message_id="genuine", receive_count=2)
        suffix = ".err" if state == "failed" else ".out"
        assert {key for key in world.results.objects if key.startswith(KEY)} == {KEY + suffix}
    # Later uploads are answered, whatever sequencer the forged event had.
    world.deliver(world.inputs.drop(KEY, b"B"), message_id="later")
    assert {key for key in world.results.objects if key.startswith(KEY)} == {KEY + ".out"}
    assert world.results.objects[KEY + ".out"].body == b"b"


def test_a_forged_event_for_a_key_without_an_object_leaves_nothing_that_stays(world: World) -> None:
    event = forged(world.inputs.drop(KEY, b"A"), versionId="made-up", sequencer="FFFF")
    world.inputs("input").objects.pop(KEY)
    assert world.deliver(event, message_id="forged").status is Status.DEAD_LETTERED
    assert world.deliver(world.inputs.drop(KEY, b"A"), message_id="genuine").status is Status.SUCCEEDED
    assert set(world.results.objects) == {KEY + ".out"}


@pytest.mark.parametrize("version", ["v1", "made-up", None])
def test_only_the_newest_version_has_a_failure_in_a_function_that_does_not_take_it(version: str | None) -> None:
    """A function asks nobody whether a request is resolved whose kind it does not take: the object must confirm it."""
    world = World()
    event = forged(world.inputs.drop("transform/a.csv", b"A"), versionId=version)
    world.deliver(event, message_id="event", receive_count=3)
    spare = key_of_version("input", "transform/a.csv", event["Records"][0]["s3"]["object"]["sequencer"])
    names = {"v1": {"transform/a.csv.err"}, "made-up": set[str](), None: {f"messages/@{spare}.err"}}
    assert set(world.results.objects) == names[version]


# An object that may not be read fails as any other request: with an `.err` and a dead letter.


def forbid(world: World) -> None:
    def fail(operation: str, key: str) -> None:
        raise service_error(Operation.READ_INPUT, "AccessDenied", status=403)

    world.inputs("input").fail = fail


def allow(world: World) -> None:
    world.inputs("input").fail = lambda operation, key: None


def test_a_forbidden_object_has_its_failure(world: World) -> None:
    event = world.inputs.drop(KEY, b"A")
    forbid(world)
    assert world.deliver(event, message_id="genuine", receive_count=3).status is Status.DEAD_LETTERED
    assert world.err(KEY)["ErrorCode"] == "AccessDenied"
    assert len(world.queue.sent) == 1


@pytest.mark.parametrize("suffix", [".out", ".err"])
def test_an_event_of_a_forbidden_object_takes_no_outcome_that_is_there(world: World, suffix: str) -> None:
    genuine = world.inputs.drop(KEY, b"A")
    by_body(world, {b"A": Inference(b"a") if suffix == ".out" else REFUSED})
    world.deliver(genuine, message_id="genuine")
    before = world.results.objects[KEY + suffix]
    forbid(world)
    world.deliver(forged(genuine, versionId="made-up", sequencer="FFFF"), message_id="forged", receive_count=3)
    there = {key: stored for key, stored in world.results.objects.items() if key.startswith(KEY)}
    assert there == {KEY + suffix: before}


def test_a_delivery_that_succeeds_removes_the_err_under_the_spare_name(world: World) -> None:
    by_body(world, {b"A": Inference(b"a"), b"B": Inference(b"b")})
    world.deliver(world.inputs.drop(KEY, b"A"), message_id="first")
    event = world.inputs.drop(KEY, b"B")
    forbid(world)
    assert world.deliver(event, message_id="second", receive_count=3).status is Status.DEAD_LETTERED
    (spare,) = world.results.objects.keys() - {KEY + ".out"}
    version = world.inputs("input").objects[KEY].version_id
    assert spare == f"messages/@{key_of_version('input', KEY, version)}.err"
    allow(world)
    assert world.deliver(event, message_id="third").status is Status.SUCCEEDED
    assert set(world.results.objects) == {KEY + ".out"}
    assert world.results.objects[KEY + ".out"].body == b"b"


@pytest.mark.parametrize("killed_at", range(1, 12))
def test_a_recorded_failure_under_the_spare_name_is_the_reason_of_the_dead_letter(world: World, killed_at: int) -> None:
    by_body(world, {b"A": Inference(b"a")})
    world.deliver(world.inputs.drop(KEY, b"A"), message_id="first")
    event = world.inputs.drop(KEY, b"B")
    forbid(world)
    killed = world.another_worker(Fuse(killed_at))
    with suppress(Killed):
        killed.deliver(event, message_id="second", receive_count=3)
    world.processor.dead_letter_crashed(world.processor.parse(delivery(event, message_id="second", receive_count=4)))
    (spare,) = world.results.objects.keys() - {KEY + ".out"}
    document = json.loads(world.results.objects[spare].body)
    codes = {attributes["ErrorCode"].value for _, attributes in world.queue.sent}
    assert codes == {document["ErrorCode"]} <= {"AccessDenied", "Crashed"}


def test_the_failure_of_a_newer_version_stays_when_only_the_object_could_tell(world: World) -> None:
    """The object is gone, and the newer version's event had no sequencer."""
    world.endpoint.answer = lambda _: REFUSED
    older = world.inputs.drop(KEY, b"A")
    newer = world.inputs.drop(KEY, b"B")
    del newer["Records"][0]["s3"]["object"]["sequencer"]
    world.deliver(newer, message_id="newer", receive_count=3)
    before = world.results.objects[KEY + ".err"]
    world.inputs("input").objects.pop(KEY)
    world.deliver(older, message_id="older", receive_count=3)
    assert world.results.objects[KEY + ".err"] == before


def test_whether_an_object_is_there_is_asked_again_while_s3_fails(world: World) -> None:
    event = world.inputs.drop(KEY, b"A")
    by_body(world, {b"A": REFUSED})
    failing = iter([False, True, True])  # GetObject; HeadObject before the .err, and whether it may have the name

    def fail(operation: str, key: str) -> None:
        if next(failing, False):
            raise service_error(Operation.READ_INPUT, "SlowDown", status=503)

    world.inputs("input").fail = fail
    assert world.deliver(event, message_id="genuine", receive_count=3).status is Status.DEAD_LETTERED
    assert set(world.results.objects) == {KEY + ".err"}
