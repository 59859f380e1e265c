"""Dead letters: filters, groups, and the messages that a redrive sends for them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.dlq.dead_letter import REASON_ATTRIBUTES, DeadLetter
from cli.dlq.filters import Filter
from cli.dlq.groups import Groups
from cli.dlq.routing import MessageBuilder, parse_overrides, sender_attributes_in
from cli.errors import CliError
from cli.timefmt import format_utc
from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs import identity
from sluice.inputs.delivery import Delivery
from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, DroppedObject, SentMessage, TransformPart, TransformRetry
from sluice.processing.result import dead_letter_attributes
from tests.support.fakes import SETTINGS

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
FILE = DroppedObject(SETTINGS.input_bucket, "transform/wine/a.csv", 9, "v", None, "e")


def dead_letter(body: str = '{"Body": "1"}', minutes: int = 60, **attributes: str) -> DeadLetter:
    failed_at = (NOW - timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return DeadLetter("m", "r", body, NOW, {"ErrorCode": "ModelError", "FailedAt": failed_at, **attributes})


def builder(*changes: str, max_bytes: int = 1_040_384) -> MessageBuilder:
    return MessageBuilder(SETTINGS, lambda kind: f"{kind} queue", parse_overrides(changes), max_bytes)


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        (Filter(), True),
        (Filter(reasons=["Expired", "ModelError"]), True),
        (Filter(reasons=["Expired"]), False),
        (Filter(endpoint_name="wine"), True),
        (Filter(endpoint_name="digits"), False),
        (Filter(older_than=timedelta(minutes=59)), True),
        (Filter(older_than=timedelta(minutes=61)), False),
        (Filter(newer_than=timedelta(minutes=61)), True),
        (Filter(newer_than=timedelta(minutes=59)), False),
        (Filter(trace_id="t", inference_id="i"), True),
        (Filter(trace_id="t", inference_id="other"), False),
        (Filter(trace_id="other"), False),
    ],
)
def test_filters(criteria: Filter, matches: bool) -> None:
    assert criteria.matches(dead_letter(EndpointName="wine", TraceId="t", InferenceId="i"), NOW) is matches


def test_a_message_without_attributes_has_no_reason_and_the_age_of_the_queue() -> None:
    bare = DeadLetter("m", "r", "x", NOW - timedelta(hours=3), {"FailedAt": "yesterday"})
    assert bare.reason == "none"
    assert Filter(reasons=["none"], older_than=timedelta(hours=2)).matches(bare, NOW)


def test_groups_are_by_reason_and_endpoint_the_largest_first() -> None:
    groups = Groups()
    for minutes in (5, 9, 1):
        groups.add(dead_letter(EndpointName="wine", minutes=minutes, ErrorMessage=f"after {minutes}"))
    for reason in ("ModelError", "Expired", "Expired"):
        groups.add(dead_letter(ErrorCode=reason))
    rows = groups.rows()
    assert [(row["ErrorCode"], row["EndpointName"], row["Count"]) for row in rows] == [
        ("ModelError", "wine", 3),
        ("Expired", None, 2),
        ("ModelError", None, 1),
    ]
    printed = {"Oldest": format_utc(rows[0]["Oldest"]), "Newest": format_utc(rows[0]["Newest"])}
    assert printed == {"Oldest": "2026-11-25T11:51:00Z", "Newest": "2026-11-25T11:59:00Z"}
    assert rows[0]["Example"] == "after 5"
    assert groups.total == 6
    assert next((row["Oldest"], row["Newest"]) for row in groups.short_rows(NOW)) == ("9m ago", "60s ago")


def s3_event(*keys: str) -> str:
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
    places = [
        {"bucket": {"name": SETTINGS.input_bucket}, "object": {"key": key, "eTag": "e", "size": 1}} for key in keys
    ]
    return json.dumps({"Records": [{**record, "s3": place} for place in places]})


@pytest.mark.parametrize(
    ("body", "queue"),
    [
        ('{"Body": "1"}', "call queue"),
        ("not json", "call queue"),
        ('{"Event": "s3:TestEvent"}', "call queue"),
        (s3_event("invoke/a"), "call queue"),
        (s3_event("transform/a"), "file queue"),
        (s3_event("transform/a", "transform/b"), "file queue"),
        (s3_event("transform/a", "invoke/b"), "call queue"),
    ],
)
def test_each_kind_of_request_is_sent_to_its_queue_with_its_body_unchanged(body: str, queue: str) -> None:
    message = builder().build(dead_letter(body), {})
    assert (message.queue_url, message.body) == (queue, body)


@pytest.mark.parametrize("file", [FILE, replace(FILE, version_id=None), replace(FILE, sequencer="0A")])
@pytest.mark.parametrize(
    "request_of",
    [lambda file: TransformPart(file, 0, 9), lambda file: TransformPart(file, 2, 4, unpacked=True), Assembly],
)
def test_a_message_between_the_functions_becomes_a_retry_of_its_dataset(file: Any, request_of: Any) -> None:
    """Only the functions may send parts. The retry is of the same version, so that answers are kept."""
    message = builder().build(dead_letter(body_of(request_of(file)), InferenceId="part", TraceId="t"), {"Team": "blue"})
    assert (message.queue_url, message.attributes, message.is_shared) == ("file queue", {}, True)
    (retry,) = parse(message.body)
    assert isinstance(retry, TransformRetry)
    assert retry == TransformRetry(file)
    assert identity.of(retry, SETTINGS, dead_letter("")).key == identity.of_object(file, SETTINGS, dead_letter("")).key


@pytest.mark.parametrize("raw", [{"Body": "1"}, {"Body": "1", "InferenceId": "order-7"}, {"Body": 1, "TraceId": "t"}])
def test_a_redriven_message_is_the_same_request(raw: dict[str, Any]) -> None:
    def delivery(message_id: str, attributes: dict[str, str]) -> Delivery:
        sent = {name: {"stringValue": value} for name, value in attributes.items()}
        return Delivery(message_id, "r", json.dumps(raw), 1, NOW, None, sent)

    first = delivery("first", {})
    before = identity.of_message(SentMessage(raw), first)
    failure = Failure(failure_class=FailureClass.MODEL, code="ModelError", message="no")
    dead = dead_letter_attributes(before, failure, first, endpoint_name="wine", failed_at=NOW)
    dead_letter = DeadLetter("dead", "r", json.dumps(raw), NOW, {name: one.value for name, one in dead.items()})
    again = builder().build(dead_letter, {"Team": "blue"})
    after = identity.of_message(SentMessage(raw), delivery("second", dict(again.attributes)))
    assert (after.key, after.name, after.trace_id) == (before.key, before.name, before.trace_id)
    assert again.attributes == {"InferenceId": before.key, "TraceId": before.trace_id, "Team": "blue"}


def test_the_senders_attributes_are_added_while_there_is_room_and_never_replace_the_identity() -> None:
    own = {"InferenceId": "theirs", "ErrorCode": "theirs", **{f"Own{number}": "x" for number in range(20)}}
    dead = dead_letter(InferenceId="i", TraceId="t")
    attributes = builder().build(dead, own).attributes
    assert len(attributes) == 10
    assert attributes.items() >= {"InferenceId": "i", "TraceId": "t", "Own7": "x"}.items()
    size = builder().build(dead, {}).size
    assert builder(max_bytes=size + 20).build(dead, {"Long": "x" * 50, "S": "y"}).attributes.keys() == {
        "InferenceId",
        "TraceId",
        "S",
    }


def test_the_senders_attributes_are_those_in_the_document_that_are_text() -> None:
    assert sender_attributes_in({"MessageAttributes": {"Team": "blue", "Odd": None}}) == {"Team": "blue"}
    assert sender_attributes_in({}) == {}
    assert sender_attributes_in({"MessageAttributes": 7}) == {}


VERSION = identity.of_object(FILE, SETTINGS, dead_letter("")).key


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ('{"Body": "1", "InferenceId": "order 7"}', {"messages/order%207.err": "order 7"}),
        ('{"Body": "1", "S3OutputPathExtension": "f", "Filename": "x"}', {"messages/f/i@x.err": "i → x"}),
        ('{"Body": "1"}', {"messages/i.err": "i"}),
        ("not json", {"messages/i.err": "i"}),
        (
            body_of(TransformPart(FILE, 0, 9)),
            {"transform/wine/a.csv.err": VERSION, f"messages/@{VERSION}.err": VERSION},
        ),
        (s3_event("elsewhere/a.csv"), {}),
        ('{"Event": "s3:TestEvent"}', {}),
    ],
)
def test_the_err_of_a_dead_letter_and_its_owner(body: str, errors: dict[str, str]) -> None:
    assert {one.key: one.owner for one in builder().errors(dead_letter(body, InferenceId="i"))} == errors


def test_each_record_of_an_event_may_have_an_err() -> None:
    keys = ["invoke/a", "elsewhere/b", "transform/c", "invoke/a"]
    errors = builder().errors(dead_letter(s3_event(*keys)))
    named = [one.key for one in errors if not one.key.startswith("messages/")]
    assert named == ["invoke/a.err", "transform/c.err"]
    assert len(errors) == 2 * len(named), "each may have the spare name"
    assert len({one.owner for one in errors}) == 2


def test_overrides_change_parameters_and_keep_the_identity() -> None:
    dead = dead_letter('{"EndpointName": "wime", "EndpontName": 1, "Body": [1], "InferenceId": "i"}', InferenceId="i")
    changed = builder("EndpointName=wine", "EndpontName=", "RequestTTLSeconds=60").build(dead, {})
    assert json.loads(changed.body) == {
        "EndpointName": "wine",
        "Body": [1],
        "InferenceId": "i",
        "RequestTTLSeconds": 60,
    }
    assert changed.attributes == {"InferenceId": "i"}


def test_a_message_that_sqs_itself_moved_keeps_its_identity() -> None:
    """It has no attributes with a reason, and the ID by which it may have been answered."""
    moved = DeadLetter("m", "r", '{"Body": "1"}', NOW, {})
    assert builder().build(moved, {}).attributes == {"InferenceId": "m"}


@pytest.mark.parametrize(
    ("change", "body", "says"),
    [
        ("EndpointName=nosuch", '{"Body": "1"}', "not one of this deployment's"),
        ("Accept=é", '{"Body": "1"}', "Accept: must be visible ASCII"),
        ("Accept=text/csv", '{"Body": "1", "InputLocation": 5}', "InputLocation"),
        ("Accept=text/csv", r'{"Body": "cut emoji \ud83d"}', "message body: holds a lone surrogate"),
        ("Accept=text/csv", s3_event("invoke/a"), "only a sent message has parameters"),
        ("Accept=text/csv", "not json", "message body: is not JSON"),
    ],
)
def test_an_override_that_makes_the_message_invalid_raises(change: str, body: str, says: str) -> None:
    with pytest.raises(Failure) as raised:
        builder(change).build(dead_letter(body), {})
    assert says in raised.value.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("Endpoint=wine", "Endpoint is not a parameter"),
        ("EndpointName", "must be Key=value"),
        ("=wine", "must be Key=value"),
        ("InferenceId=x", "InferenceId can't be set"),
        ("TraceId=", "TraceId can't be set"),
        ("Filename=x", "it names the result"),
        ("Body=x", "another request"),
    ],
)
def test_parameters_that_cannot_be_overridden(change: str, says: str) -> None:
    with pytest.raises(CliError, match=says):
        parse_overrides((change,))


def test_the_reason_attributes_are_those_that_the_functions_add() -> None:
    failure = Failure(
        FailureClass.MODEL, "ModelError", "no", original_status_code=500, original_message="m", log_stream_arn="a"
    )
    delivery = Delivery("m", "r", "{}", 1, NOW, None, {})
    who = identity.of_message(SentMessage({}), delivery)
    attributes = dead_letter_attributes(who, failure, delivery, endpoint_name="wine", failed_at=NOW)
    assert set(attributes) == set(REASON_ATTRIBUTES)
