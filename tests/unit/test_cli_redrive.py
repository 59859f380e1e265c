"""Redriving the dead-letter queue: an interruption loses no message and leaves none hidden."""

import itertools
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.dlq.redrive import RedriveReport
from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import DroppedObject, TransformPart, TransformRetry
from tests.support.queues import BEGAN, FakeSqs, Killed, Stored
from tests.support.redrive import DLQ, REQUESTS, S3, filled, ids, refusing, run, run_through_kills


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


def test_the_parts_of_a_dataset_are_sent_again_by_one_message() -> None:
    sqs = of_datasets(2, 25)
    report, _ = run(sqs)
    assert report == RedriveReport(sent=50)
    assert sqs.queues[DLQ] == []
    sent = [one for message in sqs.queues[REQUESTS] for one in parse(message.body)]
    keys = [one.file.key for one in sent if isinstance(one, TransformRetry)]
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
    run_through_kills(sqs, kills)
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
    run_through_kills(sqs, kills)
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
    s3 = S3(is_denied=True)
    sqs = filled(40)
    assert run(sqs, s3=s3)[0].sent == 40
    assert s3.asked <= 20 + 40, "the content and its tags by each thread, and a head each"


def run_killed_at(call: int) -> bool:
    """Run until a call of SQS that kills the command, and then to the end. Returns whether it was killed."""
    sqs, s3 = filled(12), S3({f"i{number}" for number in range(12)})

    def observe(action: str, message: Stored) -> bool:
        assert action != "send" or not s3.looks_failed(message.attributes["InferenceId"])
        return False

    sqs.refuse = observe
    run_through_kills(sqs, [call], s3)
    assert not any(s3.looks_failed(f"i{number}") for number in range(12))
    return sqs.deaths > 0


def test_no_failure_looks_like_the_outcome_from_before_its_request_is_sent() -> None:
    calls = next(call for call in itertools.count(1) if not run_killed_at(call))
    assert calls > 6, "to read, send and delete two batches"


def test_the_failure_of_a_request_that_is_not_sent_stays_the_outcome() -> None:
    sqs, s3 = filled(12), S3({f"i{number}" for number in range(12)})
    sqs.refuse = refusing("send", "i3")
    run(sqs, lambda dead_letter: dead_letter.attributes["InferenceId"] != "i4", s3=s3)
    assert {one for one in (f"i{number}" for number in range(12)) if s3.looks_failed(one)} == {"i3", "i4"}


@pytest.mark.parametrize(("owner", "team"), [(None, "blue"), ("another", None)])
def test_the_senders_attributes_are_sent_again_if_the_err_is_that_of_the_request(
    owner: str | None, team: str | None
) -> None:
    sqs = filled(2)
    run(sqs, s3=S3({"i0"}, owner=owner))
    sent = {one.attributes["InferenceId"]: one.attributes.get("Team") for one in sqs.queues[REQUESTS]}
    assert sent == {"i0": team, "i1": None}
