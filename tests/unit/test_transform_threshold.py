"""ErrorThreshold: the verdict over a file, the calls that it saves, and one dead letter for each failure of a file."""

import json
from collections.abc import Callable

import pytest

import sluice.transform.options
import sluice.transform.splitter
from sluice.concurrency import sleep
from sluice.failures import Failure, Operation
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.bisect import PATIENCE
from sluice.transform.early_stop import enough_refused
from sluice.transform.options import Options
from sluice.transform.threshold import ErrorThreshold
from tests.support.fakes import FUNCTION, Answer, Call, Fuse, Killed, delivery, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
REFUSED = service_error(Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 400)


def refusing_x(call: Call) -> Answer:
    return REFUSED if b"x" in call.body else Inference(call.body, "text/csv")


@pytest.fixture
def world() -> Transforms:
    made = Transforms()
    made.endpoint.answer = refusing_x
    return made


def rows(count: int, is_bad: Callable[[int], bool]) -> bytes:
    return b"".join(b"%04d%b\n" % (number, b"x" if is_bad(number) else b"o") for number in range(count))


def code(world: Transforms) -> str | None:
    stored = world.results.objects.get(f"{KEY}.err")
    return json.loads(stored.body)["ErrorCode"] if stored else None


@pytest.mark.parametrize(
    ("text", "failed", "records", "exceeded"),
    [
        ("0", 0, 10, False),
        ("0", 1, 10, True),
        ("3", 3, 10, False),
        ("3", 4, 10, True),
        ("5%", 5, 100, False),
        ("5%", 6, 100, True),
        ("0.1%", 1, 1000, False),
        ("0.1%", 2, 1000, True),
        ("100%", 7, 7, False),
        ("0%", 1, 7, True),
    ],
)
def test_more_than_the_threshold_is_too_many(text: str, failed: int, records: int, exceeded: bool) -> None:
    threshold = ErrorThreshold.parse(text)
    assert threshold.is_exceeded(failed, records) is exceeded
    assert ErrorThreshold.parse(str(threshold)) == threshold


@pytest.mark.parametrize("text", ["", "5 %", "-1", "0.05", "101%", "100.1%", "1e3", "many", "5%%"])
def test_what_is_no_threshold_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(Failure) as raised:
        Options.from_metadata({"error-threshold": text}, {})
    assert raised.value.message == (
        "error-threshold: must be a number of records, such as 100, or a percentage of them, such as 5%"
    )


def test_the_deployment_has_a_default(world: Transforms) -> None:
    assert Options.from_metadata({}, {"ErrorThreshold": "5%"}).error_threshold == ErrorThreshold.parse("5%")
    assert Options.from_metadata({}, {"ErrorThreshold": 7}).error_threshold == ErrorThreshold.parse("7")
    assert not Options.from_metadata({}, {}).error_threshold.is_set


@pytest.mark.parametrize(
    ("threshold", "fails"), [("11", False), ("10", True), ("5%", False), ("4.9%", True), ("100%", False)]
)
def test_the_verdict_is_over_all_records_that_are_sent(world: Transforms, threshold: str, fails: bool) -> None:
    content = b"name\n" + rows(220, lambda number: number % 20 == 0) + b"\n\n\n"
    world.drop(KEY, content, metadata={"error-threshold": threshold, "csv-header": "true"})
    world.run(first_receive=1)
    assert (f"{KEY}.out" in world.results.objects) is not fails
    assert code(world) == ("ErrorThresholdExceeded" if fails else None)
    summary = world.summary(KEY)
    assert (summary["records"], summary["failed"], summary["not_sent"]) == (224, 11, 4)
    if fails:
        (sent,) = world.dead_letters.sent
        assert f"11 of 220 records failed, ErrorThreshold is {threshold}; line 2: ModelError" in (
            sent[1]["ErrorMessage"].value
        )
        folder = summary["answers"]
        kept = b"".join(
            world.results.objects[key].body
            for key in sorted(world.results.objects)
            if key.startswith(folder) and key.endswith(".out")
        )
        assert kept.split() == [line for line in content.split()[1:] if b"x" not in line]


def test_a_file_of_one_part_fails_by_its_threshold(world: Transforms) -> None:
    world.drop(KEY, b"1\nx\n2\n", metadata={"error-threshold": "0"})
    world.run()
    assert code(world) == "ErrorThresholdExceeded"
    assert len(world.dead_letters.sent) == 1


@pytest.mark.parametrize(("threshold", "allowed"), [("40", 40), ("5%", 200)])
@pytest.mark.parametrize("every", [2, 9])
@pytest.mark.parametrize("at_once", [1, 4])
def test_a_broken_model_is_not_called_for_the_rest_of_the_file(
    world: Transforms, threshold: str, allowed: int, every: int, at_once: int
) -> None:
    async def slow(call: Call) -> Answer:
        await sleep(1)
        return refusing_x(call)

    world.endpoint.answer = slow
    world.drop(KEY, rows(4000, lambda number: number % every == 0), metadata={"error-threshold": threshold})
    world.process(world.splits.bodies.pop())
    world.at_once(at_once)
    world.run()
    assert code(world) == "ErrorThresholdExceeded"
    summary = world.summary(KEY)
    refused = {call.body for call in world.endpoint.calls if b"x" in call.body and call.body.count(b"\n") == 1}
    bound = allowed + at_once * enough_refused(ErrorThreshold.parse(threshold), 67)
    assert allowed < summary["failed"] <= bound
    assert len(refused) <= bound
    assert summary["untried"] > 0
    assert summary["records"] == 4000
    assert summary["succeeded"] + summary["failed"] + summary["not_sent"] + summary["untried"] == 4000
    assert len(world.dead_letters.sent) == 1
    assert [error["Line"] for error in world.errors(KEY)] == sorted({error["Line"] for error in world.errors(KEY)})
    for error in world.errors(KEY):
        assert error["Record"] == f"{error['Line'] - 1:04d}x"


def test_a_file_whose_bad_records_come_first_is_not_stopped(world: Transforms) -> None:
    world.drop(KEY, rows(2000, lambda number: 10 <= number < 100), metadata={"error-threshold": "5%"})
    world.run(first_receive=1)
    assert code(world) is None
    assert world.summary(KEY)["failed"] == 90


def test_a_redrive_of_a_stopped_file_sends_what_has_no_answer(world: Transforms) -> None:
    content = rows(2000, lambda number: number % 2 == 0)
    world.drop(KEY, content, metadata={"error-threshold": "5%"})
    world.run(first_receive=1)
    answered = world.summary(KEY)["succeeded"]
    world.endpoint.calls.clear()
    world.endpoint.answer = lambda call: Inference(call.body, "text/csv")
    world.redrive()
    world.run(first_receive=1)
    assert world.out(KEY) == content
    assert code(world) is None
    assert world.errors(KEY) == []
    assert world.summary(KEY)["untried"] == 0
    sent = {line for call in world.endpoint.calls for line in call.body.split()}
    assert len(sent) == 2000 - answered


def test_a_stopped_file_that_fails_again_has_one_more_dead_letter(world: Transforms) -> None:
    world.drop(KEY, rows(2000, lambda number: number % 2 == 0), metadata={"error-threshold": "5%"})
    world.run(first_receive=1)
    calls = len(world.endpoint.calls)
    world.redrive()
    world.run(first_receive=1)
    assert code(world) == "ErrorThresholdExceeded"
    assert len(world.dead_letters.sent) == 1
    assert len(world.endpoint.calls) - calls <= 2 * calls


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of what a kill leaves unawaited
def test_kills_leave_the_same_verdict(world: Transforms) -> None:
    world.drop(KEY, rows(300, lambda number: number % 2 == 0), metadata={"error-threshold": "10%"})
    world.process(world.splits.bodies.pop())
    bodies, world.requests.bodies = world.requests.bodies, []
    for number, body in enumerate(bodies):
        for step in (3, 5, 8, 12, 17, 23, 1000):
            try:
                world.process(body, fuse=Fuse(step + number, after=step % 2 == 0), message_id=f"{number}")
            except Killed:
                continue
            break
    world.run(first_receive=1)
    assert code(world) == "ErrorThresholdExceeded"
    assert f"{KEY}.out" not in world.results.objects


CONFIGURATION = service_error(Operation.INVOKE, "ValidationError", "Endpoint wine of account 1 not found.", status=400)
DENIED = service_error(Operation.INVOKE, "AccessDeniedException", status=403)


@pytest.mark.parametrize("error", [CONFIGURATION, DENIED, REFUSED], ids=lambda error: error.code)
@pytest.mark.parametrize("chunk", [400, 100_000])
def test_a_failure_of_the_model_is_one_dead_letter_and_a_redrive_runs_the_file(
    world: Transforms, monkeypatch: pytest.MonkeyPatch, error: Exception, chunk: int
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", chunk)
    content = rows(700, lambda number: False)
    world.endpoint.answer = lambda call: error
    world.drop(KEY, content)
    ended = world.run(first_receive=1)
    assert len(world.dead_letters.sent) == 1
    assert sum(outcome.status is Status.DEAD_LETTERED for outcome in ended) == 1
    assert code(world) == world.dead_letters.sent[0][1]["ErrorCode"].value
    world.endpoint.answer = refusing_x
    world.redrive()
    world.run(first_receive=1)
    assert world.out(KEY) == content
    assert code(world) is None


def test_each_run_that_fails_has_its_dead_letter(world: Transforms) -> None:
    world.endpoint.answer = lambda call: DENIED
    world.drop(KEY, rows(700, lambda number: False))
    world.run()
    for _ in range(2):
        world.redrive()
        assert not world.dead_letters.sent
        world.run()
        assert len(world.dead_letters.sent) == 1
    assert code(world) == "AccessDeniedException"


def test_parts_that_are_not_readable_are_one_dead_letter(world: Transforms) -> None:
    key = "transform/wine/requests.jsonl"
    request = b'{"custom_id": "%d", "method": "POST", "url": "/v1/x", "body": {}}\n'
    world.drop(key, b"".join(request % number for number in range(100)))
    world.process(world.splits.bodies.pop())
    assert len(world.requests.bodies) > 1
    for name in [name for name in world.results.objects if name.endswith("openai-batch.json")]:
        del world.results.objects[name]
    world.run()
    assert len(world.dead_letters.sent) == 1
    assert json.loads(world.results.objects[key + ".err"].body)["ErrorCode"] == "InvalidMessage"


def test_a_killed_claim_is_finished_by_its_own_message(world: Transforms) -> None:
    """Whichever operation the worker is killed at: the file's failure has its dead letter when all messages ended."""
    for step in range(1, 60):
        one = Transforms()
        one.endpoint.answer = lambda call: DENIED
        one.drop(KEY, rows(150, lambda number: False))
        one.process(one.splits.bodies.pop())
        first, *others = one.requests.bodies
        one.requests.bodies.clear()
        done = False
        try:
            one.process(first, fuse=Fuse(step, after=step % 2 == 0), message_id="first", receive_count=3)
            done = True
        except Killed:
            pass
        for number, body in enumerate(others):
            one.process(body, message_id=f"{number}", receive_count=3)
        if not done:
            processor = one.processor()
            message = delivery(first, message_id="first", receive_count=4, sender_id=FUNCTION)
            processor.dead_letter_crashed(processor.parse(message))
        assert code(one) is not None, step
        assert one.dead_letters.sent, step
        if done:
            return


def test_patience_is_the_least_that_is_stored_at_once() -> None:
    assert enough_refused(ErrorThreshold.parse("0"), 1000) == PATIENCE
    assert enough_refused(ErrorThreshold.parse("800"), 1000) == 100
    assert enough_refused(ErrorThreshold.parse("10%"), 1000) == 100
    assert enough_refused(ErrorThreshold.parse("100%"), 1000) == 4096


def test_what_a_part_finds_within_quotes_does_not_stop_the_file(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 40)
    monkeypatch.setattr(sluice.transform.splitter, "has_quotes", lambda beginning, delimiter: False)
    content = b"0,a\n" * 5 + b'1,"' + b"x\n" * 15 + b'"\n' + b"2,c\n" * 40

    def answer(call: Call) -> Answer:
        return REFUSED if call.body == b"x\n" else Inference(b"%d\n" % len(call.body), "text/csv")

    world.endpoint.answer = answer
    options = {"batch-strategy": "SingleRecord", "answer-format": "None", "error-threshold": "3"}
    world.drop(KEY, content, metadata=options)
    world.run(lambda waiting: waiting - 1)
    assert any(call.body == b"x\n" for call in world.endpoint.calls), "a part began within the quotes"
    assert world.out(KEY) == b"4\n" * 5 + b"35\n" + b"4\n" * 40
    assert not world.dead_letters.sent
