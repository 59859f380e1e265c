"""The scenarios: two or three deliveries of one request, one key, one name or one dataset."""

import json
from collections.abc import Callable, Iterator

from sluice.failures import Operation
from sluice.ports import Inference
from sluice.processing.result import SOURCE_VERSION
from tests.explorer.execution import Scenario, scenario
from tests.explorer.scenario import Run
from tests.support.fakes import SETTINGS, Answer, Call, service_error

REFUSED = service_error(Operation.INVOKE, "ModelError", original_status_code=400)
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")
KEY = "invoke/a.csv"


def _called_once(body: bytes) -> Callable[[Run], Iterator[str]]:
    """What the model has refused is not called again, unless a worker was killed before it recorded that."""

    def invariant(one: Run) -> Iterator[str]:
        made = sum(call.body == body for call in one.world.endpoint.calls)
        if made > 1 + any("killed" in line for line in one.steps.log):
            yield f"the model was called {made} times for {body.decode()}"

    return invariant


def _newest_answer(one: Run) -> Iterator[str]:
    """The `.out` is of the newest upload, unless that one failed."""
    newest = one.world.inputs("input").objects[KEY].version_id
    out = one.world.results.objects.get(KEY + ".out")
    has_failed = KEY + ".err" in one.world.results.objects
    if out is not None and not has_failed and out.metadata.get(SOURCE_VERSION) != newest:
        yield f"{KEY}.out is of {out.metadata.get(SOURCE_VERSION)}, and the newest upload is {newest}"


def _twice(*answers: Answer) -> Callable[[Run], None]:
    """One message that two functions receive at the same time."""

    def build(one: Run) -> None:
        one.answers[b"x"] = list(answers)
        message = one.message({"Body": "x"}, "message")
        one.deliver("first", message)
        one.deliver("second", message)

    return build


def _counted_as_first(*answers: Answer) -> Callable[[Run], None]:
    """SQS delivers a message twice, and counts both as the first receive."""

    def build(one: Run) -> None:
        one.answers[b"x"] = list(answers)
        message = one.message({"Body": "x"}, "message")
        one.deliver("first", message)
        one.deliver("again", message, counts=False)

    return build


def _one_id(*answers: Answer) -> Callable[[Run], None]:
    """Two messages with one InferenceId: the same request, sent twice."""

    def build(one: Run) -> None:
        one.answers[b"x"] = list(answers)
        for name in ("one", "two"):
            one.deliver(name, one.message({"Body": "x", "InferenceId": "50% off"}, name))

    return build


def _one_filename(first: Answer, second: Answer) -> Callable[[Run], None]:
    """Two requests with one Filename."""

    def build(one: Run) -> None:
        one.answers |= {b"x": [first], b"y": [second]}
        for name, body in (("one", "x"), ("two", "y")):
            one.deliver(name, one.message({"Body": body, "Filename": "f"}, name))

    return build


def _id_with_and_without_filename(one: Run) -> None:
    """Two messages with one InferenceId, one of them with a Filename."""
    one.answers |= {b"x": [REFUSED], b"y": [REFUSED]}
    one.deliver("one", one.message({"Body": "x", "InferenceId": "i", "Filename": "a"}, "one"))
    one.deliver("two", one.message({"Body": "y", "InferenceId": "i"}, "two"))


def _unreadable(*answers: Answer) -> Callable[[Run], None]:
    """A new upload could not be read, so that its `.err` is beside the older answer. Its event comes twice again."""

    def build(one: Run) -> None:
        one.answers |= {b"A": [OK_A], b"B": list(answers)}
        one.world.deliver(one.world.inputs.drop(KEY, b"A"), message_id="before")
        event = one.world.inputs.drop(KEY, b"B")
        one.world.inputs("input").fail = _denied
        one.world.deliver(event, message_id="unreadable", receive_count=SETTINGS.max_receive_count)
        one.world.inputs("input").fail = lambda operation, key: None
        one.world.endpoint.calls.clear()
        one.world.queue.sent.clear()
        message = one.message(event, "again")
        one.deliver("again", message)
        one.deliver("twice", message)
        one.invariants.append(_newest_answer)

    return build


def _denied(operation: str, key: str) -> None:
    raise service_error(Operation.READ_INPUT, "AccessDenied", status=403)


def _uploads(*contents: tuple[bytes, Answer], before: tuple[bytes, Answer] | None = None) -> Callable[[Run], None]:
    """Uploads of one key, one after another; each upload's event is delivered while the others are processed."""

    def build(one: Run) -> None:
        for body, answer in [*contents, *([before] if before else [])]:
            one.answers[body] = [answer]
        if before:
            one.world.deliver(one.world.inputs.drop(KEY, before[0]), message_id="before")
            one.world.endpoint.calls.clear()
            one.world.queue.sent.clear()
        for number, (body, _) in enumerate(contents, 1):
            one.upload(f"upload {number}", KEY, body)
        one.invariants.append(_newest_answer)

    return build


def _old_event_again(old: Answer, new: Answer) -> Callable[[Run], None]:
    """The event of an old upload is delivered once more, while that of the new one is processed."""

    def build(one: Run) -> None:
        one.answers |= {b"old": [old], b"new": [new]}
        event = one.world.inputs.drop(KEY, b"old")
        one.world.deliver(event, message_id="old")
        one.world.queue.sent.clear()
        again = one.message(event, "old")
        one.deliver("old again", again)
        one.deliver("new", one.message(one.world.inputs.drop(KEY, b"new"), "new"))
        one.invariants.append(_newest_answer)

    return build


def _backfilled(one: Run) -> None:
    """A backfill, whose event has no sequencer, sends an upload. A newer one is answered as the one before was."""
    one.answers |= {b"1": [OK_A], b"2": [OK_B], b"3": [OK_A]}
    one.world.deliver(one.world.inputs.drop(KEY, b"1"), message_id="before")
    event = one.world.inputs.drop(KEY, b"2")
    del event["Records"][0]["s3"]["object"]["sequencer"]
    one.deliver("backfill", one.message(event, "backfill"))
    one.upload("newer", KEY, b"3")
    one.invariants.append(_newest_answer)


def _equal(deliveries: int) -> Callable[[Run], None]:
    """An upload, the one before it and a newer one have equal answers. The newer one is answered during its first call.

    The event of the upload is delivered as often as `deliveries` says.
    """

    def build(one: Run) -> None:
        one.answers |= {b"1": [OK_A]}
        one.world.deliver(one.world.inputs.drop(KEY, b"1"), message_id="before")
        event = one.world.inputs.drop(KEY, b"2")
        uploads = iter(["newer"])

        async def answer(call: Call) -> Answer:
            if call.body == b"2" and (newer := next(uploads, None)):
                await one.upload_at_once(newer, KEY, b"3")
            return OK_A

        one.world.endpoint.answer = answer
        for number in range(deliveries):
            one.deliver(f"event {number}", one.message(event, f"event {number}"))
        one.invariants.append(_newest_answer)

    return build


def _redrive(one: Run) -> None:
    """A dead letter is redriven while SQS delivers the failed message once more."""
    one.answers[b"x"] = [REFUSED, Inference(b"ok")]
    failed = one.message({"Body": "x"}, "failed")
    one.world.deliver(failed.body, message_id="failed")
    (_, reason), *_ = one.world.queue.sent
    attributes = {name: attribute.value for name, attribute in reason.items()}
    one.deliver("once more", failed)
    one.deliver("redrive", one.message(failed.body, "redriven", attributes=attributes))


def _records(one: Run) -> None:
    """An S3 event with a record that the model refuses, and one that is throttled at first."""
    one.answers |= {b"bad": [REFUSED], b"good": [THROTTLED, Inference(b"ok")]}
    event = one.world.inputs.drop("invoke/bad.csv", b"bad")
    event["Records"] += one.world.inputs.drop("invoke/good.csv", b"good")["Records"]
    message = one.message(json.dumps(event), "event")
    one.deliver("first", message)
    one.invariants.append(_called_once(b"bad"))


def _last_receive(one: Run) -> None:
    """The last receive of a message whose request failed before, as another message."""
    one.answers[b"x"] = [REFUSED, Inference(b"ok")]
    one.world.deliver({"Body": "x", "InferenceId": "i"}, message_id="before")
    message = one.message({"Body": "x", "InferenceId": "i"}, "last", receives=2)
    one.deliver("last", message)


def _of(name: str, build: Callable[[Run], None]) -> Scenario:
    return scenario(name, Run, build)


OK_A, OK_B = Inference(b"a"), Inference(b"b")
SCENARIOS = {
    one.name: one
    for one in (
        _of("one-message-twice", _twice(OK_A)),
        _of("one-message-refused-then-answered", _twice(REFUSED, OK_A)),
        _of("one-message-answered-then-refused", _twice(OK_A, REFUSED)),
        _of("counted-as-first-refused-then-answered", _counted_as_first(REFUSED, OK_A)),
        _of("counted-as-first-answered-then-refused", _counted_as_first(OK_A, REFUSED)),
        _of("one-id-answered", _one_id(OK_A)),
        _of("one-id-refused-then-answered", _one_id(REFUSED, OK_A)),
        _of("one-id-refused", _one_id(REFUSED)),
        _of("one-filename-answered", _one_filename(OK_A, OK_B)),
        _of("one-filename-refused", _one_filename(REFUSED, REFUSED)),
        _of("one-filename-refused-and-answered", _one_filename(REFUSED, OK_B)),
        _of("one-id-with-and-without-filename", _id_with_and_without_filename),
        _of("unreadable-then-refused", _unreadable(REFUSED)),
        _of("unreadable-then-refused-and-answered", _unreadable(REFUSED, OK_B)),
        _of("unreadable-then-answered", _unreadable(OK_B)),
        _of("two-uploads-equal", _uploads((b"A", OK_A), (b"A", OK_A))),
        _of("two-uploads-different", _uploads((b"A", OK_A), (b"B", OK_B))),
        _of("two-uploads-the-newer-refused", _uploads((b"A", OK_A), (b"B", REFUSED))),
        _of("two-uploads-the-older-refused", _uploads((b"A", REFUSED), (b"B", OK_B))),
        _of("two-uploads-refused", _uploads((b"A", REFUSED), (b"B", REFUSED))),
        _of("three-uploads-a-b-a", _uploads((b"B", OK_B), (b"A", OK_A), before=(b"A", OK_A))),
        _of("old-event-again-new-answered", _old_event_again(OK_A, OK_B)),
        _of("old-event-again-new-refused", _old_event_again(OK_A, REFUSED)),
        _of("old-event-again-old-refused", _old_event_again(REFUSED, OK_B)),
        _of("backfilled-and-newer", _backfilled),
        _of("three-uploads-equal", _equal(1)),
        _of("three-uploads-equal-one-twice", _equal(2)),
        _of("redrive-while-running", _redrive),
        _of("records-of-one-event", _records),
        _of("last-receive", _last_receive),
    )
}
