"""Stored metadata and attributes stay within the limits of S3 and SQS, regardless of their content."""

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.identity import Identity
from sluice.processing.result import MAX_MESSAGE_BYTES, dead_letter_attributes, error_document, metadata
from tests.support.fakes import NOW, delivery

IDENTITY = Identity("messages/i", "messages/i", "i", "i", "i", "trace", inference_id="i")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def failure(message: str = "13 features expected", original: str | None = None, arn: str | None = None) -> Failure:
    return Failure(
        FailureClass.MODEL,
        "ModelError",
        message,
        original_status_code=400,
        original_message=original,
        log_stream_arn=arn,
    )


def attributes(body: str = "{}", **how: str) -> dict[str, str]:
    made = dead_letter_attributes(
        IDENTITY, failure(**how), delivery(body, receive_count=2), endpoint_name="wine", failed_at=NOW
    )
    return {name: attribute.value for name, attribute in made.items()}


def test_the_reason_in_attributes() -> None:
    assert attributes(original="no", arn="arn:aws:logs:x") == {
        "ErrorCode": "ModelError",
        "ErrorMessage": "13 features expected",
        "OriginalStatusCode": "400",
        "OriginalMessage": "no",
        "LogStreamArn": "arn:aws:logs:x",
        "EndpointName": "wine",
        "TraceId": "trace",
        "InferenceId": "i",
        "Attempts": "2",
        "FailedAt": "2026-11-24T12:00:00.000Z",
    }


@given(TEXT, TEXT, st.integers(0, 3000))
def test_attributes_never_push_a_message_over_sqs_limits(message: str, original: str, left: int) -> None:
    body = "x" * (MAX_MESSAGE_BYTES - left)
    made = dead_letter_attributes(
        IDENTITY, failure(message * 50, original * 50), delivery(body), endpoint_name="wine", failed_at=NOW
    )
    size = sum(len(n.encode()) + len(a.data_type) + len(a.value.encode()) for n, a in made.items())
    assert len(body) + size <= MAX_MESSAGE_BYTES
    assert len(made) <= 10
    assert all(attribute.value for attribute in made.values())


def test_attributes_for_a_redrive_are_truncated_last() -> None:
    made = attributes("x" * (MAX_MESSAGE_BYTES - 120), message="m" * 5000)
    assert {"ErrorCode", "InferenceId", "TraceId"} <= set(made)


def test_long_text_is_truncated_with_an_ellipsis() -> None:
    cut = attributes(message="é" * 5000)["ErrorMessage"]
    assert len(cut.encode()) <= 1024
    assert cut.endswith("é…")


@given(st.text())
def test_attributes_hold_only_characters_that_sqs_takes(message: str) -> None:
    value = attributes(message="m" + message)["ErrorMessage"]
    assert all(
        c in "\t\n\r" or 0x20 <= ord(c) <= 0xD7FF or 0xE000 <= ord(c) <= 0xFFFD or ord(c) > 0xFFFF for c in value
    )


def test_the_err_has_the_full_text_and_the_senders_attributes() -> None:
    document = json.loads(
        error_document(
            IDENTITY,
            failure("m" * 5000, "o" * 5000),
            delivery("{}", receive_count=2, attributes={"tenant": "blue"}),
            endpoint_name="wine",
            source="s3://input/invoke/a",
            failed_at=NOW,
        )
    )
    assert document == {
        "ErrorCode": "ModelError",
        "ErrorMessage": "m" * 5000,
        "FailureClass": "model",
        "OriginalStatusCode": 400,
        "OriginalMessage": "o" * 5000,
        "EndpointName": "wine",
        "TraceId": "trace",
        "InferenceId": "i",
        "MessageId": "11111111-1111-4111-8111-111111111111",
        "Attempts": 2,
        "FailedAt": "2026-11-24T12:00:00.000Z",
        "ReceivedAt": "2026-11-24T12:00:00.000Z",
        "Source": "s3://input/invoke/a",
        "MessageAttributes": {"tenant": "blue"},
    }


@given(st.lists(st.tuples(st.sampled_from("abcdef"), TEXT), unique_by=lambda pair: pair[0]))
def test_metadata_is_ascii_within_2_kb_and_reads_back(pairs: list[tuple[str, str]]) -> None:
    made = metadata([(name, value * 30) for name, value in pairs])
    assert sum(len(name) + len(value) for name, value in made.items()) <= 2048
    for name, value in made.items():
        assert value.isascii()
        assert value.isprintable()
        assert "  " not in value
        given_value = (dict(pairs)[name] * 30).strip()
        if not value.endswith("..."):
            assert unquote(value) == given_value


def test_the_first_metadata_is_not_truncated() -> None:
    made = metadata([("first", "1" * 64), ("long", "x" * 5000), ("last", "y")])
    assert made["first"] == "1" * 64
    assert made["long"].endswith("...")
    assert "last" not in made


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("Trace ID: abc", "Trace ID: abc"),
        ("100%", "100%25"),
        ("naïve", "na%C3%AFve"),
        ("a  b", "a%20%20b"),
        ("a\r\nx-amz-evil: 1", "a%0D%0Ax-amz-evil: 1"),
    ],
)
def test_metadata_values(value: str, stored: str) -> None:
    assert metadata([("name", value)]) == {"name": stored}
