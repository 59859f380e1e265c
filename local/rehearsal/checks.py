"""What a deployment must have, asked of the services. Each check returns what it found, as a phrase for the table."""

from collections.abc import Sequence
from typing import Any

from local.process import LocalRunError
from local.rehearsal.account import Account, Resource

_FUNCTIONS = "AWS::Lambda::Function"
_SNAPSHOTS_ON = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}


class NotAsDeployedError(LocalRunError):
    """A resource isn't as the settings say."""


def ids(resources: Sequence[Resource], type_: str) -> list[str]:
    """The physical IDs of the resources of a type. Raises `NotAsDeployedError` if there are none."""
    found = [one.physical_id for one in resources if one.type == type_]
    _require(bool(found), f"there is no {type_}")
    return found


def mappings_are_on(account: Account, resources: Sequence[Resource]) -> str:
    """Each event source mapping is enabled."""
    client = account.client("lambda")
    found = [client.get_event_source_mapping(UUID=one) for one in ids(resources, "AWS::Lambda::EventSourceMapping")]
    for one in found:
        _require(one["State"] in {"Enabled", "Enabling"}, f"the mapping of {one['EventSourceArn']} is {one['State']}")
    return f"{len(found)} queues invoke their functions"


def key_of(arn: str, account: Account, resources: Sequence[Resource]) -> str:
    """Each bucket and queue is encrypted with the key."""
    buckets, queues = ids(resources, "AWS::S3::Bucket"), ids(resources, "AWS::SQS::Queue")
    for bucket in buckets:
        rules = account.client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        key = rules[0]["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")
        _require(key == arn, f"the bucket {bucket} has the key {key}")
    for queue in queues:
        key = _queue(account, queue).get("KmsMasterKeyId")
        _require(key == arn, f"the queue {queue} has the key {key}")
    return f"{len(buckets)} buckets and {len(queues)} queues have the key"


def network_of(subnets: Sequence[str], groups: Sequence[str], account: Account, resources: Sequence[Resource]) -> str:
    """Each function is in the subnets and security groups."""
    functions = ids(resources, _FUNCTIONS)
    for name in functions:
        network = account.client("lambda").get_function_configuration(FunctionName=name)["VpcConfig"]
        _require(
            sorted(network["SubnetIds"]) == sorted(subnets) and network["SecurityGroupIds"] == list(groups),
            f"{name} is in {network}",
        )
    return f"{len(functions)} functions are in the subnets"


def snapshots(account: Account, resources: Sequence[Resource]) -> str:
    """Each function has a version with a snapshot, which its alias names."""
    client = account.client("lambda")
    functions = ids(resources, _FUNCTIONS)
    for name in functions:
        alias = client.get_alias(FunctionName=name, Name="live")
        version = client.get_function_configuration(FunctionName=name, Qualifier=alias["FunctionVersion"])
        _require(
            version["SnapStart"] == _SNAPSHOTS_ON, f"version {version['Version']} of {name}: {version['SnapStart']}"
        )
    return f"the alias of {len(functions)} functions names a version with SnapStart"


def notifications(account: Account, resources: Sequence[Resource]) -> str:
    """The results bucket sends events to the notify function's queue and to EventBridge."""
    (results,) = [one for one in resources if one.type == "AWS::S3::Bucket" and "Results" in one.logical_id]
    found = account.client("s3").get_bucket_notification_configuration(Bucket=results.physical_id)
    queues = found.get("QueueConfigurations", [])
    _require(bool(queues) and "EventBridgeConfiguration" in found, f"the bucket's notifications are {found}")
    return f"{len(ids(resources, 'AWS::SNS::Topic'))} topics, {len(queues)} notifications, EventBridge"


def health(account: Account, resources: Sequence[Resource]) -> str:
    """The composite alarm names each metric alarm, and the topic is notified by it alone."""
    client = account.client("cloudwatch")
    names = ids(resources, "AWS::CloudWatch::CompositeAlarm")
    (composite,) = client.describe_alarms(AlarmNames=names, AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    alarms = client.describe_alarms(AlarmNames=ids(resources, "AWS::CloudWatch::Alarm"))["MetricAlarms"]
    missing = [one["AlarmName"] for one in alarms if one["AlarmArn"] not in composite["AlarmRule"]]
    _require(not missing, f"the composite alarm doesn't name {missing}")
    loud = [one["AlarmName"] for one in alarms if one["AlarmActions"]]
    _require(bool(composite["AlarmActions"]) and not loud, f"these have actions of their own: {loud}")
    return f"one alarm over {len(alarms)}"


def senders(account: Account, resources: Sequence[Resource]) -> str:
    """The request queue's policy allows the account and the organization."""
    (queue,) = [one for one in resources if one.type == "AWS::SQS::Queue" and "RequestQueue" in one.logical_id]
    policy = _queue(account, queue.physical_id)["Policy"]
    _require("111122223333" in policy and "o-a1b2c3d4e5" in policy, f"the policy is {policy}")
    return "the request queue's policy allows an account and an organization"


def access_logs(account: Account, resources: Sequence[Resource]) -> str:
    """Both buckets log to the third."""
    (logs,) = [one.physical_id for one in resources if one.type == "AWS::S3::Bucket" and "AccessLogs" in one.logical_id]
    others = [one for one in ids(resources, "AWS::S3::Bucket") if one != logs]
    for bucket in others:
        found = account.client("s3").get_bucket_logging(Bucket=bucket).get("LoggingEnabled", {})
        _require(found.get("TargetBucket") == logs, f"{bucket} logs to {found}")
    return f"{len(others)} buckets log to a third"


def crashes_of(request_queue_url: str, account: Account, resources: Sequence[Resource]) -> str:
    """An existing request queue takes the crashed queue as target, as docs/construct.md says. It is set here."""
    (crashed,) = [one for one in resources if one.type == "AWS::SQS::Queue" and "CrashedQueue" in one.logical_id]
    arn = _queue(account, crashed.physical_id)["QueueArn"]
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 20}}'
    account.client("sqs").set_queue_attributes(QueueUrl=request_queue_url, Attributes={"RedrivePolicy": policy})
    _require(len(ids(resources, "AWS::Events::Rule")) == 2, "there aren't two rules for the input bucket")
    _require(not any(one.type == "AWS::S3::Bucket" for one in resources), "a bucket was made")
    return "2 rules for the input bucket; the request queue's redrive policy can be set"


def _queue(account: Account, url: str) -> dict[str, Any]:
    found: dict[str, Any] = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    return found


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - as in `assert`
    if not condition:
        raise NotAsDeployedError(message)
