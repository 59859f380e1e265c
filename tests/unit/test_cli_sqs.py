"""SendMessageBatch within its limits, and the rate limit."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from cli.sqs import OutgoingMessage, RateLimit, send_messages


class Sqs:
    """Accepts batches as SQS does, and rejects the body `refuse`."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[Any]]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 - SQS's names
        assert 1 <= len(Entries) <= 10
        assert sum(len(entry["MessageBody"].encode()) for entry in Entries) <= 1024 * 1024
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        self.batches.append((QueueUrl, Entries))
        refused = [entry for entry in Entries if entry["MessageBody"] == "refuse"]
        return {"Failed": [{"Id": entry["Id"], "Code": "InternalError", "Message": "no"} for entry in refused]}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([1, 50_000, 1_000_000])), max_size=40))
def test_every_message_goes_once_to_its_queue_in_batches_that_sqs_takes(wanted: list[tuple[str, int]]) -> None:
    sqs = Sqs()
    messages = [OutgoingMessage(queue, f"{number:03}" + "x" * size) for number, (queue, size) in enumerate(wanted)]
    assert send_messages(cast("Any", sqs), messages) == {}
    sent = [(queue, entry["MessageBody"]) for queue, entries in sqs.batches for entry in entries]
    assert sorted(sent) == sorted((one.queue_url, one.body) for one in messages)


def test_rejected_messages_are_reported_by_their_index() -> None:
    messages = [OutgoingMessage("q", body) for body in ("a", "refuse", "b")]
    assert send_messages(cast("Any", Sqs()), messages) == {1: "InternalError: no"}


def test_a_messages_size_is_its_body_and_its_attributes_in_bytes() -> None:
    assert OutgoingMessage("q", "é", {"Team": "blue"}).size == 2 + len("Team") + len("String") + len("blue")


@given(st.floats(0.1, 500), st.lists(st.integers(1, 10), min_size=2, max_size=30))
def test_no_more_messages_are_sent_than_the_rate_limit_allows(per_second: float, batches: list[int]) -> None:
    now = [0.0]
    limit = RateLimit(per_second, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    for batch in batches:
        limit.wait(batch)
    assert now[0] >= sum(batches[:-1]) / per_second * 0.999
    assert 1 <= limit.batch_size <= max(1, per_second)
