"""docs/asyncapi.yaml and the snippets for other apps agree with the template."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from tests.support.asyncapi import CHANNELS

ROOT = Path(__file__).parents[2]
SENDERS = ROOT / "examples" / "senders"
QUEUES = [
    queue
    for channel in CHANNELS.values()
    for name, queue in channel.get("bindings", {}).get("sqs", {}).items()
    if name != "bindingVersion"
]
PROPERTIES = {
    "visibilityTimeout": "VisibilityTimeout",
    "receiveMessageWaitTime": "ReceiveMessageWaitTimeSeconds",
    "messageRetentionPeriod": "MessageRetentionPeriod",
}


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue["name"])
def test_queues(queue: dict[str, Any], resources: dict[str, list[dict[str, Any]]]) -> None:
    (deployed,) = [one["Properties"] for one in resources["AWS::SQS::Queue"] if queue["name"] in one["LogicalId"]]
    assert queue["fifoQueue"] is ("FifoQueue" in deployed)
    assert {key: queue[key] for key in PROPERTIES if key in queue} == {
        key: deployed[name] for key, name in PROPERTIES.items() if name in deployed
    }
    assert ("redrivePolicy" in queue) is ("RedrivePolicy" in deployed)
    if "redrivePolicy" in queue:
        documented, redrive = queue["redrivePolicy"], deployed["RedrivePolicy"]
        assert documented["maxReceiveCount"] == redrive["maxReceiveCount"]
        assert documented["deadLetterQueue"]["name"] in redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]


def test_the_documented_outputs_exist(assembly: Path) -> None:
    outputs = json.loads((assembly / "Sluice.template.json").read_text())["Outputs"]
    named = {name for channel in CHANNELS.values() for name in channel["parameters"]}
    assert {name for name in named if name.endswith(("Name", "Url"))} <= set(outputs)


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    stack = Stack(App(), "Sender")
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    runpy.run_path(str(SENDERS / "grant.py"))["allow_sending"](
        role,
        {
            "RequestQueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/requests",
            "InputBucketName": "in",
            "ResultsBucketName": "out",
        },
        "arn:aws:kms:eu-central-1:123456789012:key/k",
    )
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    found: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
    return found


def test_the_cdk_snippet_grants_what_a_sender_needs_and_no_more(statements: list[dict[str, Any]]) -> None:
    allowed = {
        action: json.dumps(statement["Resource"])
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    ends = {
        "sqs:SendMessage": ':requests"]]}',
        "s3:PutObject": ':s3:::in/transform/*"]]}]',
        "s3:GetObject": ':s3:::out/*"]]}',
        "s3:ListBucket": ':s3:::out"]]}',
        "kms:GenerateDataKey": ':key/k"',
        "kms:Decrypt": ':key/k"',
    }
    assert set(allowed) == set(ends)
    for action, end in ends.items():
        assert allowed[action].endswith(end), action


def test_the_terraform_snippet_grants_the_same(statements: list[dict[str, Any]]) -> None:
    text = (SENDERS / "grant.tf").read_text()
    for statement in statements:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert f'"{action}"' in text
    assert text.count("sqs:") + text.count('"s3:') + text.count("kms:") == 6
