"""The commands that restore a resource of the stack.

A deployment of an unchanged template changes nothing: CloudFormation compares templates, not resources. Where one
command of the AWS CLI restores what was changed, that is the remedy. Otherwise it is a drift-aware change set, which
compares with the resources as they are (CloudFormation User Guide, "Using drift-aware change sets"; the CDK CLI has
`--revert-drift` since 2.1110.0).
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.doctor.compare import Difference, is_resolved
from cli.doctor.template import Resource

REVERT = "make deploy CDK_ARGS=--revert-drift (in an app of your own: cdk deploy --revert-drift)"

_QUEUE_ATTRIBUTES = (
    "DelaySeconds",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
)
_FUNCTION_OPTIONS = {
    "Environment": "--environment",
    "Handler": "--handler",
    "MemorySize": "--memory-size",
    "Role": "--role",
    "Runtime": "--runtime",
    "Timeout": "--timeout",
}
_MAPPING_OPTIONS = {
    "BatchSize": "--batch-size",
    "FunctionResponseTypes": "--function-response-types",
    "MaximumBatchingWindowInSeconds": "--maximum-batching-window-in-seconds",
    "ScalingConfig": "--scaling-config",
}


def restore(resource: Resource, found: Sequence[Difference]) -> str:
    """What restores the properties of a resource."""
    build = _CHANGED.get(resource.type)
    properties = {one.property: resource.properties.get(one.property) for one in found}
    if build is None or not is_resolved(properties):
        return REVERT
    return build(resource, properties) or REVERT


def recreate(resource: Resource) -> str:
    """What creates a resource again, with the name that the others use."""
    build = _DELETED.get(resource.type)
    return build(resource) if build is not None and is_resolved(resource.properties) else REVERT


def _queue_attributes(properties: Mapping[str, Any]) -> str:
    return _json({name: _text(value) for name, value in properties.items() if name in _QUEUE_ATTRIBUTES})


def _queue(resource: Resource, changed: Mapping[str, Any]) -> str:
    attributes = _queue_attributes(changed)
    return _aws("sqs set-queue-attributes --queue-url", resource.physical_id, "--attributes", attributes)


def _new_queue(resource: Resource) -> str:
    name = resource.physical_id.rpartition("/")[2]
    attributes = _queue_attributes(resource.properties)
    return _aws("sqs create-queue --queue-name", name, "--attributes", attributes)


def _queue_policy(resource: Resource, changed: Mapping[str, Any]) -> str:
    attributes = _json({"Policy": _json(changed["PolicyDocument"])})
    return " && ".join(
        _aws("sqs set-queue-attributes --queue-url", url, "--attributes", attributes)
        for url in resource.properties["Queues"]
    )


def _bucket(resource: Resource, changed: Mapping[str, Any]) -> str:
    commands = []
    if "VersioningConfiguration" in changed:
        versioning = _json(changed["VersioningConfiguration"])
        commands.append(
            _aws("s3api put-bucket-versioning --bucket", resource.physical_id, "--versioning-configuration", versioning)
        )
    if "NotificationConfiguration" in changed:
        commands.append(_notifications(resource.physical_id, changed["NotificationConfiguration"]))
    return " && ".join(commands)


def _notifications(bucket: str, declared: Mapping[str, Any]) -> str:
    configuration: dict[str, Any] = {
        "QueueConfigurations": [
            {
                "QueueArn": one["Queue"],
                "Events": [one["Event"]],
                "Filter": {"Key": {"FilterRules": one.get("Filter", {}).get("S3Key", {}).get("Rules", [])}},
            }
            for one in declared.get("QueueConfigurations", [])
        ]
    }
    if declared.get("EventBridgeConfiguration", {}).get("EventBridgeEnabled"):
        configuration["EventBridgeConfiguration"] = {}
    text = _json(configuration)
    return _aws("s3api put-bucket-notification-configuration --bucket", bucket, "--notification-configuration", text)


def _bucket_policy(resource: Resource, changed: Mapping[str, Any]) -> str:
    policy = _json(changed["PolicyDocument"])
    return _aws("s3api put-bucket-policy --bucket", resource.properties["Bucket"], "--policy", policy)


def _function(resource: Resource, changed: Mapping[str, Any]) -> str:
    name, commands = resource.physical_id, []
    options = _options(_FUNCTION_OPTIONS, changed)
    if options:
        commands.append(_aws("lambda update-function-configuration --function-name", name, *options))
    if "ReservedConcurrentExecutions" in changed:
        reserved = changed["ReservedConcurrentExecutions"]
        commands.append(
            _aws("lambda delete-function-concurrency --function-name", name)
            if reserved is None
            else _aws(
                "lambda put-function-concurrency --function-name",
                name,
                "--reserved-concurrent-executions",
                str(reserved),
            )
        )
    return " && ".join(commands)


def _mapping(resource: Resource, changed: Mapping[str, Any]) -> str:
    options = _options(_MAPPING_OPTIONS, changed)
    enable = ["--enabled"] if "Enabled" in changed else []
    return _aws("lambda update-event-source-mapping --uuid", resource.physical_id, *enable, *options)


def _role_policy(resource: Resource, changed: Mapping[str, Any]) -> str:
    name, document = resource.properties["PolicyName"], _json(changed["PolicyDocument"])
    return " && ".join(
        _aws("iam put-role-policy --role-name", role, "--policy-name", name, "--policy-document", document)
        for role in resource.properties.get("Roles", [])
    )


def _retention(resource: Resource, changed: Mapping[str, Any]) -> str:
    days = str(changed["RetentionInDays"])
    return _aws("logs put-retention-policy --log-group-name", resource.physical_id, "--retention-in-days", days)


def _new_log_group(resource: Resource) -> str:
    create = _aws("logs create-log-group --log-group-name", resource.physical_id)
    kept = "RetentionInDays" in resource.properties
    return f"{create} && {_retention(resource, resource.properties)}" if kept else create


def _new_topic(resource: Resource) -> str:
    name, key = resource.physical_id.rpartition(":")[2], resource.properties.get("KmsMasterKeyId")
    options = ["--attributes", _json({"KmsMasterKeyId": key})] if key else []
    return _aws("sns create-topic --name", name, *options)


def _topic_policy(resource: Resource, changed: Mapping[str, Any]) -> str:
    policy = _json(changed["PolicyDocument"])
    return " && ".join(
        _aws("sns set-topic-attributes --topic-arn", arn, "--attribute-name", "Policy", "--attribute-value", policy)
        for arn in resource.properties["Topics"]
    )


def _alarm(resource: Resource, changed: Mapping[str, Any]) -> str | None:
    enable = _aws("cloudwatch enable-alarm-actions --alarm-names", resource.physical_id)
    return enable if list(changed) == ["ActionsEnabled"] else None


def _rule(resource: Resource, changed: Mapping[str, Any]) -> str | None:
    bus, _, name = resource.physical_id.rpartition("|")
    options = ["--event-bus-name", bus] if bus else []
    return _aws("events enable-rule --name", name, *options) if list(changed) == ["State"] else None


_CHANGED: dict[str, Callable[[Resource, Mapping[str, Any]], str | None]] = {
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::EventSourceMapping": _mapping,
    "AWS::IAM::Policy": _role_policy,
    "AWS::Logs::LogGroup": _retention,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _alarm,
    "AWS::Events::Rule": _rule,
}
_DELETED: dict[str, Callable[[Resource], str]] = {
    "AWS::SQS::Queue": _new_queue,
    "AWS::SQS::QueuePolicy": lambda resource: _queue_policy(resource, resource.properties),
    "AWS::S3::BucketPolicy": lambda resource: _bucket_policy(resource, resource.properties),
    "AWS::IAM::Policy": lambda resource: _role_policy(resource, resource.properties),
    "AWS::Logs::LogGroup": _new_log_group,
    "AWS::SNS::Topic": _new_topic,
}


def _options(names: Mapping[str, str], changed: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, option in names.items():
        if name in changed:
            value = changed[name]
            words += [option, *(map(str, value) if isinstance(value, list) else [_text(value)])]
    return words


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _json(value) if isinstance(value, dict | list) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _aws(command: str, *words: str) -> str:
    return f"aws {command} {shlex.join(words)}"
