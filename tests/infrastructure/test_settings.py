"""Deployment settings: what may be said, what follows, and the one line that a wrong value gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.settings import CONTAINER_TIMEOUT_SECONDS, Settings, SettingsError, TransformDefaults
from tests.infrastructure.conftest import Synth

ENDPOINTS = {"endpoint_names": ["wine", "digits"]}
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
ARN = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint"


def settings(**given: Any) -> Settings:
    return Settings.from_context(ENDPOINTS, given)


def test_what_cdk_json_says_is_enough() -> None:
    default = settings()
    assert default.default_endpoint == "wine"
    assert (default.threads, default.maximum_concurrency) == (10, 2)
    assert (default.read_timeout_seconds, default.function_timeout, default.visibility_timeout) == (70, 90, 540)


def test_the_command_lines_settings_win_as_json_or_as_an_object() -> None:
    assert Settings.from_context(ENDPOINTS, '{"batch_size": 3}').batch_size == 3
    assert Settings.from_context({**ENDPOINTS, "batch_size": 5}, {"batch_size": 3}).batch_size == 3


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"endpoint_names": []}, "sluice.endpoint_names: List should have at least 1 item"),
        ({"endpoint_names": ["a b"]}, "sluice.endpoint_names.0: "),
        ({"endpoint_names": ["a", "a"]}, "sluice.endpoint_names: names an endpoint twice"),
        ({"default_endpoint_name": "x"}, "sluice.default_endpoint_name: must be one of endpoint_names: wine, digits"),
        (
            {"endpoint_names": ["a" * 64]},
            "sluice.endpoint_names: " + "a" * 64 + " has 64 characters; SageMaker allows 63",
        ),
        ({"endpoint_names": [f"{ARN}/wine", "wine"]}, "sluice.endpoint_names: names an endpoint twice"),
        (
            {"endpoint_names": [f"{ARN}/wine", f"{ARN}/digits".replace("eu-west-1", "us-east-1")]},
            "sluice.endpoint_names: are in several regions or accounts",
        ),
        ({"endpoint_names": ["arn:aws:sagemaker:eu-west-1:1:endpoint/wine"]}, "sluice.endpoint_names.0: "),
        ({"kms_key_arn": "alias/mine"}, "sluice.kms_key_arn: "),
        ({"vpc_subnet_ids": ["subnet-0a1b2c3d"]}, "sluice.security_group_ids: is missing"),
        ({"security_group_ids": ["sg-0a1b2c3d"]}, "sluice.vpc_subnet_ids: is missing"),
        ({"vpc_subnet_ids": ["0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}, "sluice.vpc_subnet_ids.0: "),
        (
            {"alarm_topic": "alarms"},
            "sluice.alarm_topic: must be true for a topic of the stack's own, the ARN of a standard SNS topic, or",
        ),
        ({"alarm_email": "ops"}, "sluice.alarm_email: "),
        (
            {"alarm_email": "a@b.c", "alarm_topic": TOPIC},
            "sluice.alarm_email: leave it out where alarm_topic is an ARN",
        ),
        ({"alarms": False, "alarm_topic": True}, "sluice.alarm_topic: needs alarms, which are off"),
        ({"alarms": False, "health_alarm": True}, "sluice.health_alarm: needs alarms, which are off"),
        ({"concurrent_requests": 1}, "sluice.concurrent_requests: Input should be greater than or equal to 2, not 1"),
        ({"concurrent_requests": "9"}, 'sluice.concurrent_requests: Input should be a valid integer, not "9"'),
        ({"input_location_buckets": ["Not_A_Bucket"]}, "sluice.input_location_buckets.0: "),
        ({"sender_accounts": ["12345"]}, "sluice.sender_accounts.0: "),
        ({"sender_accounts": [111122223333]}, "sluice.sender_accounts.0: Input should be a valid string, not 111122"),
        ({"sender_accounts": ["111122223333"] * 2}, "sluice.sender_accounts: names an account twice"),
        ({"sender_organization": "a1b2c3d4e5"}, "sluice.sender_organization: "),
        ({"max_body_bytes": 26_214_401}, "sluice.max_body_bytes: "),
        ({"custom_attributes_template": "fixed"}, "sluice.custom_attributes_template: must hold {trace_id}"),
        ({"custom_attributes_template": "{trace_id}{x}"}, "sluice.custom_attributes_template: must hold {trace_id}"),
        ({"custom_attributes_template": "{trace_id"}, "sluice.custom_attributes_template: is not a template"),
        ({"custom_attributes_template": "é{trace_id}"}, "sluice.custom_attributes_template: must be visible ASCII"),
        ({"read_timeout_seconds": 60}, "sluice.read_timeout_seconds: Input should be greater than 60, not 60"),
        ({"function_timeout_seconds": 89}, "sluice.function_timeout_seconds: must be at least 90"),
        ({"function_timeout_seconds": 901}, "sluice.function_timeout_seconds: "),
        ({"visibility_timeout_seconds": 539}, "sluice.visibility_timeout_seconds: must be at least 540"),
        ({"batch_size": 11}, "sluice.batching_window_seconds: must be at least 1 where batch_size is over 10"),
        ({"max_receive_count": 1}, "sluice.max_receive_count: "),
        ({"retry_base_seconds": 60, "retry_cap_seconds": 50}, "sluice.retry_cap_seconds: must be at least"),
        ({"dead_letter_retention_days": 4}, "sluice.dead_letter_retention_days: must be over request_retention_days"),
        ({"log_retention_days": 8}, "sluice.log_retention_days: Input should be 1, 3, 5"),
        ({"deployment_name": "1st"}, "sluice.deployment_name: "),
        ({"memory_mb": 64}, "sluice.memory_mb: "),
        ({"batchsize": 5}, "sluice.batchsize: is not a setting; did you mean batch_size?"),
        ("{", "sluice: is not JSON"),
        ("[]", "sluice: must be an object"),
        ({"transform": {"BatchStrategy": "Some"}}, "sluice.transform.BatchStrategy: Input should be 'MultiRecord'"),
        ({"transform": {"BatchStategy": "None"}}, "is not a setting; did you mean BatchStrategy?"),
        ({"transform": {"InputFilter": "id"}}, "sluice.transform.InputFilter: "),
        ({"success_topic": "yes"}, "sluice.success_topic: must be true for a topic of the stack's own, the ARN"),
        ({"error_topic": 1}, "sluice.error_topic: must be true for a topic of the stack's own, the ARN"),
        ({"error_topic": "arn:aws:sns:eu-west-1:111122223333:a.fifo"}, "sluice.error_topic: must be true"),
        ({"results_event_bridge": 1}, "sluice.results_event_bridge: Input should be a valid boolean, not 1"),
    ],
)
def test_a_wrong_value_gets_one_line_that_names_its_key(given: Any, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_context(ENDPOINTS, given)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_endpoint_is_asked_for() -> None:
    with pytest.raises(SettingsError, match=r"sluice\.endpoint_names: is missing; set it in cdk\.json"):
        Settings.from_context({}, None)


@given(
    concurrent_requests=st.integers(2, 10_000),
    batch_size=st.integers(1, 10_000),
    batching_window_seconds=st.integers(0, 300),
    read_timeout_seconds=st.integers(61, 880),
    function_timeout_seconds=st.none() | st.integers(1, 900),
    visibility_timeout_seconds=st.none() | st.integers(1, 43_200),
    request_retention_days=st.integers(1, 13),
    dead_letter_retention_days=st.integers(2, 14),
)
def test_whatever_is_accepted_keeps_the_ladder_and_the_endpoints_limit(**given: Any) -> None:
    try:
        accepted = settings(**given)
    except SettingsError as error:
        assert str(error).startswith("sluice.")
        return
    assert accepted.threads >= 1
    assert 2 <= accepted.maximum_concurrency <= 1000
    assert accepted.threads * accepted.maximum_concurrency <= accepted.concurrent_requests
    assert CONTAINER_TIMEOUT_SECONDS < accepted.read_timeout_seconds < accepted.function_timeout <= 900
    assert 6 * accepted.function_timeout <= accepted.visibility_timeout <= 43_200
    assert accepted.visibility_timeout < accepted.request_retention_days * 86_400
    assert accepted.request_retention_days < accepted.dead_letter_retention_days


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_receive_count": 0}, "sluice.max_receive_count: Input should be greater than or equal to 2, not 0"),
        ('{"max_receive_count": 0}', "sluice.max_receive_count: Input should be greater than or equal to 2, not 0"),
        (
            {"endpoint_names": [f"endpoint-{number:053}" for number in range(60)]},
            "sluice.endpoint_names: with input_location_buckets they take",
        ),
    ],
)
def test_synth_fails_with_that_line_alone(synth: Synth, tmp_path: Path, given: Any, says: str) -> None:
    done = synth(tmp_path, given if isinstance(given, str) else json.dumps(given))
    assert done.returncode == 1
    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.template.json"))


def test_the_defaults_of_transforms_are_the_options_that_the_functions_know() -> None:
    from sluice.transform.options import Options

    assert set(TransformDefaults.model_fields) == {field.alias for field in Options.model_fields.values()}
    stated = settings(transform={"BatchStrategy": "SingleRecord", "MaxPayload": 2, "CsvHeader": True}).transform
    options = Options.from_metadata({}, stated.model_dump(exclude_none=True))
    assert (options.batch_strategy, options.max_payload, options.csv_header) == ("SingleRecord", 2, True)
