"""Reading the dead-letter queue: each message once, hidden from others only while it is read."""

from tests.support.redrive import DLQ, filled, reader


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
