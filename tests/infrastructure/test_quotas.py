"""docs/quotas.md: its figures are those of the code, and what it derives from settings is what the settings give."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from cli import quotas
from infrastructure.lambda_constants import MAX_MESSAGE_BYTES
from infrastructure.queues import REASON_BYTES
from infrastructure.settings import Settings, SettingsError
from infrastructure.settings.names import fields
from infrastructure.sizes import MAX_ENVIRONMENT_BYTES, MAX_ROLE_POLICY_CHARACTERS
from infrastructure.stack import SluiceStack
from sluice.aws.pieces import PIECE

DOCS = (Path(__file__).parents[2] / "docs/quotas.md").read_text()
Resources = dict[str, list[dict[str, Any]]]
_LONG_NAME = 63
_OTHER_FUNCTIONS = 3 * 2  # split, assemble and crashed, each with the least MaximumConcurrency
_NAME = "x" * 100  # an upper estimate for what is known at deployment only


def rows(section: str) -> list[list[str]]:
    """The cells of the table in a section, without its header."""
    text = DOCS.partition(f"## {section}")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(text: str) -> float:
    return float(re.sub(r"[^\d.]", "", text))


@pytest.mark.parametrize("cells", rows("What comes first"), ids=lambda cells: cells[0])
def test_what_comes_first_is_what_the_settings_give(cells: list[str]) -> None:
    requests, functions, callers, minutes, latency = map(number, cells)
    settings = Settings.from_context({"endpoint_names": ["wine"], "concurrent_requests": int(requests)})
    assert callers == settings.maximum_concurrency + settings.maximum_part_concurrency
    assert functions == callers + _OTHER_FUNCTIONS
    assert minutes == round(quotas.seconds_to_scale(settings.maximum_concurrency) / 60, 1)
    assert latency == round(requests / quotas.results_a_second() * 1000)


def test_some_settings_exceed_the_concurrent_executions_and_some_do_not() -> None:
    functions = [number(cells[1]) for cells in rows("What comes first")]
    assert min(functions) < quotas.CONCURRENT_EXECUTIONS.value < max(functions)


def test_the_other_functions_are_those_of_the_template(resources: Resources) -> None:
    others = [one for one in resources["AWS::Lambda::EventSourceMapping"] if "Invoke" not in one["LogicalId"]]
    others = [one for one in others if "Part" not in one["LogicalId"]]
    assert sum(one["Properties"]["ScalingConfig"]["MaximumConcurrency"] for one in others) == _OTHER_FUNCTIONS


def test_the_retries_that_fill_a_queue() -> None:
    found = re.search(
        r"`retry.cap_seconds` (\d+), ([\d,]+)\s+retried deliveries a second reach it; with (\d+), ([\d,]+)", DOCS
    )
    assert found is not None
    for cap, rate in ((found[1], found[2]), (found[3], found[4])):
        assert number(rate) == round(quotas.retries_that_fill_a_queue(float(cap)))


def test_the_table_of_aws_is_that_of_the_code() -> None:
    listed = [(cells[0], cells[1], cells[2]) for cells in rows("The quotas of AWS")]
    assert listed == [(f"{one.value:,}{'+' if one.is_adjustable else ''}", one.of, one.source) for one in quotas.ALL]


def test_synth_checks_the_quotas_that_it_lists() -> None:
    assert quotas.ENVIRONMENT_BYTES.value == MAX_ENVIRONMENT_BYTES
    assert quotas.ROLE_POLICY_CHARACTERS.value == MAX_ROLE_POLICY_CHARACTERS


def _resolved(value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(one) for one in value]
    if isinstance(value, dict):
        if value.keys() == {"Fn::Join"}:
            separator, parts = value["Fn::Join"]
            return separator.join(_resolved(parts))
        if value.keys() in ({"Ref"}, {"Fn::GetAtt"}):
            return "123456789012" if str(value.get("Ref")).startswith("AWS::") else _NAME
        return {name: _resolved(one) for name, one in value.items()}
    return value


def _largest(resources: Resources, kind: str) -> int:
    sizes = []
    for resource in resources[kind]:
        properties = _resolved(resource["Properties"])
        if kind == "AWS::Lambda::Function":
            sizes.append(sum(len(name + one) for name, one in properties["Environment"]["Variables"].items()))
        else:
            sizes.append(len(json.dumps(properties["PolicyDocument"], separators=(",", ":"))))
    return max(sizes)


@pytest.mark.parametrize(
    ("what", "kind", "quota"),
    [
        ("environment of a function", "AWS::Lambda::Function", quotas.ENVIRONMENT_BYTES),
        ("inline policies of a role", "AWS::IAM::Policy", quotas.ROLE_POLICY_CHARACTERS),
        ("policy of a queue", "AWS::SQS::QueuePolicy", quotas.QUEUE_POLICY_BYTES),
    ],
)
def test_the_sizes_are_those_of_the_template(resources: Resources, what: str, kind: str, quota: quotas.Quota) -> None:
    (cells,) = [cells for cells in rows("Sizes") if cells[0] == what]
    assert number(cells[1].split(" ")[0]) == quota.value
    assert _largest(resources, kind) < number(cells[2])


def _synthesize(**given: Any) -> None:
    SluiceStack(cdk.App(), Settings.from_context({"endpoint_names": ["wine"]}, given))


def _names(number: int) -> list[str]:
    return [f"n{one:04}".ljust(_LONG_NAME, "x") for one in range(number)]


def _components(number: int) -> list[Any]:
    return [{"name": "wine", "inference_components": [name.capitalize() for name in _names(number)]}]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("endpoints", lambda number: {"endpoint_names": _names(number)}),
        ("buckets", lambda number: {"input_location_buckets": _names(number)}),
        ("inference components", lambda number: {"endpoint_names": _components(number)}),
    ],
)
def test_as_many_fit_as_it_says(words: str, given: Callable[[int], dict[str, Any]]) -> None:
    stated = re.search(rf"(\d+) {words}\b[^|]* whose names have {_LONG_NAME} characters", DOCS)
    assert stated is not None
    _synthesize(**given(int(stated[1])))
    with pytest.raises(SettingsError):
        _synthesize(**given(int(stated[1]) + 1))


_SUBNETS = [f"subnet-{one:017x}" for one in range(300)]
_GROUPS = [f"sg-{one:017x}" for one in range(300)]
_KEY = "arn:aws:kms:eu-west-1:111122223333:key/{:036x}"
_TOO_MUCH: dict[str, Any] = {
    "endpoint_names": _names(300),
    "endpoint_names: their inference_components": {"endpoint_names": _components(300)},
    "input_location_buckets": _names(300),
    "input_location_key_arns": {
        "input_location_buckets": ["lake"],
        "input_location_key_arns": [_KEY.format(one) for one in range(300)],
    },
    "senders.account_ids": {"senders": {"account_ids": [f"{one:012}" for one in range(300)]}},
    "network.subnet_ids": {"network": {"subnet_ids": _SUBNETS, "security_group_ids": _GROUPS[:1]}},
    "network.security_group_ids": {"network": {"subnet_ids": _SUBNETS[:1], "security_group_ids": _GROUPS}},
    "custom_attributes_template": "x" * 5000 + "{trace_id}",
    "transform": {"transform": {"AnswerFormat": "Columns:" + ",".join(_names(300))}},
}  # fmt: skip


def test_every_list_is_among_what_can_be_too_much() -> None:
    lists = {name for name, field in fields(Settings).items() if "list[" in str(field.annotation)}
    assert lists - set(_TOO_MUCH) == {"model_retry.statuses"}, "of which there are 200"


@pytest.mark.parametrize("setting", _TOO_MUCH)
def test_what_aws_would_refuse_is_refused_by_its_name(setting: str) -> None:
    given = _TOO_MUCH[setting]
    with pytest.raises(SettingsError, match=re.escape(f"sluice.{setting}")):
        _synthesize(**(given if isinstance(given, dict) else {setting: given}))


def test_an_environment_is_measured_as_json() -> None:
    """A quotation mark takes two bytes there, and four in the JSON of the files' defaults."""
    filters = {"InputFilter": "$" + '"' * 62, "OutputFilter": "$" + '"' * 62, "AnswerFormat": "Columns:" + '"' * 100}
    endpoints = _names(30)
    _synthesize(endpoint_names=endpoints, transform={"AnswerFormat": "Columns:" + "x" * 100})
    with pytest.raises(SettingsError, match=r"sluice\.endpoint_names"):
        _synthesize(endpoint_names=endpoints, transform=filters)


def test_the_sizes_of_bodies_are_those_of_the_code() -> None:
    sizes = {cells[0]: cells[1] for cells in rows("Sizes")}
    assert number(sizes["body of a request in a message"]) == MAX_MESSAGE_BYTES - REASON_BYTES
    default = Settings.from_context({"endpoint_names": ["wine"]}).max_body_bytes
    assert sizes["body of a call"] == f"max_body_bytes`, {default:,}"
    assert number(sizes["result of a file under `transform/"]) == quotas.UPLOAD_PARTS.value * PIECE
