"""Reading and redriving the dead-letter queue: an interruption loses no message and leaves none hidden."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from cli.dlq.dead_letter import DeadLetter
from cli.dlq.reader import Reader
from cli.dlq.redrive import ErrorDocuments, Redrive, RedriveReport
from cli.dlq.routing import MessageBuilder
from cli.sqs import RateLimit
from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import DroppedObject, TransformPart
from tests.support.fakes import SETTINGS
from tests.support.queues import BEGAN, FakeSqs, Killed, Stored

DLQ, REQUESTS = "dead", "requests"
BUILDER = MessageBuilder(SETTINGS, lambda kind: REQUESTS, {}, 1_040_384)


class S3:
    """GetObject fails: there is no `.err`, or access is denied."""

    def __init__(self, code: str = "NoSuchKey") -> None:
        self._code = code
        self.asked = 0

    def get_object(self, **_: Any) -> Any:
        self.asked += 1
        raise ClientError({"Error": {"Code": self._code}}, "GetObject")


def filled(count: int) -> FakeSqs:
    sqs = FakeSqs()
    for number in range(count):
        attributes = {"ErrorCode": "ModelError" if number % 3 else "Expired", "InferenceId": f"i{number}"}
        sqs.put(DLQ, json.dumps({"Body": number}), attributes, sent_at=BEGAN - timedelta(hours=1))
    return sqs


def reader(sqs: FakeSqs, seconds: int | None = 30) -> Reader:
    return Reader(cast("Any", sqs), DLQ, visibility_timeout=seconds)


def run(
    sqs: FakeSqs,
    is_selected: Callable[[DeadLetter], bool] = lambda _: True,
    *,
    limit: int | None = None,
    s3: S3 | None = None,
    on_sent: Callable[[int], None] = lambda _: None,
) -> tuple[RedriveReport, Reader]:
    errors = ErrorDocuments(cast("Any", s3 or S3()), "results", BUILDER)
    with reader(sqs) as reading:
        work = Redrive(cast("Any", sqs), reading, is_selected, BUILDER, errors, RateLimit(None), limit)
        return work.run(on_sent), reading


def ids(sqs: FakeSqs, queue: str) -> list[str]:
    return sorted(one.attributes["InferenceId"] for one in sqs.queues.get(queue, []))


def test_every_dead_letter_is_sent_with_its_body_and_identity_and_deleted() -> None:
    sqs = filled(25)
    report, _ = run(sqs)
    assert report == RedriveReport(sent=25)
    assert sqs.queues[DLQ] == []
    assert {(one.body, one.attributes["InferenceId"]) for one in sqs.queues[REQUESTS]} == {
        (json.dumps({"Body": number}), f"i{number}") for number in range(25)
    }


def of_datasets(datasets: int, parts: int) -> FakeSqs:
    sqs = FakeSqs()
    for start in range(parts):
        for number in range(datasets):
            file = DroppedObject("input", f"transform/{number}.csv", parts, f"v{number}", "0A", "e")
            sqs.put(DLQ, body_of(TransformPart(file, start, start + 1)), {"InferenceId": f"{number}/{start}"})
    sqs.pass_(60)
    return sqs


def test_the_parts_of_a_dataset_are_sent_again_by_one_event_of_it() -> None:
    sqs = of_datasets(2, 25)
    report, _ = run(sqs)
    assert report == RedriveReport(sent=50)
    assert sqs.queues[DLQ] == []
    keys = [one.key for sent in sqs.queues[REQUESTS] for one in parse(sent.body) if isinstance(one, DroppedObject)]
    assert sorted(keys) == ["transform/0.csv", "transform/1.csv"]


def test_parts_stay_when_the_event_of_their_dataset_is_not_accepted() -> None:
    sqs = of_datasets(2, 7)
    sqs.refuse = lambda action, message: action == "send" and "transform/1.csv" in message.body
    report, _ = run(sqs)
    assert (report.sent, len(report.rejected)) == (7, 7)
    assert len(sqs.queues[REQUESTS]) == 1
    assert {one.attributes["InferenceId"][0] for one in sqs.queues[DLQ]} == {"1"}


@given(st.lists(st.integers(1, 40), max_size=4))
def test_after_kills_no_dataset_is_lost(kills: list[int]) -> None:
    sqs = of_datasets(3, 9)
    for call in kills:
        sqs.dies_at = call
        try:
            run(sqs)
        except Killed:
            sqs.pass_(31)
        sqs.revive()
    run(sqs)
    assert sqs.queues[DLQ] == []
    assert {sent.body.partition("transform/")[2][:5] for sent in sqs.queues[REQUESTS]} == {"0.csv", "1.csv", "2.csv"}


def test_messages_that_are_not_selected_or_over_the_limit_are_made_visible_at_once() -> None:
    sqs = filled(40)
    report, _ = run(sqs, lambda dead_letter: dead_letter.reason == "Expired", limit=5)
    assert report.sent == 5
    assert len(sqs.visible(DLQ)) == 35
    assert all(one.body for one in sqs.queues[REQUESTS] if json.loads(one.body)["Body"] % 3 == 0)


@given(st.lists(st.integers(1, 40), max_size=4), st.integers(1, 45))
def test_after_kills_and_another_run_no_message_is_lost_and_the_queue_is_empty(kills: list[int], count: int) -> None:
    sqs = filled(count)
    for call in kills:
        sqs.dies_at = call
        try:
            run(sqs)
        except Killed:
            sqs.pass_(31)
        sqs.revive()
    run(sqs)
    assert sqs.queues[DLQ] == []
    sent = ids(sqs, REQUESTS)
    assert set(sent) == {f"i{number}" for number in range(count)}
    # A kill repeats at most one batch: the one that was sent and not deleted.
    assert len(sent) <= count + 10 * len(kills)


def test_messages_of_a_killed_reader_are_reported_until_they_are_visible() -> None:
    sqs = filled(30)
    sqs.dies_at = 5
    with pytest.raises(Killed):
        run(sqs)
    sqs.revive()
    report, reading = run(sqs)
    assert report.sent + reading.in_flight_elsewhere == 30 - 10
    assert reading.in_flight_elsewhere == 10
    sqs.pass_(31)
    assert run(sqs)[0].sent == 10


def test_an_interruption_makes_all_messages_visible() -> None:
    sqs = filled(30)

    def interrupt(_sent: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sqs, lambda dead_letter: dead_letter.reason == "Expired", on_sent=interrupt)
    assert len(sqs.visible(DLQ)) == len(sqs.queues[DLQ]) == 30 - len(sqs.queues[REQUESTS])


def refusing(action: str, inference_id: str) -> Callable[[str, Stored], bool]:
    return lambda asked, one: asked == action and one.attributes.get("InferenceId") == inference_id


def test_a_rejected_message_stays_and_is_reported() -> None:
    sqs = filled(12)
    sqs.refuse = refusing("send", "i3")
    report, _ = run(sqs)
    assert report.sent == 11
    assert list(report.rejected.values()) == ["InternalError: no"]
    assert [one.attributes["InferenceId"] for one in sqs.visible(DLQ)] == ["i3"]


def test_a_message_that_is_not_deleted_is_reported_and_sent_once_per_run() -> None:
    sqs = filled(12)
    sqs.refuse = refusing("delete", "i3")
    report, _ = run(sqs)
    assert report.sent == 12
    assert list(report.undeleted.values()) == ["InternalError: no"]
    assert ids(sqs, REQUESTS).count("i3") == 1
    assert ids(sqs, DLQ) == ["i3"]


@pytest.mark.parametrize("later", [0.0, 0.9, 5.0])
def test_a_request_that_fails_again_during_the_run_is_not_redriven_again(later: float) -> None:
    sqs = filled(25)

    def fail_again(_sent: int) -> None:
        sqs.now = BEGAN + timedelta(seconds=later)
        for one in sqs.queues.pop(REQUESTS, []):
            failed = {"ErrorCode": "ModelError", **one.attributes}
            sqs.put(DLQ, one.body, failed, sent_at=BEGAN + timedelta(seconds=later))

    report, _ = run(sqs, on_sent=fail_again)
    assert report.sent == 25
    assert len(sqs.visible(DLQ)) == 25


def test_after_access_is_denied_no_more_err_is_requested() -> None:
    s3 = S3("AccessDenied")
    sqs = filled(40)
    assert run(sqs, s3=s3)[0].sent == 40
    assert s3.asked <= 10


def test_each_message_is_read_once_and_hidden_only_during_reading() -> None:
    sqs = filled(95)
    with reader(sqs, None) as reading:
        received = [dead_letter.message_id for batch in reading.batches() for dead_letter in batch]
        assert sqs.visible(DLQ) == []
        assert (reading.depth, reading.in_flight_elsewhere, reading.unread) == (95, 0, 0)
    assert len(received) == len(set(received)) == 95
    assert len(sqs.visible(DLQ)) == 95


def test_a_visibility_timeout_that_is_too_short_ends_the_reading_and_is_reported() -> None:
    sqs = filled(300)
    sqs.call_seconds = 1
    received: set[str] = set()
    with reader(sqs, 5) as reading:
        for batch in reading.batches():
            assert not received & {dead_letter.message_id for dead_letter in batch}
            received |= {dead_letter.message_id for dead_letter in batch}
    assert len(received) < 300
    assert reading.unread >= 300 - len(received) - 50


def test_messages_of_other_consumers_are_reported() -> None:
    sqs = filled(20)
    sqs.receive_message(DLQ, 10, 600)
    with reader(sqs) as reading:
        assert sum(len(batch) for batch in reading.batches()) == 10
    assert reading.in_flight_elsewhere == 10
