"""A KMS key and a VPC: what is encrypted, where functions run, and the permissions for both."""

import json

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from infrastructure.pipeline import SluicePipeline
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


def test_settings_put_the_functions_in_subnets_without_a_look_up() -> None:
    given = {"subnet_ids": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"], "security_group_ids": ["sg-0a1b2c3d"]}
    found = Template.from_stack(SluiceStack(cdk.App(), settings(network=given)))
    found.all_resources_properties(
        "AWS::Lambda::Function",
        {"VpcConfig": {"SubnetIds": given["subnet_ids"], "SecurityGroupIds": given["security_group_ids"]}},
    )
