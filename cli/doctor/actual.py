"""The resources of a stack as they are: read from their services, in the shape of the template's properties.

Each reader raises `MissingResourceError` or an error of AWS that says so when the resource is gone.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from cli.deployment import Deployment
from cli.doctor.errors import MissingResourceError
from cli.doctor.template import Resource

Properties = Mapping[str, Any]
Reader = Callable[[Deployment, Resource], Properties]

_QUEUE_NUMBERS = ("VisibilityTimeout", "MessageRetentionPeriod", "MaximumMessageSize", "DelaySeconds")


def _queue(deployment: Deployment, resource: Resource) -> Properties:
    attributes: Any = deployment.sqs.get_queue_attributes(QueueUrl=resource.physical_id, AttributeNames=["All"])[
        "Attributes"
    ]
    redrive = attributes.get("RedrivePolicy")
    return {
        **{name: int(attributes[name]) for name in _QUEUE_NUMBERS if name in attributes},
        "RedrivePolicy": json.loads(redrive) if redrive else None,
    }


def _queue_policy(deployment: Deployment, resource: Resource) -> Properties:
    statements = []
    for url in resource.properties["Queues"]:
        attributes: Any = deployment.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        statements.append(_statements(attributes.get("Attributes", {}).get("Policy")))
    # Every queue of the policy must have each of its statements.
    return {
        "PolicyDocument": {"Statement": [one for one in statements[0] if all(one in other for other in statements)]}
    }


def _bucket(deployment: Deployment, resource: Resource) -> Properties:
    deployment.s3.head_bucket(Bucket=resource.physical_id)
    configuration: Any = deployment.s3.get_bucket_notification_configuration(Bucket=resource.physical_id)
    queues = [
        {
            "Event": event,
            "Queue": one["QueueArn"],
            "Filter": {
                "S3Key": {
                    # S3 returns the names as Prefix and Suffix.
                    "Rules": [
                        {"Name": rule["Name"].lower(), "Value": rule["Value"]}
                        for rule in one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
                    ]
                }
            },
        }
        for one in configuration.get("QueueConfigurations", [])
        for event in one["Events"]
    ]
    versioning = deployment.s3.get_bucket_versioning(Bucket=resource.physical_id)
    return {
        "VersioningConfiguration": {"Status": versioning.get("Status")},
        "NotificationConfiguration": {
            "QueueConfigurations": queues,
            "EventBridgeConfiguration": {"EventBridgeEnabled": "EventBridgeConfiguration" in configuration},
        },
    }


def _bucket_policy(deployment: Deployment, resource: Resource) -> Properties:
    policy = deployment.s3.get_bucket_policy(Bucket=resource.properties["Bucket"])["Policy"]
    return {"PolicyDocument": {"Statement": _statements(policy)}}


def _function(deployment: Deployment, resource: Resource) -> Properties:
    name = resource.physical_id
    function = deployment.lambda_.get_function_configuration(FunctionName=name)
    concurrency = deployment.lambda_.get_function_concurrency(FunctionName=name)
    return {
        "Environment": function.get("Environment", {"Variables": {}}),
        "Handler": function.get("Handler"),
        "MemorySize": function.get("MemorySize"),
        "Role": function.get("Role"),
        "Runtime": function.get("Runtime"),
        "Timeout": function.get("Timeout"),
        "ReservedConcurrentExecutions": concurrency.get("ReservedConcurrentExecutions"),
    }


def _mapping(deployment: Deployment, resource: Resource) -> Properties:
    mapping = deployment.lambda_.get_event_source_mapping(UUID=resource.physical_id)
    return {
        # It is disabled by Lambda, too, for example after its role lost sqs:ReceiveMessage.
        "Enabled": mapping.get("State") not in {"Disabled", "Disabling"},
        "BatchSize": mapping.get("BatchSize"),
        "MaximumBatchingWindowInSeconds": mapping.get("MaximumBatchingWindowInSeconds", 0),
        "FunctionResponseTypes": mapping.get("FunctionResponseTypes", []),
        "ScalingConfig": mapping.get("ScalingConfig") or None,
    }


def _layer(deployment: Deployment, resource: Resource) -> Properties:
    deployment.lambda_.get_layer_version_by_arn(Arn=resource.physical_id)
    return {}


def _role(deployment: Deployment, resource: Resource) -> Properties:
    deployment.iam.get_role(RoleName=resource.physical_id)
    return {}


def _role_policy(deployment: Deployment, resource: Resource) -> Properties:
    name = resource.properties["PolicyName"]
    statements = []
    for role in resource.properties.get("Roles", []):
        # botocore decodes the document; the stubs do not say so.
        document: Any = deployment.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        statements = _statements(unquote(document) if isinstance(document, str) else document)
    return {"PolicyDocument": {"Statement": statements}}


def _log_group(deployment: Deployment, resource: Resource) -> Properties:
    name = resource.physical_id
    groups = deployment.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    for group in groups:
        if group.get("logGroupName") == name:
            return {"RetentionInDays": group.get("retentionInDays")}
    raise MissingResourceError(f"log group {name}")


def _topic(deployment: Deployment, resource: Resource) -> Properties:
    deployment.sns.get_topic_attributes(TopicArn=resource.physical_id)
    return {}


def _topic_policy(deployment: Deployment, resource: Resource) -> Properties:
    statements: list[Any] = []
    for arn in resource.properties["Topics"]:
        statements = _statements(deployment.sns.get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy"))
    return {"PolicyDocument": {"Statement": statements}}


def _alarm(deployment: Deployment, resource: Resource) -> Properties:
    kind: Any = "CompositeAlarm" if resource.type == "AWS::CloudWatch::CompositeAlarm" else "MetricAlarm"
    found: Any = deployment.cloudwatch.describe_alarms(AlarmNames=[resource.physical_id], AlarmTypes=[kind])
    for alarm in found.get(f"{kind}s", []):
        return {
            "ActionsEnabled": alarm.get("ActionsEnabled", True),
            "AlarmActions": alarm.get("AlarmActions", []),
            "Threshold": alarm.get("Threshold"),
            "EvaluationPeriods": alarm.get("EvaluationPeriods"),
        }
    raise MissingResourceError(f"alarm {resource.physical_id}")


def _dashboard(deployment: Deployment, resource: Resource) -> Properties:
    deployment.cloudwatch.get_dashboard(DashboardName=resource.physical_id)
    return {}


def _rule(deployment: Deployment, resource: Resource) -> Properties:
    # The physical ID of a rule on another bus than the default one is "bus|rule".
    bus, _, name = resource.physical_id.rpartition("|")
    rule = deployment.events.describe_rule(Name=name, **({"EventBusName": bus} if bus else {}))
    return {"State": rule.get("State"), "EventPattern": json.loads(rule.get("EventPattern") or "null")}


READERS: dict[str, tuple[str, Reader]] = {
    "AWS::SQS::Queue": ("queue", _queue),
    "AWS::SQS::QueuePolicy": ("queue policy", _queue_policy),
    "AWS::S3::Bucket": ("bucket", _bucket),
    "AWS::S3::BucketPolicy": ("bucket policy", _bucket_policy),
    "AWS::Lambda::Function": ("function", _function),
    "AWS::Lambda::EventSourceMapping": ("event source mapping", _mapping),
    "AWS::Lambda::LayerVersion": ("layer", _layer),
    "AWS::IAM::Role": ("role", _role),
    "AWS::IAM::Policy": ("role policy", _role_policy),
    "AWS::Logs::LogGroup": ("log group", _log_group),
    "AWS::SNS::Topic": ("topic", _topic),
    "AWS::SNS::TopicPolicy": ("topic policy", _topic_policy),
    "AWS::CloudWatch::Alarm": ("alarm", _alarm),
    "AWS::CloudWatch::CompositeAlarm": ("alarm", _alarm),
    "AWS::CloudWatch::Dashboard": ("dashboard", _dashboard),
    "AWS::Events::Rule": ("rule", _rule),
}
"""What each type of resource is called, and how it is read."""


def _statements(policy: Any) -> list[Any]:
    document = json.loads(policy) if isinstance(policy, str) and policy else policy or {}
    statements = document.get("Statement", [])
    return statements if isinstance(statements, list) else [statements]
