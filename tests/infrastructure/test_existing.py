"""Existing resources: which are refused at construction, which at synth, and which are accepted."""

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Match, Template

from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import SettingsError
from tests.infrastructure.test_construct import KEY_ARN, settings, stack


def fifo(team: cdk.Stack) -> sqs.IQueue:
    return sqs.Queue.from_queue_arn(team, "Fifo", "arn:aws:sqs:eu-west-1:111122223333:one.fifo")


def bucket(team: cdk.Stack, name: str) -> s3.IBucket:
    return s3.Bucket.from_bucket_name(team, name, "one")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda team: {"request_queue": fifo(team)}, "request_queue: is a FIFO queue; give a standard one"),
        (lambda team: {"dead_letter_queue": fifo(team)}, "dead_letter_queue: is a FIFO queue"),
        (
            lambda team: {"input_bucket": bucket(team, "In"), "results_bucket": bucket(team, "Out")},
            "results_bucket: is the input bucket",
        ),
        (
            lambda team: dict.fromkeys(("request_queue", "dead_letter_queue"), sqs.Queue(team, "One")),
            "dead_letter_queue: is the request queue",
        ),
        (lambda team: {"subnets": []}, "vpc: is missing"),
        (
            lambda team: {"vpc": (vpc := ec2.Vpc(team, "Vpc")), "subnets": vpc.public_subnets},
            "subnets: are public",
        ),
        (
            lambda team: {"key": kms.Key(team, "Key"), "settings": settings(kms_key_arn=KEY_ARN)},
            "sluice.kms_key_arn: leave it out",
        ),
        (
            lambda team: {
                "vpc": ec2.Vpc(team, "Vpc"),
                "settings": settings(
                    network={"subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}
                ),
            },
            "sluice.network: leave it out",
        ),
    ],
)  # fmt: skip
def test_resources_that_cannot_work_fail_with_one_line(given: Callable[[cdk.Stack], dict[str, Any]], says: str) -> None:
    team = stack()
    with pytest.raises(SettingsError) as raised:
        SluicePipeline(team, "Wine", **{"settings": settings(), **given(team)})
    assert str(raised.value).startswith(says)
    assert "\n" not in str(raised.value)


def own_queue(team: cdk.Stack, *, visibility: int, receives: int | None) -> sqs.Queue:
    return sqs.Queue(
        team,
        "Requests",
        visibility_timeout=cdk.Duration.seconds(visibility),
        dead_letter_queue=sqs.DeadLetterQueue(queue=sqs.Queue(team, "Buried"), max_receive_count=receives)
        if receives
        else None,
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            lambda team: {"request_queue": own_queue(team, visibility=539, receives=20)},
            "request_queue: its visibility timeout is 539 s; give it at least 540",
        ),
        (
            lambda team: {"request_queue": own_queue(team, visibility=540, receives=None)},
            "request_queue: has no redrive policy",
        ),
        (
            lambda team: {"request_queue": own_queue(team, visibility=540, receives=3)},
            "request_queue: SQS moves messages off it at receive 3, before",
        ),
        (
            lambda team: {"dead_letter_queue": sqs.Queue(team, "Dead")},
            "dead_letter_queue: keeps messages no longer than requests, 13 days",
        ),
        (
            lambda team: {"input_bucket": s3.Bucket(team, "Lake")},
            "input_bucket: sends no events to EventBridge",
        ),
    ],
)
def test_synth_reports_wrong_properties(given: Callable[[cdk.Stack], dict[str, Any]], says: str) -> None:
    team = stack()
    SluicePipeline(team, "Wine", settings=settings(), **given(team))
    with pytest.raises(RuntimeError, match=says):
        cdk.App.of(team).synth()  # type: ignore[union-attr]


def test_correct_resources_of_the_same_app_are_accepted() -> None:
    team = stack()
    requests = sqs.Queue(team, "Requests", visibility_timeout=cdk.Duration.seconds(540))
    pipeline = SluicePipeline(
        team,
        "Wine",
        settings=settings(),
        request_queue=requests,
        input_bucket=s3.Bucket(team, "Lake", event_bridge_enabled=True),
    )
    resource = requests.node.default_child
    assert isinstance(resource, sqs.CfnQueue)
    resource.redrive_policy = {"deadLetterTargetArn": pipeline.crashed_queue.queue_arn, "maxReceiveCount": 20}
    found = Template.from_stack(team)
    found.has_resource_properties("AWS::SQS::Queue", {"VisibilityTimeout": 540, "RedrivePolicy": Match.any_value()})


def test_grants_are_on_the_right_resources() -> None:
    team = stack()
    pipeline = SluicePipeline(team, "Wine", settings=settings())
    role = iam.Role(team, "Friend", assumed_by=iam.AccountRootPrincipal())
    pipeline.grant_send(role)
    pipeline.grant_drop(role)
    pipeline.grant_read_results(role)
    found = Template.from_stack(team)
    (friend,) = [one for name, one in found.find_resources("AWS::IAM::Policy").items() if "Friend" in name]
    allowed = friend["Properties"]["PolicyDocument"]["Statement"]
    sends = next(one for one in allowed if "sqs:SendMessage" in one["Action"])
    assert "RequestQueue" in json.dumps(sends["Resource"])
    drops = [one for one in allowed if "s3:PutObject" in one["Action"]]
    assert {"/invoke/*" in json.dumps(one) or "/transform/*" in json.dumps(one) for one in drops} == {True}
    assert not [one for one in allowed if "ResultsBucket" in json.dumps(one) and "s3:PutObject" in one["Action"]]
