"""docs/asyncapi.yaml is a valid AsyncAPI document, and has exactly the fields of the code."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Failure, Operation
from sluice.inputs import identity as identities
from sluice.inputs.envelopes import parse
from sluice.inputs.identity import Identity
from sluice.inputs.invocation import message_for
from sluice.inputs.message import PARAMETERS, Message, validate
from sluice.inputs.requests import DroppedObject
from sluice.keys import ERR, ERRORS, INVOKE_PREFIX, OUT, SUMMARY, TRANSFORM_PREFIX
from sluice.ports import Attribute, Inference
from sluice.processing.result import dead_letter_attributes, error_document
from sluice.transform.options import Options
from sluice.transform.threshold import ErrorThreshold
from tests.support.asyncapi import CHANNELS, DOCS, DOCUMENT, MESSAGES, RAW, check
from tests.support.fakes import NOW, SETTINGS, Call, World, delivery, service_error
from tests.support.transform import Transforms

ROOT = Path(__file__).parents[2]
OFFICIAL = json.loads((ROOT / "tests/data/asyncapi/3.0.0-without-id.json").read_text())
EXAMPLES = [(name, one) for name, message in MESSAGES.items() for one in message.get("examples", [])]
PARAMETERS_BY_METADATA = {field.replace("_", "-"): parameter for parameter, field in PARAMETERS.items()}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_it_is_an_asyncapi_document() -> None:
    jsonschema.Draft7Validator(OFFICIAL).validate(RAW)


def test_its_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert DOCUMENT["info"]["version"] == project["version"]


def test_each_channel_has_an_operation_and_each_message_a_channel() -> None:
    assert [operation["channel"] for operation in DOCUMENT["operations"].values()] == list(CHANNELS.values())
    assert {name for channel in CHANNELS.values() for name in channel["messages"]} == set(MESSAGES)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_are_valid(name: str, example: dict[str, Any]) -> None:
    check(MESSAGES[name]["payload"], example["payload"])
    check(MESSAGES[name].get("headers", {}), example.get("headers", {}))


@pytest.mark.parametrize("name", CHANNELS["requests"]["messages"])
def test_the_request_queue_accepts_the_documented_messages(name: str) -> None:
    for example in MESSAGES[name]["examples"]:
        (request,) = parse(json.dumps(example["payload"]))
        if isinstance(request, DroppedObject):
            assert (request.bucket, request.key, request.size) == ("my-bucket", "invoke/digits/7.png", 512)
        else:
            assert isinstance(validate(request.raw), Message)  # type: ignore[union-attr]


def test_the_requests_keys_and_attributes() -> None:
    assert set(MESSAGES["request"]["payload"]["properties"]) == set(PARAMETERS)
    headers = {"InferenceId": "order-7", "TraceId": "checkout-42"}
    assert set(MESSAGES["request"]["headers"]["properties"]) == set(headers)
    identity = identities.of_delivery(delivery("{}", attributes=headers))
    assert (identity.inference_id, identity.trace_id) == ("order-7", "checkout-42")


def test_addresses() -> None:
    addresses = {name: channel["address"].partition("/")[2] for name, channel in CHANNELS.items()}
    assert addresses["inputs"] == INVOKE_PREFIX + "{key}"
    assert addresses["datasets"] == TRANSFORM_PREFIX + "{key}"
    names = ("answers", "errors", "recordErrors", "summaries")
    assert [addresses[name] for name in names] == ["{name}" + end for end in (OUT, ERR, ERRORS, SUMMARY)]


def failure(message: str, original: str | None, arn: str | None, status: int | None = 400) -> Failure:
    return Failure(
        FailureClass.MODEL,
        "ModelError",
        message,
        original_status_code=status,
        original_message=original,
        log_stream_arn=arn,
    )


IDENTITY = Identity("messages/i", "messages/i", "i", "i", "i", "trace", inference_id="i")


def attributes(failed: Failure, endpoint_name: str | None = "wine") -> Mapping[str, Attribute]:
    return dead_letter_attributes(IDENTITY, failed, delivery("{}"), endpoint_name=endpoint_name, failed_at=NOW)


def test_a_dead_letters_attributes() -> None:
    documented = MESSAGES["deadLetter"]["headers"]["properties"]
    made = attributes(failure("m", "o", "arn:aws:logs:x"))
    assert set(documented) == set(made)
    numbers = {name for name, attribute in made.items() if attribute.data_type == "Number"}
    assert {name for name, schema in documented.items() if schema["type"] == "integer"} == numbers


FAILURES = st.builds(failure, TEXT, st.none() | TEXT, st.none() | TEXT, st.none() | st.integers(0, 599))
ENDPOINT_NAMES = st.sampled_from([None, "wine"])


@given(FAILURES, ENDPOINT_NAMES)
def test_any_dead_letters_attributes(failed: Failure, endpoint_name: str | None) -> None:
    made = attributes(failed, endpoint_name)
    values = {name: int(one.value) if one.data_type == "Number" else one.value for name, one in made.items()}
    check(MESSAGES["deadLetter"]["headers"], values)


def document(failed: Failure, endpoint_name: str | None = "wine", source: str | None = "s3://input/a") -> Any:
    arrived = delivery("{}", attributes={"tenant": "blue"})
    return json.loads(
        error_document(IDENTITY, failed, arrived, endpoint_name=endpoint_name, source=source, failed_at=NOW)
    )


@given(FAILURES, ENDPOINT_NAMES, st.sampled_from([None, "s3://input/a"]))
def test_any_err(failed: Failure, endpoint_name: str | None, source: str | None) -> None:
    check(MESSAGES["error"]["payload"], document(failed, endpoint_name, source))


def test_the_errs_fields_and_which_are_required() -> None:
    schema = json.loads((DOCS / "error.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(document(failure("m", "o", "arn:aws:logs:x")))
    assert set(schema["required"]) == set(document(failure("", None, None, None), None, None))
    assert schema["properties"]["FailureClass"]["enum"] == list(FailureClass)


@pytest.mark.parametrize("name", ["file", "dataset"])
def test_the_metadata_that_set_parameters(name: str) -> None:
    documented = set(MESSAGES[name]["headers"]["properties"])
    if name == "dataset":
        documented -= {field.replace("_", "-") for field in Options.model_fields}
    dropped = DroppedObject("input", "invoke/a", 1, "v1", None, None)
    for metadata in (field.replace("_", "-") for field in Message.model_fields):
        if metadata in documented:
            with pytest.raises(Failure, match=f"{metadata}: "):
                message_for(dropped, {metadata: "\x7f"}, SETTINGS)
        else:
            message_for(dropped, {metadata: "\x7f"}, SETTINGS)
    assert documented <= set(PARAMETERS_BY_METADATA)


def test_the_metadata_that_set_options() -> None:
    documented = MESSAGES["dataset"]["headers"]["properties"]
    for name, field in Options.model_fields.items():
        schema = documented[name.replace("_", "-")]
        default = str(field.default) if isinstance(field.default, ErrorThreshold) else field.default
        assert schema["default"] == getattr(default, "text", default)
        if "enum" in schema:
            assert schema["enum"] == list(get_args(field.annotation))
    most = documented["max-payload"]
    for value in (most["minimum"], most["maximum"]):
        assert Options.from_metadata({"max-payload": str(value)}, {}).max_payload == value
    for value in (most["minimum"] - 1, most["maximum"] + 1):
        with pytest.raises(Failure, match="max-payload"):
            Options.from_metadata({"max-payload": str(value)}, {})


def test_an_answers_metadata_and_their_order() -> None:
    world = World()
    world.endpoint.answer = lambda call: Inference(b"42", "text/plain", "AllTraffic", "echo", "session", "closed")
    world.deliver(world.inputs.drop("invoke/wine/a", metadata={"accept": "text/plain"}))
    stored = world.results.objects["invoke/wine/a.out"].metadata
    headers = MESSAGES["answer"]["headers"]
    check(headers, stored)
    assert list(stored) == list(headers["properties"]), "and what is cut first comes last"


def test_the_objects_of_a_transformed_file() -> None:
    def refuse_two(call: Call) -> Inference | Exception:
        if b"2" in call.body:
            return service_error(
                Operation.INVOKE, "ModelError", "no", status=424, original_status_code=400, original_message="no 2"
            )
        return Inference(call.body, "text/csv")

    world = Transforms()
    world.endpoint.answer = refuse_two
    key = "transform/wine/rows.csv"
    world.drop(key, b"1\n2\n3\n", metadata={"accept": "text/csv"})
    world.run()
    (error,) = world.errors(key)
    check(MESSAGES["recordError"]["payload"], error)
    assert set(error) == set(MESSAGES["recordError"]["payload"]["properties"]) - {"Id", "CustomId"}
    check(MESSAGES["summary"]["payload"], world.summary(key))
    stored = world.results.objects[f"{key}.out"].metadata
    check(MESSAGES["transformed"]["headers"], stored)
    assert set(stored) == set(MESSAGES["transformed"]["headers"]["properties"])


def test_the_errors_of_a_batch_file_name_its_requests() -> None:
    world = Transforms()
    key = "transform/wine/prompts.jsonl"
    request = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}
    world.drop(key, "\n".join(map(json.dumps, (request, request))).encode())
    world.run()
    *_, error = world.errors(key)
    check(MESSAGES["recordError"]["payload"], error)
    assert {"Id", "CustomId"} <= set(error)
    check(MESSAGES["summary"]["payload"], world.summary(key))
