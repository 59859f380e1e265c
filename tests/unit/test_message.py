"""The message: each rule has an error that names the field and what to do."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import botocore
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.message import PARAMETERS, Message, validate
from sluice.inputs.schema import render
from sluice.inputs.strict_json import load_json

SCHEMA = Path(__file__).parents[2] / "docs" / "message.schema.json"
MODEL = json.loads(
    gzip.decompress(
        (Path(botocore.__file__).parent / "data/sagemaker-runtime/2017-05-13/service-2.json.gz").read_bytes()
    )
)


def refused(raw: dict[str, Any]) -> str:
    with pytest.raises(Failure) as raised:
        validate(raw).inline_body()
    assert raised.value.failure_class is FailureClass.INVALID
    assert raised.value.code == "InvalidMessage"
    return raised.value.message


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("5.1,3.5\n", b"5.1,3.5\n"),
        ("", b""),
        ("é", "é".encode()),
        ({"a": [1, 2.5, None, True]}, b'{"a":[1,2.5,null,true]}'),
        ({"é": "日"}, '{"é":"日"}'.encode()),
        ([1, 2], b"[1,2]"),
        (None, b"null"),
        (False, b"false"),
    ],
)
def test_body_is_sent_verbatim_or_as_compact_json(body: object, sent: bytes) -> None:
    assert validate({"Body": body}).inline_body() == sent


@given(st.binary())
def test_base64_body(data: bytes) -> None:
    assert validate({"BodyBase64": base64.b64encode(data).decode()}).inline_body() == data


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({}, "Body, BodyBase64, InputLocation: exactly one of the three must be given; found none"),
        ({"Body": 1, "BodyBase64": "QQ=="}, "exactly one of the three must be given; found Body and BodyBase64"),
        ({"Body": None, "InputLocation": "s3://abc/d"}, "found Body and InputLocation"),
        ({"Body": 1, "Boddy": 1}, "message: a key is not a parameter; did you mean Body?"),
        ({"Body": 1, "content_type": "a"}, "message: a key is not a parameter; did you mean ContentType?"),
        ({"Body": 1, "Qqqq": 1}, "message: a key is not a parameter; known are EndpointName, Body"),
        ({"BodyBase64": "not base64!"}, "BodyBase64: is not valid base64"),
        ({"BodyBase64": "QQ=\n="}, "BodyBase64: is not valid base64"),
        ({"BodyBase64": "QQ"}, "BodyBase64: is not valid base64"),
        ({"BodyBase64": "_-__"}, "BodyBase64: is not valid base64"),
        ({"BodyBase64": None}, "BodyBase64: must not be null; leave the key out"),
        ({"Body": "\ud800"}, "Body: holds a lone surrogate"),
        ({"Body": {"a": "\ud800"}}, "Body: holds a lone surrogate"),
        ({"InputLocation": "https://abc/d"}, "InputLocation: must be s3://bucket/key"),
        ({"InputLocation": "s3://abc/"}, "InputLocation: must be s3://bucket/key"),
        ({"InputLocation": "s3://abc/" + "k" * 1020}, "InputLocation: must have at most 1024 characters"),
        ({"Body": 1, "EndpointName": "no_underscores"}, "EndpointName: must be letters and digits, with hyphens"),
        ({"Body": 1, "EndpointName": "e" * 64}, "EndpointName: must have at most 63 characters"),
        ({"Body": 1, "EndpointName": 7}, "EndpointName: must be a string"),
        ({"Body": 1, "CustomAttributes": "naïve"}, "CustomAttributes: must be visible ASCII"),
        ({"Body": 1, "CustomAttributes": "a\r\nX-Evil: 1"}, "CustomAttributes: must be visible ASCII"),
        ({"Body": 1, "CustomAttributes": "a" * 1025}, "CustomAttributes: must have at most 1024"),
        ({"Body": 1, "ContentType": "text/csv\n"}, "ContentType: must be visible ASCII"),
        ({"Body": 1, "Accept": " text/csv"}, "Accept: must be visible ASCII"),
        ({"Body": 1, "TraceId": "has space"}, "TraceId: must be visible ASCII without spaces"),
        ({"Body": 1, "TraceId": "t" * 65}, "TraceId: must have at most 64"),
        ({"Body": 1, "TraceId": ""}, "TraceId: must have at least 1"),
        ({"Body": 1, "InferenceId": ""}, "InferenceId: must have at least 1"),
        ({"Body": 1, "InferenceId": " a"}, "InferenceId: must be visible ASCII"),
        ({"Body": 1, "InferenceId": "i" * 65}, "InferenceId: must have at most 64"),
        ({"Body": 1, "SessionId": "-x"}, "SessionId: must be NEW_SESSION or letters"),
        ({"Body": 1, "S3OutputPathExtension": "../a"}, "S3OutputPathExtension: must be a relative path"),
        ({"Body": 1, "S3OutputPathExtension": "/a"}, "S3OutputPathExtension: must be a relative path"),
        ({"Body": 1, "S3OutputPathExtension": "a//b"}, "S3OutputPathExtension: must be a relative path"),
        ({"Body": 1, "S3OutputPathExtension": "a b"}, "S3OutputPathExtension: must be letters, digits"),
        ({"Body": 1, "Filename": "a.b.c"}, "Filename: must be letters, digits, - and _, with at most one dot"),
        ({"Body": 1, "Filename": "../up"}, "Filename: must be letters"),
        ({"Body": 1, "RequestTTLSeconds": "60"}, "RequestTTLSeconds: must be a whole number"),
        ({"Body": 1, "RequestTTLSeconds": 59}, "RequestTTLSeconds: must be at least 60"),
        ({"Body": 1, "RequestTTLSeconds": 21601}, "RequestTTLSeconds: must be at most 21600"),
    ],
)
def test_refusals_name_the_field_and_the_rule(raw: dict[str, Any], says: str) -> None:
    assert says in refused(raw)


def test_all_broken_rules_are_named_at_once() -> None:
    message = refused({"Body": 1, "Accept": "é", "Filename": "?"})
    assert "Accept: " in message
    assert "Filename: " in message


def test_a_reason_stays_short_however_much_is_wrong() -> None:
    message = refused(dict.fromkeys(list(PARAMETERS)[4:12], 1))
    assert message.count(": ") == 5
    assert message.endswith("; and 3 more")
    assert len(refused({f"key{n}": n for n in range(64)})) < 500
    assert len(refused({f"key{n}": n for n in range(1000)})) < 500


def test_a_deep_body_is_refused_with_the_field_and_the_rule_first() -> None:
    body: Any = 1
    for number in range(256):
        body = {f"private-{number}": body}
    with pytest.raises(Failure) as refused:
        validate({"Body": body})
    assert refused.value.message == "Body: is nested too deeply"


def test_refusals_do_not_repeat_unknown_keys() -> None:
    """A body that was sent as the message has keys of its own, which may be private."""
    assert "patient" not in refused({"patient": 1, "Body": 1})
    assert "2 keys are not parameters; did you mean Accept, Body?" in refused({"Boddy": 1, "Acept": 1, "Body": 1})


def test_refusals_do_not_repeat_values() -> None:
    secret = "s3cr3t-ü"
    message = refused({"Body": 1, "CustomAttributes": secret, "TraceId": secret, "EndpointName": secret})
    assert "s3cr3t" not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON: Expecting property name"),
        ("", "is not JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e400}', "too large"),
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        ('{"Body": {"b": {"c": 1, "c": 1}}}', "a key occurs twice"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "an integer has over 4300 digits"),
    ],
)
def test_what_is_not_json_is_refused(text: str, says: str) -> None:
    with pytest.raises(Failure, match=re.escape(says)):
        load_json(text, "message body")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES.filter(lambda value: not isinstance(value, str)))
def test_a_json_body_means_the_same_when_it_arrives(value: object) -> None:
    raw = load_json(json.dumps({"Body": value}), "message body")
    assert json.loads(validate(raw).inline_body()) == value


@given(st.dictionaries(st.sampled_from(sorted(PARAMETERS)) | st.text(max_size=8), JSON_VALUES, max_size=6))
def test_anything_is_a_message_or_a_named_refusal(raw: dict[str, Any]) -> None:
    try:
        body = validate(raw).inline_body() if "InputLocation" not in raw else validate(raw).input_location
    except Failure as failure:
        assert failure.failure_class is FailureClass.INVALID
        assert re.match(r"^.+?: .+", failure.message, re.DOTALL)
    else:
        assert body is not None


def test_every_parameter_of_invoke_endpoint_is_a_key() -> None:
    """A boto3 call's keyword arguments, as JSON, are a valid message."""
    assert set(MODEL["shapes"]["InvokeEndpointInput"]["members"]) <= set(PARAMETERS)


def test_additional_parameters_are_named_as_in_invoke_endpoint_async() -> None:
    added = set(PARAMETERS) - set(MODEL["shapes"]["InvokeEndpointInput"]["members"])
    theirs = set(MODEL["shapes"]["InvokeEndpointAsyncInput"]["members"])
    assert added - theirs == {"BodyBase64", "TraceId"}


def test_no_limit_is_wider_than_botocores() -> None:
    properties = json.loads(render())["properties"]
    for operation in ("InvokeEndpointInput", "InvokeEndpointAsyncInput"):
        for name, member in MODEL["shapes"][operation]["members"].items():
            shape = MODEL["shapes"][member["shape"]]
            if name == "Body" or name not in properties:
                continue
            ours = properties[name]
            if shape["type"] == "integer":
                assert (ours["minimum"], ours["maximum"]) == (shape["min"], shape["max"]), name
            else:
                assert ours["maxLength"] <= shape["max"], name
                assert ours.get("minLength", 0) >= (shape.get("min", 0) if name != "InputLocation" else 0), name


def test_the_schema_in_the_repository_is_the_models() -> None:
    assert SCHEMA.read_text() == render(), "run `make schema`"


@given(
    st.dictionaries(
        st.sampled_from(["Body", "BodyBase64", "InputLocation", "TraceId", "InferenceId", "Accept", "Filename"]),
        st.sampled_from(["QQ==", "s3://abc/d", "é", "", "a b", None, 3]),
    )
)
def test_the_schema_accepts_what_the_model_accepts(raw: dict[str, Any]) -> None:
    try:
        Message.model_validate(raw, by_alias=True, by_name=False)
        ours = True
    except ValueError:
        ours = False
    assert jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).is_valid(raw) == ours
