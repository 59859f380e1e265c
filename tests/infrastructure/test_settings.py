"""Deployment settings: their values, what is derived from them, and the one line that a wrong value gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.settings import Settings, SettingsError
from infrastructure.settings.groups import Transform
from infrastructure.settings.names import MOVED, fields
from infrastructure.timeouts import CONTAINER_TIMEOUT_SECONDS
from tests.infrastructure.conftest import Synth

ENDPOINTS = {"endpoint_names": ["wine", "digits"]}
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
RECEIVES = "sluice.retry.max_receive_count"
ARN = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint"

# The settings that were flat before they were grouped.
OLD_NAMES = (
    "sender_accounts", "sender_organization", "read_timeout_seconds", "function_timeout_seconds",
    "visibility_timeout_seconds", "memory_mb", "max_receive_count", "retry_base_seconds", "retry_cap_seconds",
    "request_retention_days", "dead_letter_retention_days", "noncurrent_version_days", "part_retention_days",
    "log_retention_days", "log_level", "transport", "success_topic", "error_topic", "results_event_bridge",
    "snap_start", "vpc_subnet_ids", "security_group_ids", "alarm_topic", "alarm_email", "alarm_age_minutes",
    "alarm_backlog", "alarm_failures", "health_alarm",
)  # fmt: skip


def settings(**given: Any) -> Settings:
    return Settings.from_context(ENDPOINTS, given)


def nested(key: str, value: Any) -> dict[str, Any]:
    group, _, name = key.rpartition(".")
    return {group: {name: value}} if group else {name: value}


def test_cdk_json_is_enough() -> None:
    default = settings()
    assert default.default_endpoint == "wine"
    assert (default.concurrent_calls, default.maximum_concurrency) == (5, 2)
    assert (default.concurrent_part_calls, default.maximum_part_concurrency) == (5, 2)
    assert (default.timeouts.read_seconds, default.function_timeout, default.visibility_timeout) == (70, 90, 540)


@pytest.mark.parametrize(
    ("given", "invoke", "part"),
    [
        ({"concurrent_requests": 20}, (5, 2), (5, 2)),
        ({"concurrent_requests": 4}, (1, 2), (1, 2)),
        ({"concurrent_requests": 5}, (1, 3), (1, 2)),
        ({"concurrent_requests": 20, "concurrent_dataset_requests": 18}, (1, 2), (9, 2)),
        ({"concurrent_requests": 20, "concurrent_dataset_requests": 0}, (10, 2), None),
        ({"concurrent_requests": 3}, (1, 3), None),
        ({"concurrent_requests": 2}, (1, 2), None),
    ],
)
def test_datasets_have_their_share_of_the_concurrent_requests(
    given: dict[str, int], invoke: tuple[int, int], part: tuple[int, int] | None
) -> None:
    """Each as calls of a function, and functions at once."""
    found = settings(**given)
    assert (found.concurrent_calls, found.maximum_concurrency) == invoke
    assert bool(found.dataset_requests) == (part is not None)
    if part is not None:
        assert (found.concurrent_part_calls, found.maximum_part_concurrency) == part


def test_the_attempts_for_model_errors_are_within_the_receives() -> None:
    assert settings().model_attempts == 6
    assert settings(retry={"max_receive_count": 3}).model_attempts == 3
    assert settings(model_retry={"attempts": 9}).model_attempts == 9


def test_settings_of_the_command_line_take_precedence_as_json_or_as_an_object() -> None:
    assert Settings.from_context(ENDPOINTS, '{"batch_size": 3}').batch_size == 3
    assert Settings.from_context({**ENDPOINTS, "batch_size": 5}, {"batch_size": 3}).batch_size == 3
    assert [one.name for one in Settings.from_context(json.dumps(ENDPOINTS)).endpoints] == ["wine", "digits"]


def test_objects_are_merged_key_by_key_and_other_values_are_replaced() -> None:
    file = {
        **ENDPOINTS,
        "default_endpoint_name": "digits",
        "alarms": {"email": "a@b.c", "failures": 3},
        "transform": {"MaxPayload": 2, "CsvHeader": True},
    }
    command_line = {
        "endpoint_names": ["orders"],
        "default_endpoint_name": None,
        "alarms": {"failures": 4, "backlog": 5},
        "retry": {"cap_seconds": 60},
        "transform": {"MaxPayload": None},
    }
    merged = Settings.from_context(file, json.dumps(command_line))
    assert [one.name for one in merged.endpoints] == ["orders"], "a list is replaced as a whole"
    assert merged.default_endpoint == "orders"
    assert (merged.alarms.email, merged.alarms.failures, merged.alarms.backlog) == ("a@b.c", 4, 5)
    assert (merged.retry.base_seconds, merged.retry.cap_seconds) == (5, 60)
    assert merged.transform.model_dump(exclude_none=True) == {"CsvHeader": True}, "null takes a value of the file back"
    assert file["alarms"] == {"email": "a@b.c", "failures": 3}, "the objects that were given are not changed"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"endpoint_names": []}, 'sluice.endpoint_names: must name at least one endpoint, such as ["my-endpoint"]'),
        ({"endpoint_names": ["a b"]}, "sluice.endpoint_names.0: "),
        ({"endpoint_names": ["a", "a"]}, "sluice.endpoint_names: names an endpoint twice"),
        (
            {"default_endpoint_name": "x"},
            "sluice.default_endpoint_name: must be one of sluice.endpoint_names: wine, digits",
        ),
        (
            {"endpoint_names": ["a" * 64]},
            "sluice.endpoint_names.0: " + "a" * 64 + " has 64 characters; SageMaker allows 63",
        ),
        ({"endpoint_names": [{"name": "wine"}, "Wine"]}, "sluice.endpoint_names: names an endpoint twice"),
        (
            {"endpoint_names": [f"{ARN}/Wine", f"{ARN}/Digits".replace("eu-west-1", "us-east-1")]},
            "sluice.endpoint_names: are in several regions or accounts",
        ),
        (
            {"endpoint_names": ["digits", f"{ARN}/wine"]},
            f"sluice.endpoint_names.1: {ARN}/wine is not enough: SageMaker writes ARNs in lower case",
        ),
        (
            {"endpoint_names": [{"arn": f"{ARN}/wine"}]},
            "sluice.endpoint_names.0.name: is missing: the name of the endpoint, in its own upper and lower case",
        ),
        (
            {"endpoint_names": [{"name": "Digits", "arn": f"{ARN}/wine"}]},
            f"sluice.endpoint_names.0.arn: {ARN}/wine is not the ARN of Digits",
        ),
        ({"endpoint_names": [{"name": "Wine", "arn": "wine"}]}, "sluice.endpoint_names.0.arn: must be the ARN of an"),
        (
            {"endpoint_names": [{"name": "wine", "components": ["a"]}]},
            "sluice.endpoint_names.0.components: is no key of an endpoint; known are name, arn, inference_components",
        ),
        (
            {"endpoint_names": [{"name": "wine", "inference_components": ["-a"]}]},
            "sluice.endpoint_names.0.inference_components.0: must be the name of an inference component, such as my",
        ),
        ({"endpoint_names": [5]}, "sluice.endpoint_names.0: "),
        ({"endpoint_names": ["arn:aws:sagemaker:eu-west-1:1:endpoint/wine"]}, "sluice.endpoint_names.0: "),
        (
            {"max_body_bytes": 26_214_400, "function": {"memory_mb": 200}},
            "sluice.function.memory_mb: must be at least 210, so that a record of sluice.max_body_bytes fits",
        ),
        (
            {"alarms": {"age_minutes": 800}, "retention": {"request_days": 1}},
            "sluice.alarms.age_minutes: must be at most half of sluice.retention.request_days",
        ),
        ({"kms_key_arn": "alias/mine"}, "sluice.kms_key_arn: "),
        ({"model_retry": {"statuses": [500, 200]}}, "sluice.model_retry.statuses.1: must be HTTP statuses of a"),
        ({"model_retry": {"statuses": [429]}}, "sluice.model_retry.statuses.0: 429 is retried without being named"),
        ({"model_retry": {"statuses": ["500"]}}, "sluice.model_retry.statuses.0: Input should be a valid integer"),
        (
            {"model_retry": {"attempts": 4}, "retry": {"max_receive_count": 3}},
            "sluice.model_retry.attempts: must be at most sluice.retry.max_receive_count, 3",
        ),
        ({"network": {"subnet_ids": ["subnet-0a1b2c3d"]}}, "sluice.network.security_group_ids: is missing"),
        ({"network": {"security_group_ids": ["sg-0a1b2c3d"]}}, "sluice.network.subnet_ids: is missing"),
        (
            {"network": {"subnet_ids": ["0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}},
            "sluice.network.subnet_ids.0: ",
        ),
        (
            {"alarms": {"topic": "alarms"}},
            "sluice.alarms.topic: must be true for a topic of the stack's own, the ARN of a standard SNS topic, or",
        ),
        ({"alarms": {"email": "ops"}}, "sluice.alarms.email: "),
        (
            {"alarms": {"email": "a@b.c", "topic": TOPIC}},
            "sluice.alarms.email: leave it out where sluice.alarms.topic is an ARN",
        ),
        ({"alarms": {"enabled": False, "topic": True}}, "sluice.alarms.topic: needs alarms, which are off"),
        ({"alarms": {"enabled": False, "email": "a@b.c"}}, "sluice.alarms.email: needs alarms, which are off"),
        (
            {"custom_attributes_template": "{trace_id!z}"},
            "sluice.custom_attributes_template: must name its fields alone",
        ),
        (
            {"custom_attributes_template": "{trace_id:d}"},
            "sluice.custom_attributes_template: must name its fields alone",
        ),
        (
            {"custom_attributes_template": "x" * 961 + "{trace_id}"},
            "sluice.custom_attributes_template: must be shorter: SageMaker takes 1024 characters",
        ),
        ({"alarms": {"enabled": False, "composite": True}}, "sluice.alarms.composite: needs alarms, which are off"),
        ({"concurrent_requests": 1}, "sluice.concurrent_requests: Input should be greater than or equal to 2, not 1"),
        ({"concurrent_requests": "9"}, 'sluice.concurrent_requests: Input should be a valid integer, not "9"'),
        (
            {"concurrent_dataset_requests": 1},
            "sluice.concurrent_dataset_requests: must be 0, or from 2 to 18: sluice.concurrent_requests - 2, for other",
        ),
        (
            {"concurrent_requests": 10, "concurrent_dataset_requests": 9},
            "sluice.concurrent_dataset_requests: must be 0, or",
        ),
        (
            {"concurrent_requests": 3, "concurrent_dataset_requests": 2},
            "sluice.concurrent_dataset_requests: must be 0, because sluice.concurrent_requests is under 4",
        ),
        ({"input_location_buckets": ["Not_A_Bucket"]}, "sluice.input_location_buckets.0: "),
        ({"senders": {"account_ids": ["12345"]}}, "sluice.senders.account_ids.0: "),
        (
            {"senders": {"account_ids": [111122223333]}},
            "sluice.senders.account_ids.0: Input should be a valid string, not 111122",
        ),
        ({"senders": {"account_ids": ["111122223333"] * 2}}, "sluice.senders.account_ids: names an account twice"),
        ({"senders": {"organization_id": "a1b2c3d4e5"}}, "sluice.senders.organization_id: "),
        ({"max_body_bytes": 26_214_401}, "sluice.max_body_bytes: "),
        ({"custom_attributes_template": "fixed"}, "sluice.custom_attributes_template: must hold {trace_id}"),
        ({"custom_attributes_template": "{trace_id}{x}"}, "sluice.custom_attributes_template: must hold {trace_id}"),
        ({"custom_attributes_template": "{trace_id"}, "sluice.custom_attributes_template: is not a template"),
        ({"custom_attributes_template": "é{trace_id}"}, "sluice.custom_attributes_template: must be visible ASCII"),
        ({"timeouts": {"read_seconds": 60}}, "sluice.timeouts.read_seconds: Input should be greater than 60, not 60"),
        ({"timeouts": {"function_seconds": 89}}, "sluice.timeouts.function_seconds: must be at least 90"),
        ({"timeouts": {"function_seconds": 901}}, "sluice.timeouts.function_seconds: "),
        ({"timeouts": {"visibility_seconds": 539}}, "sluice.timeouts.visibility_seconds: must be at least 540"),
        ({"batch_size": 11}, "sluice.batching_window_seconds: must be at least 1 where sluice.batch_size is"),
        ({"retry": {"max_receive_count": 1}}, "sluice.retry.max_receive_count: "),
        ({"retry": {"base_seconds": 60, "cap_seconds": 50}}, "sluice.retry.cap_seconds: must be at least"),
        (
            {"retention": {"dead_letter_days": 13}},
            "sluice.retention.dead_letter_days: must be greater than sluice.retention.request_days, 13",
        ),
        ({"retention": {"log_days": 8}}, "sluice.retention.log_days: Input should be 1, 3, 5"),
        ({"deployment_name": "1st"}, "sluice.deployment_name: "),
        ({"function": {"memory_mb": 64}}, "sluice.function.memory_mb: "),
        ({"batchsize": 5}, "sluice.batchsize: is not a setting; did you mean sluice.batch_size?"),
        ({"alarm": {}}, "sluice.alarm: is not a setting; did you mean sluice.alarms?"),
        ({"alarms": {"emial": "a@b.c"}}, "sluice.alarms.emial: is not a setting; did you mean sluice.alarms.email?"),
        ({"retry": {"batch_size": 5}}, "sluice.retry.batch_size: is not a setting; did you mean sluice.batch_size?"),
        ({"email": "a@b.c"}, "sluice.email: is not a setting; did you mean sluice.alarms.email?"),
        ({"retry": {"zzz": 5}}, "sluice.retry.zzz: is not a setting; known are max_receive_count, base_seconds, cap"),
        ({"zzz": 5}, "sluice.zzz: is not a setting; known are deployment_name, endpoint_names"),
        ({"retry": 5}, 'sluice.retry: must be an object, such as {"max_receive_count": …}, not 5'),
        ({"alarms": None}, 'sluice.alarms: must be an object, such as {"enabled": …}, not null'),
        ({"": 1}, "sluice: holds a setting whose name is empty; remove it"),
        ({"retry": {"": 1}}, "sluice.retry: holds a setting whose name is empty; remove it"),
        ({"alarms.emial": "a@b.c"}, "sluice.alarms.emial: is not a setting; did you mean sluice.alarms.email?"),
        ({"zzz.yyy": 1}, "sluice.zzz.yyy: is not a setting; known are deployment_name, endpoint_names"),
        ("{", "sluice: is not JSON"),
        ("[]", "sluice: must be an object"),
        ({"transform": {"BatchStrategy": "Some"}}, "sluice.transform.BatchStrategy: Input should be 'MultiRecord'"),
        ({"transform": {"BatchStategy": "None"}}, "is not a setting; did you mean sluice.transform.BatchStrategy?"),
        ({"transform": {"InputFilter": "id"}}, "sluice.transform.InputFilter: "),
        (
            {"notifications": {"success_topic": "yes"}},
            "sluice.notifications.success_topic: must be true for a topic of the stack's own, the ARN",
        ),
        (
            {"notifications": {"error_topic": 1}},
            "sluice.notifications.error_topic: must be true for a topic of the stack's own, the ARN",
        ),
        (
            {"notifications": {"error_topic": "arn:aws:sns:eu-west-1:111122223333:a.fifo"}},
            "sluice.notifications.error_topic: must be true",
        ),
        (
            {"notifications": {"event_bridge": 1}},
            "sluice.notifications.event_bridge: Input should be a valid boolean, not 1",
        ),
    ],
)
def test_a_wrong_value_gets_one_line_that_names_its_key(given: Any, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_context(ENDPOINTS, given)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", [key for key in fields(Settings) if "." in key])
def test_a_name_with_a_dot_must_be_a_nested_object(key: str) -> None:
    group, _, name = key.partition(".")
    with pytest.raises(SettingsError) as raised:
        settings(**{key: 1})
    assert str(raised.value) == f'sluice.{key}: write it as a nested object: "{group}": {{"{name}": …}}'


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("kms_key_arn", "alias/mine", "must be the ARN of a KMS key, not of an alias, such as arn:aws:kms:"),
        ("senders.account_ids", ["12345"], "must be the 12 digits of an AWS account ID, such as 111122223333"),
        ("senders.organization_id", "a1b2c3d4e5", "10 to 32 lowercase letters and digits, such as o-a1b2c3d4e5"),
        ("network.subnet_ids", ["0a1b2c3d"], "must be the ID of a subnet, such as subnet-0a1b2c3d4e5f67890"),
        ("network.security_group_ids", ["x"], "must be the ID of a security group, such as sg-0a1b2c3d4e5f67890"),
        ("deployment_name", "1st", "of which the first is a letter, such as Sluice-Test"),
        ("deployment_name", "a" * 65, "must be at most 64 letters, digits and hyphens"),
        ("transform.InputFilter", "id", "that begins with $, such as $.features"),
        ("transform.OutputFilter", "$" * 64, "must be a JSONPath of at most 63 characters"),
        ("input_location_buckets", ["Not_A_Bucket"], "3 to 63 lowercase letters, digits, dots and hyphens"),
        ("default_content_type", "text csv", "visible ASCII characters without spaces, such as text/csv"),
        ("endpoint_names", ["a b"], "the name or the ARN of an endpoint: letters and digits, with hyphens between"),
        ("alarms.email", "ops", "must be an email address, such as ops@example.com"),
    ],
)
def test_a_wrong_text_gets_its_rule_in_words(key: str, value: Any, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(**nested(key, value))
    assert str(raised.value).startswith(f"sluice.{key}")
    assert says in str(raised.value)
    assert str(raised.value).endswith(f", not {json.dumps(value[0] if isinstance(value, list) else value)}")


@pytest.mark.parametrize("value", ["", "a b\n", ["a b\n"], [], 5.5, [5.5], {}], ids=repr)
@pytest.mark.parametrize("key", list(fields(Settings)))
def test_no_error_shows_a_regular_expression(key: str, value: Any) -> None:
    try:
        settings(**nested(key, value))
    except SettingsError as error:
        assert "pattern" not in str(error)
        assert not [sign for sign in ("^", r"\d", "[a-z", "(?") if sign in str(error)]
        assert "after validation" not in str(error)


@pytest.mark.parametrize("old", OLD_NAMES)
@pytest.mark.parametrize("place", ["file", "command line"])
def test_an_old_name_fails_with_the_new_one(old: str, place: str) -> None:
    contexts = ({**ENDPOINTS, old: 1}, None) if place == "file" else (ENDPOINTS, json.dumps({old: 1}))
    with pytest.raises(SettingsError) as raised:
        Settings.from_context(*contexts)
    assert str(raised.value) == f"sluice.{old}: is now sluice.{MOVED[old]}"


def test_no_old_name_is_forgotten_and_each_new_one_is_a_setting() -> None:
    assert set(MOVED) == set(OLD_NAMES)
    assert set(MOVED.values()) <= set(fields(Settings))
    assert len(set(MOVED.values())) == len(MOVED)


@pytest.mark.parametrize("value", [True, False])
def test_alarms_as_true_or_false_fails_with_the_new_setting(value: bool) -> None:
    enabled = json.dumps(value)
    says = f'sluice.alarms: is now sluice.alarms.enabled; write "alarms": {{"enabled": {enabled}}}'
    with pytest.raises(SettingsError) as raised:
        settings(alarms=value)
    assert str(raised.value) == says


def test_all_old_names_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        settings(memory_mb=512, alarm_email="a@b.c")
    assert str(raised.value) == (
        "sluice.memory_mb: is now sluice.function.memory_mb; sluice.alarm_email: is now sluice.alarms.email"
    )


def test_missing_endpoint_names_are_reported() -> None:
    with pytest.raises(SettingsError, match=r"sluice\.endpoint_names: is missing; set it in cdk\.json"):
        Settings.from_context({}, None)


@given(
    concurrent_requests=st.integers(2, 10_000),
    concurrent_dataset_requests=st.none() | st.integers(0, 10_000),
    batch_size=st.integers(1, 10_000),
    batching_window_seconds=st.integers(0, 300),
    timeouts=st.fixed_dictionaries(
        {
            "read_seconds": st.integers(61, 880),
            "function_seconds": st.none() | st.integers(1, 900),
            "visibility_seconds": st.none() | st.integers(1, 43_200),
        }
    ),
    retention=st.fixed_dictionaries({"request_days": st.integers(1, 13), "dead_letter_days": st.integers(2, 14)}),
)
def test_whatever_is_accepted_keeps_the_ladder_and_the_endpoints_limit(**given: Any) -> None:
    try:
        accepted = settings(**given)
    except SettingsError as error:
        assert str(error).startswith("sluice.")
        return
    assert accepted.concurrent_calls >= 1
    assert 2 <= accepted.maximum_concurrency <= 1000
    live = accepted.concurrent_calls * accepted.maximum_concurrency
    parts = accepted.concurrent_part_calls * accepted.maximum_part_concurrency
    assert 2 <= accepted.maximum_part_concurrency <= 1000
    assert live + (parts if accepted.dataset_requests else 0) <= accepted.concurrent_requests
    assert CONTAINER_TIMEOUT_SECONDS < accepted.timeouts.read_seconds < accepted.function_timeout <= 900
    assert 6 * accepted.function_timeout <= accepted.visibility_timeout <= 43_200
    assert accepted.visibility_timeout < accepted.retention.request_days * 86_400
    assert accepted.retention.request_days < accepted.retention.dead_letter_days


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"retry": {"max_receive_count": 0}}, f"{RECEIVES}: Input should be greater than or equal to 2, not 0"),
        ('{"retry": {"max_receive_count": 0}}', f"{RECEIVES}: Input should be greater than or equal to 2, not 0"),
        (
            {"endpoint_names": [f"endpoint-{number:053}" for number in range(60)]},
            "sluice.endpoint_names: too large: with the other settings",
        ),
    ],
)
def test_synth_fails_with_that_line_alone(synth: Synth, tmp_path: Path, given: Any, says: str) -> None:
    done = synth(tmp_path, given if isinstance(given, str) else json.dumps(given))
    assert done.returncode == 1
    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.template.json"))


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        *((name, True) for name in ("Lines", "LinesWithHeader", "JSONArray", "CSVRow", "Columns", "None")),
        *((name, True) for name in ("JSONField:a", "JSONField:" + "a" * 100, "Columns:a,b", "Columns:a")),
        *((name, False) for name in ("", "lines", "Lines:", "JSONField", "JSONField:", "JSONField:" + "a" * 101)),
        *((name, False) for name in ("Columns:", "Columns:a,", "Columns:,a", "None ", "Columns:" + "a" * 101)),
    ],
)
def test_an_answer_format_is_one_that_the_functions_know(name: str, *, is_valid: bool) -> None:
    from sluice.transform.answer_format import AnswerFormat

    if is_valid:
        assert settings(transform={"AnswerFormat": name}).transform.AnswerFormat == str(AnswerFormat.parse(name))
        return
    with pytest.raises(SettingsError, match="AnswerFormat: must be one of Lines, "):
        settings(transform={"AnswerFormat": name})
    with pytest.raises(ValueError, match="must be one of Lines, "):
        AnswerFormat.parse(name)


def test_the_defaults_of_transforms_are_the_options_that_the_functions_know() -> None:
    from sluice.transform.options import Options

    assert set(Transform.model_fields) == {field.alias for field in Options.model_fields.values()}
    stated = settings(transform={"BatchStrategy": "SingleRecord", "MaxPayload": 2, "CsvHeader": True}).transform
    options = Options.from_metadata({}, stated.model_dump(exclude_none=True))
    assert (options.batch_strategy, options.max_payload, options.csv_header) == ("SingleRecord", 2, "drop")
