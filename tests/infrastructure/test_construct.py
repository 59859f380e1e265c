"""The pipeline as a construct, in a team's own stack: with resources that are there already, and beside another one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Match, Template

from infrastructure.health import HealthStack
from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import Settings, SettingsError
from infrastructure.stack import SluiceStack

KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ENDPOINT_ARN = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint/wine"
FUNCTIONS = ("Invoke", "Split", "Assemble", "Crashed")


def settings(**given: Any) -> Settings:
    return Settings.from_context({"endpoint_names": ["wine"]}, given)


def stack(**how: Any) -> cdk.Stack:
    return cdk.Stack(cdk.App(), "Team", **how)


def policy(found: Template, unit: str) -> dict[str, dict[str, Any]]:
    """The statements of a function's policy by Sid."""
    (one,) = [
        resource for name, resource in found.find_resources("AWS::IAM::Policy").items() if f"{unit}Policy" in name
    ]
    return {statement["Sid"]: statement for statement in one["Properties"]["PolicyDocument"]["Statement"]}


def test_buckets_and_queues_of_a_deployed_stack_keep_their_logical_ids() -> None:
    """CloudFormation would replace a resource whose logical ID changes: an empty queue, an empty bucket."""
    found = Template.from_stack(SluiceStack(cdk.App(), settings()))
    assert set(found.find_resources("AWS::S3::Bucket")) == {
        "StorageInputBucket0767FBBB",
        "StorageResultsBucketF87BB70E",
    }
    assert set(found.find_resources("AWS::SQS::Queue")) == {
        "QueuesRequestQueueFE8DAD33",
        "QueuesDeadLetterQueue82AA3FB7",
        "QueuesCrashedQueue71E0A121",
        "QueuesSplitQueue748F799C",
        "QueuesAssemblyQueue78080B30",
    }


def test_two_in_one_stack_share_nothing_and_name_nothing() -> None:
    team = stack()
    for name in ("Wine", "Digits"):
        SluicePipeline(team, name, settings=settings(deployment_name=name)).outputs(name)
    found = Template.from_stack(team)
    found.resource_count_is("AWS::SQS::Queue", 10)
    names = {"BucketName", "QueueName", "FunctionName", "LogGroupName", "RoleName", "LayerName", "PolicyName"}
    for logical_id, resource in found.to_json()["Resources"].items():
        fixed = names & set(resource.get("Properties", {}))
        # A policy's name is one inside its role; an event source mapping says which function it is of.
        assert fixed <= {"PolicyName", "FunctionName"}, logical_id
        if resource["Type"] == "AWS::Lambda::Function":
            assert not fixed
        if logical_id.startswith("Wine"):
            assert "Digits" not in json.dumps(resource)
    services = {
        one["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        for one in found.find_resources("AWS::Lambda::Function").values()
    }
    assert services == {"Wine", "Digits"}, "whose metrics are whose"


def test_two_of_one_name_in_one_stack_are_refused() -> None:
    team = stack()
    SluicePipeline(team, "First", settings=settings())
    with pytest.raises(SettingsError, match=r"^sluice\.deployment_name: another pipeline of this stack is"):
        SluicePipeline(team, "Second", settings=settings())


def test_the_command_line_finds_it_by_the_prefix_of_its_outputs() -> None:
    team = stack()
    SluicePipeline(team, "Wine", settings=settings()).outputs("Wine")
    plain = Template.from_stack(SluiceStack(cdk.App(), settings())).to_json()["Outputs"]
    assert set(Template.from_stack(team).to_json()["Outputs"]) == {f"Wine{name}" for name in plain}


def test_a_prefix_that_cloudformation_refuses_is_refused() -> None:
    pipeline = SluicePipeline(stack(), "Wine", settings=settings())
    with pytest.raises(SettingsError, match=r"^outputs: the prefix 'wine-' must be letters and digits"):
        pipeline.outputs("wine-")


def test_drops_in_an_existing_bucket_come_by_eventbridge() -> None:
    team = stack()
    lake = s3.Bucket.from_bucket_name(team, "Lake", "lake")
    SluicePipeline(team, "Wine", settings=settings(), input_bucket=lake)
    found = Template.from_stack(team)
    found.resource_count_is("AWS::S3::Bucket", 1)
    found.resource_count_is("AWS::Events::Rule", 2)
    assert "NotificationConfiguration" not in json.dumps(found.to_json())
    for prefix, queue in (("invoke/", "RequestQueue"), ("transform/", "SplitQueue")):
        (name,) = [one for one in found.find_resources("AWS::SQS::Queue") if queue in one]
        found.has_resource_properties(
            "AWS::Events::Rule",
            {
                "EventPattern": {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {"bucket": {"name": ["lake"]}, "object": {"key": [{"prefix": prefix}]}},
                },
                "Targets": [{"Arn": {"Fn::GetAtt": [name, "Arn"]}}],
            },
        )
        found.has_resource_properties(
            "AWS::SQS::QueuePolicy",
            {
                "Queues": [{"Ref": name}],
                "PolicyDocument": {
                    "Statement": Match.array_with(
                        [
                            Match.object_like(
                                {
                                    "Principal": {"Service": "events.amazonaws.com"},
                                    "Action": "sqs:SendMessage",
                                    "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
                                }
                            )
                        ]
                    )
                },
            },
        )
    assert "s3.amazonaws.com" not in json.dumps(found.find_resources("AWS::SQS::QueuePolicy"))
    read = json.dumps(policy(found, "Invoke")["ReadInputs"]["Resource"])
    assert ":s3:::lake/*" in read


def test_existing_queues_and_results_take_the_place_of_its_own() -> None:
    team = stack()
    requests = sqs.Queue.from_queue_arn(team, "Requests", "arn:aws:sqs:eu-west-1:111122223333:requests")
    dead = sqs.Queue.from_queue_arn(team, "Dead", "arn:aws:sqs:eu-west-1:111122223333:dead")
    results = s3.Bucket.from_bucket_name(team, "Results", "answers")
    pipeline = SluicePipeline(
        team,
        "Wine",
        settings=settings(),
        request_queue=requests,
        dead_letter_queue=dead,
        results_bucket=results,
    )
    pipeline.outputs()
    found = Template.from_stack(team)
    found.resource_count_is("AWS::SQS::Queue", 3)
    found.resource_count_is("AWS::S3::Bucket", 1)
    allowed = policy(found, "Invoke")
    assert allowed["TakeRequests"]["Resource"] == "arn:aws:sqs:eu-west-1:111122223333:requests"
    assert allowed["SendDeadLetters"]["Resource"] == "arn:aws:sqs:eu-west-1:111122223333:dead"
    assert ":s3:::answers/*" in json.dumps(allowed["StoreResults"]["Resource"])
    crashed = [one for name, one in found.find_resources("AWS::SQS::Queue").items() if "CrashedQueue" in name]
    assert crashed[0]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"].endswith(":dead")
    outputs = found.to_json()["Outputs"]
    assert "requests" in json.dumps(outputs["RequestQueueUrl"])
    assert outputs["ResultsBucketName"]["Value"] == "answers"


@pytest.mark.parametrize("given", ["settings", "prop"])
def test_a_key_encrypts_what_is_made_and_is_used_for_no_more(given: str) -> None:
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
    assert KEY_ARN in json.dumps(sender), "who may send may encrypt"


def test_a_key_of_the_same_app_lets_s3_send_to_the_queues() -> None:
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
        assert (allowed["ReadWithKeys"]["Action"], allowed["ReadWithKeys"]["Resource"]) == ("kms:Decrypt", KEY_ARN)
        assert "UseKeys" not in allowed


def test_functions_in_a_vpc_have_what_lambda_needs_and_their_code_has_not() -> None:
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
    given = {"vpc_subnet_ids": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"], "security_group_ids": ["sg-0a1b2c3d"]}
    found = Template.from_stack(SluiceStack(cdk.App(), settings(**given)))
    found.all_resources_properties(
        "AWS::Lambda::Function",
        {"VpcConfig": {"SubnetIds": given["vpc_subnet_ids"], "SecurityGroupIds": given["security_group_ids"]}},
    )


def test_an_endpoints_arn_is_permitted_as_it_stands_and_called_by_name() -> None:
    team = stack(env=cdk.Environment(account="111122223333", region="eu-west-1"))
    SluicePipeline(team, "Wine", settings=settings(endpoint_names=[ENDPOINT_ARN, "Digits"]))
    found = Template.from_stack(team)
    allowed = policy(found, "Invoke")["InvokeEndpoints"]["Resource"]
    assert ENDPOINT_ARN in allowed
    assert "endpoint/digits" in json.dumps(allowed)
    (invoke,) = [one for name, one in found.find_resources("AWS::Lambda::Function").items() if "Invoke" in name]
    variables = invoke["Properties"]["Environment"]["Variables"]
    assert variables["SLUICE_ENDPOINT_NAMES"] == "wine,Digits"
    assert variables["SLUICE_DEFAULT_ENDPOINT_NAME"] == "wine"


@pytest.mark.parametrize(
    ("place", "says"),
    [(("111122223333", "us-east-1"), "is in region eu-west-1, the stack in us-east-1"),
     (("999999999999", "eu-west-1"), "is in account 111122223333, the stack in 999999999999")],
)  # fmt: skip
def test_an_endpoint_elsewhere_is_refused(place: tuple[str, str], says: str) -> None:
    team = stack(env=cdk.Environment(account=place[0], region=place[1]))
    with pytest.raises(SettingsError, match=says):
        SluicePipeline(team, "Wine", settings=settings(endpoint_names=[ENDPOINT_ARN]))


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
                "settings": settings(vpc_subnet_ids=["subnet-0a1b2c3d"], security_group_ids=["sg-0a1b2c3d"]),
            },
            "sluice.vpc_subnet_ids: leave it out",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_gets_one_line(given: Callable[[cdk.Stack], dict[str, Any]], says: str) -> None:
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
            "request_queue: SQS takes messages off it at receive 3, before",
        ),
        (
            lambda team: {"dead_letter_queue": sqs.Queue(team, "Dead")},
            "dead_letter_queue: keeps messages no longer than requests, 4 days",
        ),
        (
            lambda team: {"input_bucket": s3.Bucket(team, "Lake")},
            "input_bucket: sends no events to EventBridge",
        ),
    ],
)
def test_synth_says_what_it_sees_is_wrong(given: Callable[[cdk.Stack], dict[str, Any]], says: str) -> None:
    team = stack()
    SluicePipeline(team, "Wine", settings=settings(), **given(team))
    with pytest.raises(RuntimeError, match=says):
        cdk.App.of(team).synth()  # type: ignore[union-attr]


def test_resources_of_the_same_app_that_are_right_are_taken() -> None:
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


def test_rights_are_granted_on_what_they_are_for() -> None:
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


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    """In what is the team's all but the results, and in two of the pipeline's own beside a topic and a health alarm."""
    team = stack()
    key = kms.Key(team, "Key")
    SluicePipeline(
        team,
        "Wine",
        settings=settings(),
        input_bucket=s3.Bucket.from_bucket_name(team, "Lake", "lake"),
        request_queue=sqs.Queue.from_queue_arn(team, "Requests", "arn:aws:sqs:eu-west-1:111122223333:requests"),
        dead_letter_queue=sqs.Queue.from_queue_arn(team, "Dead", "arn:aws:sqs:eu-west-1:111122223333:dead"),
        key=key,
        vpc=ec2.Vpc(team, "Vpc", max_azs=2, restrict_default_security_group=False),
    )
    SluicePipeline(team, "Digits", settings=settings(deployment_name="Digits"), key=key).outputs("Digits")
    app = cdk.App()
    plain = SluiceStack(app, settings(alarm_email="ops@example.com", health_alarm=True, kms_key_arn=KEY_ARN))
    health = HealthStack(app, plain.pipeline)
    files = []
    for number, one in enumerate((team, plain, health)):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(Template.from_stack(one).to_json()))
    lint = Path(sys.executable).with_name("cfn-lint")
    root = Path(__file__).parents[2]
    done = subprocess.run([lint, *files], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
