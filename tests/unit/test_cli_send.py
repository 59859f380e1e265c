"""`sluice send` composes messages: the body arrives unchanged, and errors name the parameter."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import CliError, ExitCode
from cli.sending.message import body_parameter, check_message, compose, result_name, serialize
from sluice.failures import Failure
from sluice.inputs.envelopes import parse
from sluice.inputs.message import validate
from tests.support.fakes import SETTINGS

TEXTS = st.text() | st.from_regex(r"\s*[\[{].{0,40}", fullmatch=True)


@given(st.binary() | TEXTS.map(str.encode), st.sampled_from(["text/csv", "application/jsonlines", "image/png"]))
def test_any_bytes_arrive_unchanged(data: bytes, content_type: str) -> None:
    raw = {**body_parameter(data, content_type), "ContentType": content_type}
    (request,) = parse(serialize(raw, None))
    assert validate(request.raw).inline_body() == data  # type: ignore[union-attr]


@given(TEXTS.map(str.encode))
def test_text_without_a_content_type_arrives_unchanged_or_as_equal_json(data: bytes) -> None:
    try:
        raw = body_parameter(data, None)
    except Failure:
        assert json.loads(data) is not None, "only JSON that would be altered is refused"
        return
    sent = validate(raw).inline_body()
    assert sent == data or json.loads(sent) == json.loads(data)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_sqs_accepts_every_character_of_a_message(text: str) -> None:
    sent = serialize({"Body": text}, None)
    assert all(char in "\t\n\r" or 0x20 <= ord(char) <= 0xFFFD or ord(char) >= 0x10000 for char in sent)
    assert json.loads(sent) == {"Body": text}


@pytest.mark.parametrize(
    ("name", "data", "content_type", "parameters"),
    [
        ("a.csv", b"1,2", None, {"Body": "1,2", "ContentType": "text/csv"}),
        ("a.json", b'{"a": 1}', None, {"Body": {"a": 1}, "ContentType": "application/json"}),
        ("a.jsonl", b'{"a": 1}', None, {"Body": '{"a": 1}', "ContentType": "application/jsonlines"}),
        ("a.png", b"\x89PNG", None, {"BodyBase64": "iVBORw==", "ContentType": "image/png"}),
        ("a.json", b"1,2", "text/csv", {"Body": "1,2", "ContentType": "text/csv"}),
        ("a.csv", b"[1]", "application/x+json; charset=utf-8", {"Body": [1]}),
        ("a", b"[1, 2]", None, {"Body": [1, 2]}),
        ("a", b"[1, 2", None, {"Body": "[1, 2"}),
        ("a", b"null", None, {"Body": "null"}),
        ("<stdin>", b"{}", None, {"Body": {}}),
        ("a", b"a\0b", None, {"BodyBase64": "YQBi"}),
    ],
)
def test_the_content_type_decides_the_parameter(
    name: str, data: bytes, content_type: str | None, parameters: Any
) -> None:
    source = io.BytesIO(data)
    source.name = name
    raw = compose(None, source, None, {} if content_type is None else {"ContentType": content_type})
    assert raw.pop("InferenceId")
    assert parameters.items() <= raw.items()
    assert {"Body", "BodyBase64"} & set(raw) == {"Body", "BodyBase64"} & set(parameters)
    assert ("ContentType" in raw) == (content_type is not None or "ContentType" in parameters)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1, "a": 2}', "occurs twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json_that_would_be_altered_is_refused(body: str, says: str) -> None:
    with pytest.raises(Failure, match=f"Body: .*{says}"):
        compose(None, None, body, {})


def test_options_replace_parameters_of_a_whole_message(tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    file.write_text('{"Body": "x", "InferenceId": "kept", "Accept": "text/csv"}')
    raw = compose(f"@{file}", None, None, {"Accept": "application/json"})
    assert raw == {"Body": "x", "InferenceId": "kept", "Accept": "application/json"}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("{", "--message: is not JSON"),
        ("[]", "--message: must be a JSON object"),
        ("@/no/such", "--message: there is no file /no/such$"),
        ("@/", "--message: / can't be read: Is a directory"),
    ],
)
def test_the_error_names_a_message_that_cannot_be_read(message: str, says: str) -> None:
    with pytest.raises((CliError, Failure), match=says):
        compose(message, None, None, {})


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({}, "exactly one of the three"),
        ({"Body": "x", "TraceId": "a b"}, "TraceId: must be visible ASCII"),
        ({"Body": "x", "EndpointName": "wein"}, "EndpointName: is not one of this deployment's: wine, digits"),
        ({"InputLocation": "s3://elsewhere/a"}, "InputLocation: the bucket is not on"),
        ({"Body": "x" * 1001}, "Body: 1001 bytes are over the deployment's max_body_bytes"),
        ({"BodyBase64": "@"}, "BodyBase64: is not valid base64"),
    ],
)
def test_a_message_that_the_functions_would_reject_is_not_sent(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(Failure, match=says):
        check_message(raw, SETTINGS)


def test_without_settings_the_rules_of_the_message_are_checked() -> None:
    check_message({"Body": "x" * 1001, "EndpointName": "wein"}, None)
    with pytest.raises(Failure):
        check_message({"Body": "x", "Bod": 1}, None)


def test_the_error_for_a_message_over_the_limit_names_an_alternative() -> None:
    raw = {"Body": "ü" * 600}
    assert serialize(raw, len('{"Body":""}') + 1200)
    with pytest.raises(CliError, match="send it through S3") as raised:
        serialize(raw, len('{"Body":""}') + 1199)
    assert raised.value.exit_code == ExitCode.USAGE


def test_the_results_name_is_known_before_it_is_sent() -> None:
    raw = {"Body": "x", "InferenceId": "a b", "S3OutputPathExtension": "f", "Filename": "g.csv"}
    assert result_name(raw) == "files/f/g.csv"
    assert result_name({"Body": "x", "InferenceId": "a b"}) == "messages/a%20b"
