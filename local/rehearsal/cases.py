"""The cases of the rehearsal: one for each section of the docs that changes what is deployed."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local import aws
from local.rehearsal import checks
from local.rehearsal.account import Account, Resource
from local.rehearsal.checks import mappings_are_on

Check = Callable[[Account, Sequence[Resource]], str]


@dataclass(frozen=True)
class Prepared:
    """What the account had before: settings and context that name it, and the check of the deployment."""

    settings: Mapping[str, Any]
    check: Check
    context: Mapping[str, str] = field(default_factory=dict)


def _nothing_before(settings: Mapping[str, Any], check: Check = mappings_are_on) -> Callable[[Account], Prepared]:
    return lambda _: Prepared(settings, check)


@dataclass(frozen=True)
class Case:
    """Settings of one page, and the setting that is changed afterwards.

    `local` says what the local AWS doesn't do of it. `app` is the command that synthesizes; None for the project's.
    `target` is what the functions are built for: "lambda" as in the README, or this machine, so that they can run.
    """

    name: str
    page: str
    prepare: Callable[[Account], Prepared]
    changed: Mapping[str, Any]
    local: str = ""
    app: str | None = None
    target: str = "host"


def _kms(account: Account) -> Prepared:
    arn = account.client("kms").create_key(Description="a customer's key")["KeyMetadata"]["Arn"]
    return Prepared({"kms_key_arn": arn}, functools.partial(checks.key_of, arn))


def _vpc(account: Account) -> Prepared:
    client = account.client("ec2")
    vpc = client.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        client.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/24")["Subnet"]["SubnetId"] for number in (1, 2)
    ]
    group = client.create_security_group(VpcId=vpc, GroupName="functions", Description="functions")["GroupId"]
    return Prepared(
        {"network": {"subnet_ids": subnets, "security_group_ids": [group]}},
        functools.partial(checks.network_of, subnets, [group]),
    )


def _topics(account: Account) -> Prepared:
    client = account.client("sns")
    success, alarms = (client.create_topic(Name=name)["TopicArn"] for name in ("answers", "on-call"))
    settings = {"notifications": {"success_topic": success}, "alarms": {"topic": alarms}}

    def check(account: Account, resources: Sequence[Resource]) -> str:
        found = account.client("cloudwatch").describe_alarms(AlarmNames=checks.ids(resources, "AWS::CloudWatch::Alarm"))
        notified = sum(one["AlarmActions"] == [alarms] for one in found["MetricAlarms"])
        return f"{notified} alarms notify the existing topic; {mappings_are_on(account, resources)}"

    return Prepared(settings, check)


def _existing(account: Account) -> Prepared:
    """The team's buckets and queues, with what docs/construct.md requires of them."""
    s3, sqs = account.client("s3"), account.client("sqs")
    for name in ("lake", "answers"):
        s3.create_bucket(
            Bucket=f"team-{name}",
            CreateBucketConfiguration={"LocationConstraint": aws.REGION},
        )
    s3.put_bucket_notification_configuration(
        Bucket="team-lake", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    attributes = {"VisibilityTimeout": "540", "MaximumMessageSize": "1040384"}
    requests = sqs.create_queue(QueueName="team-requests", Attributes=attributes)["QueueUrl"]
    failed = sqs.create_queue(QueueName="team-failed", Attributes={"MessageRetentionPeriod": "1209600"})["QueueUrl"]
    arns = [
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for url in (requests, failed)
    ]
    names = {
        "input_bucket": "team-lake",
        "results_bucket": "team-answers",
        "request_queue_arn": arns[0],
        "dead_letter_queue_arn": arns[1],
    }
    return Prepared({}, functools.partial(checks.crashes_of, requests), {"existing": json.dumps(names)})


README = Case(
    "the README's own",
    "../README.md#deploy-it",
    _nothing_before({}),
    {"retry": {"max_receive_count": 10}},
    local="the functions are built for arm64 and Python 3.13, so they aren't run",
    target="lambda",
)

CASES = (
    README,
    Case(
        "another deployment name",
        "../README.md#settings",
        _nothing_before({"deployment_name": "Orders", "endpoint_names": ["wine"]}),
        {"concurrent_requests": 50},
    ),
    Case(
        "KMS key",
        "construct.md#the-policy-of-an-imported-key",
        _kms,
        {"retention": {"part_days": 3}},
        local="the key's policy isn't evaluated",
    ),
    Case(
        "VPC",
        "construct.md#existing-resources",
        _vpc,
        {"function": {"memory_mb": 1024}},
        local="the functions get no network interfaces, and whether the subnets have a route isn't found out",
    ),
    Case(
        "topics and EventBridge",
        "events.md",
        _nothing_before(
            {"notifications": {"success_topic": True, "error_topic": True, "event_bridge": True}}, checks.notifications
        ),
        {"notifications": {"success_topic": True, "event_bridge": True, "error_topic": False}},
    ),
    Case("existing topics", "events.md", _topics, {"notifications": {}}),
    Case(
        "health alarm, e-mail",
        "operations.md#alarms",
        _nothing_before({"alarms": {"email": "ops@example.com", "composite": True}}, checks.health),
        {"alarms": {"email": "ops@example.com", "composite": True, "age_minutes": 30}},
        local="the type AWS::CloudWatch::CompositeAlarm is added to it; nobody is asked to confirm the address",
    ),
    Case(
        "SnapStart",
        "performance.md",
        _nothing_before({"function": {"snap_start": True}}, checks.snapshots),
        {"function": {"snap_start": True, "log_level": "DEBUG"}},
        local="versions and aliases are published, but a function is started, not restored from a snapshot",
    ),
    Case(
        "senders of other accounts",
        "senders.md",
        _nothing_before(
            {"senders": {"account_ids": ["111122223333"], "organization_id": "o-a1b2c3d4e5"}}, checks.senders
        ),
        {"senders": {}},
        local="there is no other account that could send",
    ),
    Case(
        "access logs, nothing kept",
        "../README.md#settings",
        _nothing_before({"access_logs": True, "retain_data": False}, checks.access_logs),
        {"dashboard": False},
        local="no logs are delivered",
    ),
    Case(
        "other settings of the functions",
        "../README.md#settings",
        _nothing_before(
            {
                "input_location_buckets": ["lake"],
                "custom_attributes_template": "{custom_attributes},trace_id={trace_id}",
                "function": {"transport": "boto3"},
                "transform": {"BatchStrategy": "SingleRecord"},
                "model_retry": {"statuses": [500]},
                "concurrent_dataset_requests": 0,
            }
        ),
        {"concurrent_dataset_requests": 4},
    ),
    Case(
        "existing buckets and queues",
        "construct.md#existing-resources",
        _existing,
        {"batch_size": 5},
        app="python -m local.rehearsal.existing",
    ),
)
