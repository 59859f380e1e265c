"""What is in the local AWS account: the stacks, their resources, and whether a resource exists."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from local import aws
from local.engine import servers

_GONE = ("DELETE_COMPLETE",)


@dataclass(frozen=True)
class Resource:
    """A resource of a stack, by its logical ID."""

    stack: str
    logical_id: str
    physical_id: str
    type: str
    status: str


class Account:
    """The local AWS account."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, service: str) -> Any:
        """A client of boto3."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.url,
            region_name=aws.REGION,
            aws_access_key_id=aws.CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=aws.CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def stacks(self) -> dict[str, str]:
        """The status of each stack that was not deleted, by name."""
        found = self.client("cloudformation").describe_stacks()["Stacks"]
        return {one["StackName"]: one["StackStatus"] for one in found if one["StackStatus"] not in _GONE}

    def outputs(self, stack: str) -> dict[str, str]:
        """The outputs of a stack, by name."""
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}

    def resources(self, stack: str) -> list[Resource]:
        """The resources of a stack."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        return [
            Resource(
                stack,
                one["LogicalResourceId"],
                one.get("PhysicalResourceId", ""),
                one["ResourceType"],
                one["ResourceStatus"],
            )
            for page in pages
            for one in page["StackResourceSummaries"]
        ]

    def delete(self, stack: str) -> None:
        """Delete a stack, whatever its state, and wait until CloudFormation has ended."""
        client = self.client("cloudformation")
        client.delete_stack(StackName=stack)
        with contextlib.suppress(WaiterError):
            client.get_waiter("stack_delete_complete").wait(
                StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )

    def empty(self, bucket: str) -> None:
        """Delete all versions of all objects in a bucket."""
        client = self.client("s3")
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for one in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])

    def exists(self, resource: Resource) -> bool | None:
        """Whether the resource exists, asked of its service; None for a type that isn't asked for."""
        ask = _ASK.get(resource.type)
        if ask is None:
            return None
        service, operation = ask
        try:
            found = operation(self.client(service), resource.physical_id)
        except ClientError:
            return False
        return found is not False


def _alarm(client: Any, name: str) -> bool:
    return bool(client.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm"])["MetricAlarms"])


def _composite_alarm(client: Any, name: str) -> bool:
    return bool(client.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"])


def _log_group(client: Any, name: str) -> bool:
    found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(one["logGroupName"] == name for one in found)


_ASK: dict[str, tuple[str, Callable[[Any, str], object]]] = {
    "AWS::S3::Bucket": ("s3", lambda client, name: client.head_bucket(Bucket=name)),
    "AWS::SQS::Queue": (
        "sqs",
        lambda client, url: client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]),
    ),
    "AWS::SNS::Topic": ("sns", lambda client, arn: client.get_topic_attributes(TopicArn=arn)),
    "AWS::Lambda::Function": ("lambda", lambda client, name: client.get_function(FunctionName=name)),
    "AWS::Lambda::EventSourceMapping": ("lambda", lambda client, uuid: client.get_event_source_mapping(UUID=uuid)),
    "AWS::IAM::Role": ("iam", lambda client, name: client.get_role(RoleName=name)),
    "AWS::Logs::LogGroup": ("logs", _log_group),
    "AWS::CloudWatch::Alarm": ("cloudwatch", _alarm),
    "AWS::CloudWatch::CompositeAlarm": ("cloudwatch", _composite_alarm),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", lambda client, name: client.get_dashboard(DashboardName=name)),
    "AWS::Events::Rule": ("events", lambda client, name: client.describe_rule(Name=name.rpartition("|")[2])),
}


@contextlib.contextmanager
def local_account(directory: Path) -> Iterator[Account]:
    """Start a local AWS with an empty account, and the endpoint `wine`; stop them at the end.

    Their logs go into `directory`. Raises `LocalRunError`.
    """
    with servers(directory, models=["wine"], tls=None) as started:
        started.wait_ready()
        yield Account(started.url)
