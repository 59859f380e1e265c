"""`sluice doctor` compares the resources of a stack with its template: a small stack on moto, changed by hand."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from cli.deployment import Deployment, DeploymentRef
from cli.doctor.actual import READERS
from cli.doctor.compare import Difference, differences
from cli.doctor.deployment_state import DeploymentState
from cli.doctor.errors import ACTIONS
from cli.doctor.finding import Finding, Verdict
from cli.doctor.remedies import REVERT, restore
from cli.doctor.resources import check_resources
from cli.doctor.template import UNRESOLVED, Resource

TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Requests": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": "requests",
                "VisibilityTimeout": 540,
                "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}, "maxReceiveCount": 20},
            },
        },
        "Dead": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dead", "MessageRetentionPeriod": 1209600}},
        "RequestsPolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Requests"}],
                "PolicyDocument": {
                    "Statement": [
                        {
                            "Sid": "S3",
                            "Effect": "Allow",
                            "Principal": {"Service": "s3.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": {"Fn::GetAtt": ["Requests", "Arn"]},
                        }
                    ]
                },
            },
        },
        "Told": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "told"}},
        "Dropped": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": "dropped",
                "EventPattern": {"source": ["aws.s3"]},
                "Targets": [{"Id": "Queue", "Arn": {"Fn::GetAtt": ["Requests", "Arn"]}}],
            },
        },
        "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "logs", "RetentionInDays": 30}},
    }
}


REGION, ACCOUNT = "us-east-1", "123456789012"


class CloudFormation:
    """A stack with TEMPLATE, whose resources have these physical IDs."""

    def __init__(self, physical_ids: Mapping[str, str]) -> None:
        self._physical_ids = physical_ids

    def get_paginator(self, operation: str) -> "CloudFormation":
        assert operation == "list_stack_resources"
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        for logical_id, resource in TEMPLATE["Resources"].items():
            summary = {
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": self._physical_ids[logical_id],
                "ResourceType": resource["Type"],
                "ResourceStatus": "CREATE_COMPLETE",
            }
            yield {"StackResourceSummaries": [summary]}

    def get_template(self, **_: str) -> dict[str, Any]:
        return {"TemplateBody": TEMPLATE}

    def describe_stacks(self, **_: str) -> dict[str, Any]:
        return {"Stacks": [{"StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/Small/1"}]}


class Stack(Deployment):
    """A deployed stack, whose resources are moto's."""

    def __init__(self) -> None:
        super().__init__(DeploymentRef("Small"))
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
        redrive = json.dumps({"deadLetterTargetArn": f"{arn}dead", "maxReceiveCount": 20})
        dead = self.sqs.create_queue(QueueName="dead", Attributes={"MessageRetentionPeriod": "1209600"})["QueueUrl"]
        attributes: Any = {"VisibilityTimeout": "540", "RedrivePolicy": redrive}
        requests = self.sqs.create_queue(QueueName="requests", Attributes=attributes)["QueueUrl"]
        (statement,) = TEMPLATE["Resources"]["RequestsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        policy = json.dumps({"Statement": [{**statement, "Resource": f"{arn}requests"}]})
        self.sqs.set_queue_attributes(QueueUrl=requests, Attributes={"Policy": policy})
        self.events.put_rule(Name="dropped", EventPattern='{"source": ["aws.s3"]}')
        self.logs.create_log_group(logGroupName="logs")
        self.logs.put_retention_policy(logGroupName="logs", retentionInDays=30)
        topic = self.sns.create_topic(Name="told")["TopicArn"]
        self.__dict__["cloudformation"] = CloudFormation(
            {
                "Requests": requests,
                "Dead": dead,
                "RequestsPolicy": "Small-RequestsPolicy-1",
                "Told": topic,
                "Dropped": "dropped",
                "Logs": "logs",
            }
        )

    def _client(self, service: str, **config: Any) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=REGION,
            aws_access_key_id="id",
            aws_secret_access_key="secret",
            config=Config(ignore_configured_endpoint_urls=True),  # type: ignore[call-arg]  # the stubs lack it
        )

    def url(self, name: str) -> str:
        return self.sqs.get_queue_url(QueueName=name)["QueueUrl"]


@pytest.fixture
def stack() -> Iterator[Stack]:
    with mock_aws():
        yield Stack()


def findings(stack: Stack) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_resources(DeploymentState(stack))}


def test_a_new_stack_is_as_its_template_says(stack: Stack) -> None:
    (finding,) = findings(stack).values()
    assert finding.verdict is Verdict.OK, finding
    assert finding.explanation.startswith(f"{len(TEMPLATE['Resources'])} exist")


HANDS: list[tuple[Callable[[Stack], Any], str, str, str]] = [
    (
        lambda it: it.sqs.set_queue_attributes(QueueUrl=it.url("requests"), Attributes={"VisibilityTimeout": "30"}),
        "queue requests",
        "VisibilityTimeout is 30; the template has 540",
        '--attributes \'{"VisibilityTimeout":"540"}\'',
    ),
    (
        lambda it: it.sqs.set_queue_attributes(QueueUrl=it.url("dead"), Attributes={"MessageRetentionPeriod": "60"}),
        "queue dead",
        "MessageRetentionPeriod is 60; the template has 1209600",
        "1209600",
    ),
    (
        lambda it: it.sqs.set_queue_attributes(QueueUrl=it.url("requests"), Attributes={"Policy": ""}),
        "queue policy ",
        "the statement S3 is missing",
        "aws sqs set-queue-attributes",
    ),
    (
        lambda it: it.sns.delete_topic(TopicArn="arn:aws:sns:us-east-1:123456789012:told"),
        "topic told",
        "Told was deleted",
        "aws sns create-topic --name told",
    ),
    (
        lambda it: it.events.disable_rule(Name="dropped"),
        "rule dropped",
        "State is DISABLED; the template has ENABLED",
        "aws events enable-rule --name dropped",
    ),
    (
        lambda it: it.logs.delete_log_group(logGroupName="logs"),
        "log group logs",
        "was deleted",
        "--retention-in-days 30",
    ),
    (
        lambda it: it.logs.delete_retention_policy(logGroupName="logs"),
        "log group logs",
        "RetentionInDays is gone; the template has 30",
        "aws logs put-retention-policy",
    ),
    (
        lambda it: it.sqs.delete_queue(QueueUrl=it.url("dead")),
        "queue dead",
        "Dead was deleted",
        'aws sqs create-queue --queue-name dead --attributes \'{"MessageRetentionPeriod":"1209600"}\'',
    ),
]


@pytest.mark.parametrize(
    ("change", "check", "says", "remedy"), HANDS, ids=["-".join(one[2].split()[:3]) for one in HANDS]
)
def test_what_was_changed_by_hand_is_found_by_name(
    stack: Stack, change: Callable[[Stack], Any], check: str, says: str, remedy: str
) -> None:
    change(stack)
    # moto drops the policy of a queue when another attribute is set, and so a second resource may be wrong.
    (finding,) = [one for name, one in findings(stack).items() if name.startswith(check)]
    assert finding.verdict is Verdict.WRONG
    assert says in finding.explanation
    assert remedy in str(finding.remedy)


@pytest.mark.parametrize(
    ("declared", "actual"),
    [
        ({"Timeout": 90}, {"Timeout": "90"}),
        ({"Enabled": True}, {"Enabled": "true"}),
        ({"Threshold": 1}, {"Threshold": 1.0}),
        ({"Actions": ["b", "a"]}, {"Actions": ["a", "b", "c"]}),
        ({"Role": UNRESOLVED}, {"Role": "arn"}),
        ({}, {"Timeout": 3}),
    ],
)
def test_the_same_value_in_another_form_is_no_difference(declared: dict[str, Any], actual: dict[str, Any]) -> None:
    assert list(differences("AWS::X", declared, actual)) == []


def test_an_added_variable_of_the_environment_is_a_difference() -> None:
    declared = {"Environment": {"Variables": {"A": "1"}}}
    (found,) = differences("AWS::Lambda::Function", declared, {"Environment": {"Variables": {"A": "1", "B": "2"}}})
    assert str(found) == "Environment.Variables.B is 2; the template has none"


def test_a_long_value_is_not_quoted_whole() -> None:
    (found,) = differences("AWS::X", {"Value": "a"}, {"Value": "b" * 5000})
    assert len(str(found)) < 200


def test_what_only_cloudformation_can_resolve_is_reverted() -> None:
    resource = Resource("AWS::Lambda::Function", "F", "f", {"Environment": {"Variables": {"A": "1", "R": UNRESOLVED}}})
    assert restore(resource, [Difference("Environment.Variables.A", "1", "2")]) == REVERT


def test_every_operation_that_reads_a_resource_has_its_permission() -> None:
    """Each reader is called with clients that record the operations; docs/cli.md lists the permissions."""
    called: set[str] = set()

    class Client:
        def __getattr__(self, name: str) -> Any:
            def call(**_: Any) -> Any:
                called.add("".join(word.capitalize() for word in name.split("_")))
                return _Answer()

            return call

    class _Answer(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            return {} if key in {"Attributes"} else "{}" if key == "Policy" else []

    client = Client()
    services = ("sqs", "s3", "lambda_", "iam", "logs", "sns", "cloudwatch", "events")
    deployment: Any = SimpleNamespace(**dict.fromkeys(services, client))
    properties = {"Queues": ["u"], "Bucket": "b", "Topics": ["t"], "Roles": ["r"], "PolicyName": "p"}
    for kind, (_, read) in READERS.items():
        try:
            read(deployment, Resource(kind, "L", "p", properties))
        except Exception as error:  # noqa: BLE001 - an empty answer has no such resource
            assert "does not" not in str(error)
    assert called - {"GetRole"} <= ACTIONS.keys(), called - ACTIONS.keys()
    assert len(called) >= 12


def test_the_permissions_are_documented() -> None:
    section = (Path(__file__).parents[2] / "docs/cli.md").read_text().partition("## doctor")[2].partition("\n## ")[0]
    text = section.partition("The command changes nothing.")[2]
    assert set(re.findall(r"`([a-z0-9]+:[A-Za-z]+)`", text)) == set(ACTIONS.values())
