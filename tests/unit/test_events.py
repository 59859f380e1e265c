"""Every form of a request."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.envelopes import parse
from sluice.inputs.requests import DroppedObject, Ignorable, SentMessage
from tests.support.events import event_bridge_event, s3_event, sns_envelope

MESSAGE = {"Body": "1,2,3"}
TEST_EVENT = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-24T12:00:00.000Z", "Bucket": "input"}


def read_one(body: object) -> Any:
    (request,) = parse(body if isinstance(body, str) else json.dumps(body))
    return request


def refused(body: object) -> str:
    with pytest.raises(Failure) as raised:
        read_one(body)
    assert raised.value.failure_class is FailureClass.INVALID
    return raised.value.message


@pytest.mark.parametrize(
    "body",
    [
        MESSAGE,
        sns_envelope(MESSAGE),
        {"version": "0", "detail-type": "Inference wanted", "source": "my.app", "detail": MESSAGE},
        sns_envelope({"detail-type": "Inference wanted", "source": "my.app", "detail": MESSAGE}),
        sns_envelope(sns_envelope({"detail-type": "Inference wanted", "source": "my.app", "detail": MESSAGE})),
    ],
)
def test_a_message_and_its_envelopes(body: object) -> None:
    assert read_one(body) == SentMessage(MESSAGE)


@pytest.mark.parametrize(
    "body",
    [
        s3_event("invoke/a b+ü.csv", version_id="v1", sequencer="0A", etag="e"),
        event_bridge_event("invoke/a b+ü.csv", version_id="v1", sequencer="0A", etag="e"),
        sns_envelope(s3_event("invoke/a b+ü.csv", version_id="v1", sequencer="0A", etag="e")),
        sns_envelope(event_bridge_event("invoke/a b+ü.csv", version_id="v1", sequencer="0A", etag="e")),
    ],
)
def test_a_dropped_object_in_all_its_forms_is_the_same(body: object) -> None:
    assert read_one(body) == DroppedObject("input", "invoke/a b+ü.csv", 5, "v1", "0A", "e")


@given(st.text(min_size=1).filter(lambda key: not key.endswith("/")))
def test_any_key_survives_the_notification(key: str) -> None:
    try:
        event = s3_event(key, etag="e")
    except UnicodeEncodeError:  # a lone surrogate is not a valid S3 key
        return
    assert read_one(event).key == key


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2", "2.6", "2.99"])
def test_any_event_version_2(version: str) -> None:
    event = s3_event("invoke/a", etag="e")
    event["Records"][0]["eventVersion"] = version
    assert read_one(event).key == "invoke/a"


def test_every_record_of_a_notification_counts() -> None:
    records = [s3_event(f"invoke/{n}", etag="e")["Records"][0] for n in range(3)]
    assert [a.key for a in parse(json.dumps({"Records": records})) if isinstance(a, DroppedObject)] == [
        "invoke/0",
        "invoke/1",
        "invoke/2",
    ]


@pytest.mark.parametrize("version_id", ["null", ""])
def test_a_bucket_without_versions_has_no_version_id(version_id: str) -> None:
    assert read_one(s3_event("invoke/a", version_id=version_id, sequencer="0A")).version_id is None


def test_quotes_around_an_etag_do_not_matter() -> None:
    assert read_one(event_bridge_event("invoke/a", etag='"e"')).etag == "e"


@pytest.mark.parametrize("body", [TEST_EVENT, sns_envelope(TEST_EVENT)])
def test_the_test_event_is_ignorable(body: object) -> None:
    assert read_one(body) == Ignorable("s3:TestEvent")


@pytest.mark.parametrize("make", [s3_event, event_bridge_event])
def test_a_folder_marker_is_ignorable_but_a_folder_with_content_is_not(make: Any) -> None:
    assert read_one(make("invoke/folder/", size=0, etag="e")) == Ignorable("folder marker")
    assert isinstance(read_one(make("invoke/folder/", size=3, etag="e")), DroppedObject)


def _broken(change: str, value: object) -> Any:
    event = s3_event("invoke/a", etag="e")
    event["Records"][0][change] = value
    return event


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("not json", "message body: is not JSON"),
        ("[1]", "message body: must be a JSON object"),
        ('"text"', "message body: must be a JSON object"),
        (sns_envelope("not json"), "Message (of the SNS envelope): is not JSON"),
        (sns_envelope([1]), "Message: must be a JSON object"),
        ({**sns_envelope(MESSAGE), "Message": MESSAGE}, "Message (of the SNS envelope): must be text"),
        ({"detail-type": "x", "source": "y", "detail": "text"}, "detail: must be a JSON object"),
        ({"Records": []}, "Records: List should have at least 1 item"),
        (_broken("eventName", "ObjectRemoved:Delete"), "Records.0.eventName: "),
        (_broken("eventVersion", "3.0"), "Records.0.eventVersion: "),
        (_broken("eventSource", "aws:ses"), "Records.0.eventSource: must be 'aws:s3'"),
        (_broken("s3", {"bucket": {"name": "b"}}), "Records.0.s3.object: must be given"),
        ({**event_bridge_event("a", etag="e"), "detail-type": "Object Deleted"}, "detail-type: must be"),
        (s3_event("invoke/a"), "neither versionId, sequencer nor eTag"),
        (sns_envelope(sns_envelope(sns_envelope(sns_envelope(MESSAGE)))), "is in more than 3 SNS or EventBridge"),
    ],
)
def test_refusals_name_the_field(body: object, says: str) -> None:
    assert says in refused(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "Records",
                        "Type",
                        "TopicArn",
                        "Message",
                        "detail",
                        "detail-type",
                        "source",
                        "s3",
                        "object",
                        "Event",
                    ]
                ),
                inner | st.sampled_from(["Notification", "aws.s3", "aws:s3", "Object Created"]),
            )
        ),
        max_leaves=15,
    )
)
def test_any_json_is_read_or_refused_by_name(body: object) -> None:
    try:
        assert parse(json.dumps(body))
    except Failure as failure:
        assert failure.failure_class is FailureClass.INVALID
        assert ": " in failure.message
