"""The corrections of the local AWS's CloudFormation: what AWS does with these properties."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from local import aws
from local.process import free_port
from local.rehearsal.account import Account

KEY = f"arn:aws:kms:{aws.REGION}:{aws.ACCOUNT}:key/1"
ALARM = {
    "Type": "AWS::CloudWatch::Alarm",
    "Properties": {
        "AlarmName": "one",
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "MetricName": "Errors",
        "Namespace": "AWS/Lambda",
        "Threshold": 0,
    },
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    port = free_port()
    started = aws.start(port, "http://127.0.0.1:9", tmp_path_factory.mktemp("account"))
    started.wait_ready()
    yield Account(aws.url(port, None))
    started.stop()


def create(account: Account, name: str, resources: Mapping[str, Any]) -> str:
    """Create a stack, and return its status."""
    account.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    return settled(account, name)


def settled(account: Account, name: str) -> str:
    while (status := account.stacks().get(name, "DELETE_COMPLETE")).endswith("_IN_PROGRESS"):
        pass
    return status


def composite(rule: str) -> dict[str, Any]:
    properties = {"AlarmName": "all", "AlarmRule": rule, "AlarmDescription": "all of them"}
    return {"Type": "AWS::CloudWatch::CompositeAlarm", "DependsOn": ["One"], "Properties": properties}


def test_composite_alarms_are_created_updated_and_deleted(account: Account) -> None:
    cloudformation, cloudwatch = account.client("cloudformation"), account.client("cloudwatch")

    def rules() -> list[str]:
        return [
            one["AlarmRule"] for one in cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        ]

    assert create(account, "health", {"One": ALARM, "All": composite("ALARM(one)")}) == "CREATE_COMPLETE"
    assert rules() == ["ALARM(one)"]
    template = {"Resources": {"One": ALARM, "All": composite("NOT ALARM(one)")}}
    cloudformation.update_stack(StackName="health", TemplateBody=json.dumps(template))
    assert settled(account, "health") == "UPDATE_COMPLETE"
    assert rules() == ["NOT ALARM(one)"]
    cloudformation.delete_stack(StackName="health")
    assert settled(account, "health") == "DELETE_COMPLETE"
    assert rules() == []


def test_a_composite_alarm_over_an_alarm_that_does_not_exist_fails(account: Account) -> None:
    rolled_back = create(account, "unhealthy", {"One": ALARM, "All": composite("ALARM(two)")})
    assert rolled_back == "ROLLBACK_COMPLETE"


def test_buckets_have_the_key_and_the_access_logs_of_the_template(account: Account) -> None:
    encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    properties = {
        "BucketName": "with-a-key",
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": encryption}
            ]
        },
        "LoggingConfiguration": {"DestinationBucketName": "logs", "LogFilePrefix": "with/"},
    }
    assert create(account, "buckets", {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}})
    s3 = account.client("s3")
    (rule,) = s3.get_bucket_encryption(Bucket="with-a-key")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == encryption
    assert rule["BucketKeyEnabled"] is True
    logging = s3.get_bucket_logging(Bucket="with-a-key")["LoggingEnabled"]
    assert (logging["TargetBucket"], logging["TargetPrefix"]) == ("logs", "with/")


def test_a_bucket_that_is_not_empty_is_not_deleted(account: Account) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "not-empty"}}
    assert create(account, "full", {"Bucket": bucket}) == "CREATE_COMPLETE"
    s3, cloudformation = account.client("s3"), account.client("cloudformation")
    s3.put_object(Bucket="not-empty", Key="a", Body=b"1")
    cloudformation.delete_stack(StackName="full")
    assert settled(account, "full") == "DELETE_FAILED"
    account.empty("not-empty")
    cloudformation.delete_stack(StackName="full")
    assert settled(account, "full") == "DELETE_COMPLETE"
    assert "not-empty" not in {one["Name"] for one in s3.list_buckets()["Buckets"]}


def test_an_object_encrypted_by_kms_without_a_key_has_that_of_s3(account: Account) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="kms", CreateBucketConfiguration={"LocationConstraint": aws.REGION})
    s3.put_object(Bucket="kms", Key="a", Body=b"1", ServerSideEncryption="aws:kms")
    assert s3.head_object(Bucket="kms", Key="a")["SSEKMSKeyId"].endswith("alias/aws/s3")


def test_functions_are_in_the_subnets_of_the_template(account: Account) -> None:
    client = account.client("ec2")
    vpc = client.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24")["Subnet"]["SubnetId"]

    def function(name: str, subnet: str) -> dict[str, Any]:
        properties = {
            "FunctionName": name,
            "Code": {"ZipFile": "def handler(event, context): pass"},
            "Handler": "index.handler",
            "Role": f"arn:aws:iam::{aws.ACCOUNT}:role/any",
            "Runtime": "python3.13",
            "VpcConfig": {"SubnetIds": [subnet], "SecurityGroupIds": ["sg-1"]},
        }
        return {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}

    assert create(account, "inside", function("inside", subnet)) == "CREATE_COMPLETE"
    network = account.client("lambda").get_function_configuration(FunctionName="inside")["VpcConfig"]
    assert (network["SubnetIds"], network["VpcId"]) == ([subnet], vpc)
    assert create(account, "outside", function("outside", "subnet-0")) == "ROLLBACK_COMPLETE"
