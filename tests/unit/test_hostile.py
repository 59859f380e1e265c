"""Attacks by a sender or dropper: each is rejected with a named error or has no effect."""

import base64
import json
from typing import Any

import pytest

from sluice.processing.outcome import Status
from tests.support.events import s3_event
from tests.support.fakes import World

KEY = "invoke/a.csv"
HALF: Any = "\ud800"  # of a surrogate pair

BINARY = bytes(range(255, 191, -1))  # its base64 has both characters in which the alphabets differ

MESSAGES = {
    "deep JSON": ('{"Body": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deeply"),
    "a key twice": ('{"EndpointName": "wine", "EndpointName": "digits", "Body": 1}', "occurs twice"),
    "a key twice, far inside": ('{"Body": {"a": [{"b": 1, "b": 2}]}}', "occurs twice"),
    "NaN": ('{"Body": NaN}', "NaN is not JSON"),
    "infinity by overflow": ('{"Body": 1e999}', "too large"),
    "an integer of 5,000 digits": ('{"Body": ' + "9" * 5000 + "}", "message body: "),
    "an endpoint off the list": ('{"Body": 1, "EndpointName": "payroll"}', "EndpointName: "),
    "a bucket off the list": ('{"InputLocation": "s3://payroll/2026.csv"}', "InputLocation: "),
    "a URL for a bucket": ('{"InputLocation": "https://lake/2026.csv"}', "InputLocation: "),
    "a way out of the prefix": ('{"Body": 1, "S3OutputPathExtension": "../invoke"}', "S3OutputPathExtension: "),
    "an absolute way out": ('{"Body": 1, "S3OutputPathExtension": "/invoke"}', "S3OutputPathExtension: "),
    "a way out by the file's name": ('{"Body": 1, "Filename": "../x"}', "Filename: "),
    "a header's end": (json.dumps({"Body": 1, "CustomAttributes": "a\r\nX-Amz-Target: b"}), "CustomAttributes: "),
    "a header's end in a type": (json.dumps({"Body": 1, "ContentType": "text/csv\nHost: b"}), "ContentType: "),
    "a line of the log": (json.dumps({"Body": 1, "TraceId": 'x\n{"message": "succeeded"}'}), "TraceId: "),
    "a full-width name": (json.dumps({"Body": 1, "EndpointName": "\uff57ine"}), "EndpointName: "),
    "a right-to-left ID": (json.dumps({"Body": 1, "InferenceId": "\u202egnp.7"}), "InferenceId: "),
    "a lone surrogate": ('{"Body": "\\ud800"}', "message body: holds a lone surrogate"),
    "a lone surrogate in a key": ('{"Body": 1, "\\uDFFF": 1}', "message body: holds a lone surrogate"),
    "a lone surrogate in the ID": ('{"Body": 1, "InferenceId": "\\ud800"}', "message body: holds a lone surrogate"),
    "a lone surrogate in an envelope": (
        '{"Type": "Notification", "TopicArn": "x", "Message": ' + json.dumps('{"Body": "\\ud83d"}') + "}",
        "Message (of the SNS envelope): holds a lone surrogate",
    ),
    **{
        f"a lone surrogate in an event's {name}": (json.dumps(s3_event(KEY, **{name: HALF})), "a lone surrogate")
        for name in ("version_id", "sequencer", "etag")
    },
    "base64 for URLs": (json.dumps({"BodyBase64": base64.urlsafe_b64encode(BINARY).decode()}), "BodyBase64: "),
    "base64 in lines": (json.dumps({"BodyBase64": base64.encodebytes(BINARY).decode()}), "BodyBase64: "),
    "base64 without padding": ('{"BodyBase64": "YQ"}', "BodyBase64: "),
    "base64 and something behind it": ('{"BodyBase64": "YQ==YQ=="}', "BodyBase64: "),
    "base64 of too much": (json.dumps({"BodyBase64": base64.b64encode(bytes(1001)).decode()}), "BodyBase64: "),
    "envelopes without end": (
        '{"Type": "Notification", "TopicArn": "x", "Message": '
        + json.dumps('{"detail-type": 1, "detail": {"x": 1}}')
        + "}",
        "a key is not a parameter",
    ),
}


@pytest.mark.parametrize("what", MESSAGES)
def test_a_message_is_refused_by_name_and_calls_nothing(what: str) -> None:
    body, says = MESSAGES[what]
    world = World()
    outcome = world.deliver(body)
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.error is None, "it was foreseen"
    letter, reason = world.dead_letter()
    assert letter == body
    assert reason["ErrorCode"] == "InvalidMessage"
    assert says in reason["ErrorMessage"]
    assert world.endpoint.calls == []
    assert all(key.startswith("messages/") and "\n" not in key for key in world.results.objects)


@pytest.mark.parametrize(
    "key", ["invoke/../secret", "invoke/a/./b", "invoke/a\nb", "invoke/\x00", "other/a.csv", "/invoke/a", "parts/x.out"]
)
def test_an_object_with_a_forbidden_key_is_rejected(key: str) -> None:
    world = World()
    outcome = world.deliver(world.inputs.drop(key))
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.error is None
    assert world.endpoint.calls == []
    assert all(name.startswith("messages/") for name in world.results.objects), "its .err is among the messages'"


@pytest.mark.parametrize("folder", ["\uff44igits", "DIGITS", "digits\u200b", "di\u0301gits", "digits ", "%64igits"])
def test_a_folder_that_only_looks_like_an_endpoint_chooses_none(folder: str) -> None:
    world = World()
    assert world.deliver(world.inputs.drop(f"invoke/{folder}/x.csv")).status is Status.SUCCEEDED
    assert [call.endpoint_name for call in world.endpoint.calls] == ["wine"], "the default"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("custom-attributes", "a\r\nb"),
        ("accept", "text/csv\nX: y"),
        ("endpoint-name", "payroll"),
        ("inference-id", "x" * 65),
        ("trace-id", "a b"),
    ],
)
def test_metadata_that_break_a_rule_are_refused_by_name(name: str, value: str) -> None:
    world = World()
    outcome = world.deliver(world.inputs.drop("invoke/wine/x.csv", metadata={name: value}))
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.error is None
    assert world.endpoint.calls == []
    assert world.dead_letter()[1]["ErrorCode"] == "InvalidMessage"
