"""A KMS key and a VPC: what is encrypted, where functions run, and the permissions for both."""

import json
import re
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template

from infrastructure.network import vpc_endpoints
from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import SettingsError
from infrastructure.stack import SluiceStack
from tests.infrastructure.test_construct import FUNCTIONS, KEY_ARN, policy, settings, stack


@pytest.mark.parametrize("given", ["settings", "prop"])
def test_a_key_encrypts_all_new_resources_and_permissions_are_narrow(given: str) -> None:
    team = stack()
    pipeline = (
        SluicePipeline(team, "Wine", settings=settings(kms_key_arn=KEY_ARN))
        if given == "settings"
        else SluicePipeline(team, "Wine", settings=settings(), key=kms.Key.from_key_arn(team, "Given", KEY_ARN))
    )
    pipeline.grant_send(iam.Role(team, "Sender", assumed_by=iam.AccountRootPrincipal()))
    found = Template.from_stack(team)
    found.all_resources_properties("AWS::SQS::Queue", {"KmsMasterKeyId": KEY_ARN})
    found.all_resources_properties(
        "AWS::S3::Bucket",
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {
                        "BucketKeyEnabled": True,
                        "ServerSideEncryptionByDefault": {"KMSMasterKeyID": KEY_ARN, "SSEAlgorithm": "aws:kms"},
                    }
                ]
            }
        },
    )
    for unit in FUNCTIONS:
        allowed = policy(found, unit)
        assert allowed["UseKeys"]["Resource"] == KEY_ARN
        assert allowed["UseKeys"]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
        assert "ReadWithKeys" not in allowed
    (sender,) = [one for name, one in found.find_resources("AWS::IAM::Policy").items() if "Sender" in name]
    assert KEY_ARN in json.dumps(sender), "a sender may also use the key"


def test_a_key_of_the_same_app_allows_s3_to_send_to_the_queues() -> None:
    team = stack()
    SluicePipeline(team, "Wine", settings=settings(), key=kms.Key(team, "Key"))
    (key,) = Template.from_stack(team).find_resources("AWS::KMS::Key").values()
    services = [
        one
        for one in key["Properties"]["KeyPolicy"]["Statement"]
        if one["Principal"] == {"Service": "s3.amazonaws.com"}
    ]
    assert [one["Action"] for one in services] == [["kms:Decrypt", "kms:GenerateDataKey"]]


def test_the_key_of_an_existing_input_bucket_is_only_for_reading() -> None:
    team = stack()
    lake = s3.Bucket.from_bucket_attributes(
        team, "Lake", bucket_name="lake", encryption_key=kms.Key.from_key_arn(team, "LakeKey", KEY_ARN)
    )
    SluicePipeline(team, "Wine", settings=settings(), input_bucket=lake)
    found = Template.from_stack(team)
    for unit in FUNCTIONS:
        allowed = policy(found, unit)
        if "ReadInputs" in allowed:
            assert (allowed["ReadWithKeys"]["Action"], allowed["ReadWithKeys"]["Resource"]) == ("kms:Decrypt", KEY_ARN)
        else:
            assert "ReadWithKeys" not in allowed
        assert "UseKeys" not in allowed


def test_the_keys_of_input_location_buckets_are_only_for_reading_and_only_where_those_are_read() -> None:
    team = stack()
    keys = [KEY_ARN, KEY_ARN.replace("1234abcd", "5678abcd")]
    given = settings(input_location_buckets=["lake", "pond"], input_location_key_arns=keys)
    SluicePipeline(team, "Wine", settings=given)
    found = Template.from_stack(team)
    for unit in FUNCTIONS:
        allowed = policy(found, unit)
        if "lake" in json.dumps(allowed.get("ReadInputs")):
            assert (allowed["ReadWithKeys"]["Action"], allowed["ReadWithKeys"]["Resource"]) == ("kms:Decrypt", keys)
        else:
            assert "ReadWithKeys" not in allowed
    assert "lake" in json.dumps(policy(found, "Invoke")["ReadInputs"])
    with pytest.raises(SettingsError, match=r"sluice\.input_location_key_arns: are the keys of"):
        settings(input_location_key_arns=keys)


def test_functions_in_a_vpc_have_network_permissions_that_are_denied_to_their_code() -> None:
    team = stack()
    vpc = ec2.Vpc(team, "Vpc", max_azs=2, restrict_default_security_group=False)
    SluicePipeline(team, "Wine", settings=settings(), vpc=vpc)
    found = Template.from_stack(team)
    private = [name for name in found.find_resources("AWS::EC2::Subnet") if "Private" in name]
    (group,) = found.find_resources("AWS::EC2::SecurityGroup")
    found.all_resources_properties(
        "AWS::Lambda::Function",
        {
            "VpcConfig": {
                "SubnetIds": [{"Ref": name} for name in private],
                "SecurityGroupIds": [{"Fn::GetAtt": [group, "GroupId"]}],
            }
        },
    )
    for unit in FUNCTIONS:
        allowed = policy(found, unit)
        assert set(allowed["JoinNetwork"]["Action"]) == {
            "ec2:CreateNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
        }
        denied = allowed["LeaveTheNetworkToLambda"]
        assert denied["Effect"] == "Deny"
        assert denied["Action"] == allowed["JoinNetwork"]["Action"]
        assert ":function:*" in json.dumps(denied["Condition"]["ArnLike"]["lambda:SourceFunctionArn"])
    assert "ManagedPolicyArns" not in json.dumps(
        [one for name, one in found.find_resources("AWS::IAM::Role").items() if "Functions" in name]
    )


@pytest.mark.parametrize("topic", [False, True])
def test_synth_names_the_vpc_endpoints_that_subnets_without_a_nat_gateway_need(topic: bool) -> None:
    team = stack()
    isolated = ec2.SubnetConfiguration(name="Isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    vpc = ec2.Vpc(team, "Vpc", max_azs=2, restrict_default_security_group=False, subnet_configuration=[isolated])
    SluicePipeline(team, "Wine", settings=settings(notifications={"error_topic": topic}), vpc=vpc)
    infos = [str(one.entry.data) for one in Annotations.from_stack(team).find_info("*", Match.any_value())]
    (says,) = [one for one in infos if "VPC" in one]
    assert "s3 (gateway), sagemaker.runtime, sqs" in says
    assert (", sns" in says) is topic


def test_every_service_that_the_functions_call_has_a_vpc_endpoint() -> None:
    """And no other: what Lambda itself writes, such as logs, does not pass through the VPC."""
    clients = (Path(__file__).parents[2] / "lambdas/sluice/aws/clients.py").read_text()
    called = {name.replace("-", ".") for name in re.findall(r'session\.client\("([^"]+)"', clients)}
    assert {one.partition(" ")[0] for one in vpc_endpoints(settings(notifications={"success_topic": True}))} == called
    documented = (Path(__file__).parents[2] / "docs/construct.md").read_text()
    assert all(f"`{name}`" in documented for name in called)


def test_settings_put_the_functions_in_subnets_without_a_look_up() -> None:
    given = {"subnet_ids": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"], "security_group_ids": ["sg-0a1b2c3d"]}
    found = Template.from_stack(SluiceStack(cdk.App(), settings(network=given)))
    found.all_resources_properties(
        "AWS::Lambda::Function",
        {"VpcConfig": {"SubnetIds": given["subnet_ids"], "SecurityGroupIds": given["security_group_ids"]}},
    )
