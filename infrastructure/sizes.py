"""Sizes that AWS limits and that grow with the settings: a function's environment, and a role's policy.

Synth refuses what exceeds them, because a deployment would fail and not name the setting.
"""

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import Stack

from infrastructure.errors import SettingsError
from infrastructure.settings import Settings

MAX_ENVIRONMENT_BYTES = 4096  # Lambda quotas. Lambda measures the variables as JSON.
MAX_ROLE_POLICY_CHARACTERS = 10_240  # IAM and AWS STS quotas: all inline policies of a role, without white space

# Upper estimates of what is known at deployment only.
BUCKET_NAME = 63
QUEUE_URL = 140  # https://sqs.ap-southeast-1.amazonaws.com.cn/111122223333/ and a name of 80 characters
ROLE_IDS = 100  # four IDs of 21 characters
_ARN = 140  # of a queue, whose name is longer than that of a bucket
_PSEUDO_PARAMETERS = {"AWS::Partition": 10, "AWS::Region": 14, "AWS::AccountId": 12}

_SPLIT = "split them between two deployments"
_REMEDIES = {
    "endpoint_names": _SPLIT,
    "input_location_buckets": _SPLIT,
    "input_location_key_arns": _SPLIT,
    "inference_components": f"give a pattern for several, such as my-*, or {_SPLIT}",
}


def check_environment(settings: Settings, variables: Mapping[str, str], at_deployment: Mapping[str, int]) -> None:
    """Raise `SettingsError` when the environment is too large: `variables`, and those of such a length."""
    size = len(_compact({**variables, **{name: "x" * length for name, length in at_deployment.items()}}).encode())
    if size > MAX_ENVIRONMENT_BYTES:
        parts = {
            "endpoint_names": ",".join(endpoint.name for endpoint in settings.endpoints),
            "input_location_buckets": ",".join(settings.input_location_buckets),
            "custom_attributes_template": settings.custom_attributes_template or "",
            "default_content_type": settings.default_content_type,
            "model_retry.statuses": ",".join(map(str, settings.model_retry.statuses)),
            "transform": _compact(settings.transform.model_dump_json(exclude_none=True)),
        }
        _refuse(parts, f"a Lambda function's environment has {size} bytes, and may have {MAX_ENVIRONMENT_BYTES}")


def check_policy(settings: Settings, stack: Stack, document: object) -> None:
    """Raise `SettingsError` when a role's only policy is too large."""
    size = len(_compact(_filled(stack.resolve(document))))
    if size > MAX_ROLE_POLICY_CHARACTERS:
        parts = {
            "endpoint_names": "".join(endpoint.name + "x" * _ARN for endpoint in settings.endpoints),
            "input_location_buckets": "".join(settings.input_location_buckets) * 2,
            "input_location_key_arns": "".join(settings.input_location_key_arns),
            "inference_components": "".join(
                name * 2 + "x" * _ARN for endpoint in settings.endpoints for name in endpoint.inference_components
            ),
        }
        _refuse(parts, f"a role's policy has {size} characters, and may have {MAX_ROLE_POLICY_CHARACTERS}")


def _refuse(parts: Mapping[str, str], what: str) -> None:
    largest = max(parts, key=lambda name: len(parts[name]))
    setting = "endpoint_names: their inference_components" if largest == "inference_components" else f"{largest}:"
    remedy = _REMEDIES.get(largest, "shorten it")
    raise SettingsError(f"sluice.{setting} too large: with the other settings, {what}; {remedy}")


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _filled(value: Any) -> Any:
    """Return a resolved value with placeholders for what CloudFormation inserts."""
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Fn::Join"}:
        separator, parts = value["Fn::Join"]
        return separator.join(_filled(part) for part in parts)
    if len(value) == 1 and next(iter(value)) in {"Ref", "Fn::GetAtt", "Fn::ImportValue", "Fn::GetStackOutput"}:
        return "x" * _PSEUDO_PARAMETERS.get(str(value.get("Ref")), _ARN)
    return {name: _filled(one) for name, one in value.items()}
