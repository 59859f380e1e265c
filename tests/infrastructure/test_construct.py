"""The pipeline as a construct in another stack: with existing resources, and next to a second pipeline."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import Settings, SettingsError
from infrastructure.stack import SluiceStack

KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ENDPOINT_ARN = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint/wine-eu"
FUNCTIONS = ("Invoke", "Part", "Split", "Assemble", "Crashed")


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
    """CloudFormation replaces a resource whose logical ID changes with a new, empty queue or bucket."""
    found = Template.from_stack(SluiceStack(cdk.App(), settings()))
    assert set(found.find_resources("AWS::S3::Bucket")) == {
        "StorageInputBucket0767FBBB",
        "StorageResultsBucketF87BB70E",
    }
    assert set(found.find_resources("AWS::SQS::Queue")) == {
        "QueuesRequestQueueFE8DAD33",
        "QueuesDeadLetterQueue82AA3FB7",
        "QueuesCrashedQueue71E0A121",
        "QueuesPartQueue882483E6",
        "QueuesSplitQueue748F799C",
        "QueuesAssemblyQueue78080B30",
    }


def test_two_pipelines_in_one_stack_share_no_resource_and_have_no_physical_names() -> None:
    team = stack()
    for name in ("Wine", "Digits"):
        SluicePipeline(team, name, settings=settings(deployment_name=name)).outputs(name)
    found = Template.from_stack(team)
    found.resource_count_is("AWS::SQS::Queue", 12)
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
    assert services == {"Wine", "Digits"}, "the metrics of the two are distinct"


def test_two_pipelines_of_one_name_in_one_stack_are_refused() -> None:
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


def test_events_of_an_existing_input_bucket_come_from_eventbridge() -> None:
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


def test_existing_queues_and_results_bucket_replace_new_ones() -> None:
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
    found.resource_count_is("AWS::SQS::Queue", 4)
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


def test_an_endpoint_with_an_arn_is_called_by_its_name_and_allowed_in_lower_case() -> None:
    team = stack(env=cdk.Environment(account="111122223333", region="eu-west-1"))
    wine = {"name": "Wine-EU", "arn": ENDPOINT_ARN}
    written_in_its_case = ENDPOINT_ARN.replace("wine-eu", "My-Model")
    SluicePipeline(team, "Wine", settings=settings(endpoint_names=[wine, written_in_its_case, "Digits"]))
    found = Template.from_stack(team)
    for unit in ("Invoke", "Part"):
        allowed = policy(found, unit)["InvokeEndpoints"]["Resource"]
        assert allowed[:2] == [ENDPOINT_ARN, ENDPOINT_ARN.replace("wine-eu", "my-model")]
        assert "endpoint/digits" in json.dumps(allowed[2])
    (invoke,) = [one for name, one in found.find_resources("AWS::Lambda::Function").items() if "Invoke" in name]
    variables = invoke["Properties"]["Environment"]["Variables"]
    assert variables["SLUICE_ENDPOINT_NAMES"] == "Wine-EU,My-Model,Digits"
    assert variables["SLUICE_DEFAULT_ENDPOINT_NAME"] == "Wine-EU"


def test_the_inference_components_of_an_endpoint_may_be_called_and_no_others() -> None:
    team = stack(env=cdk.Environment(account="111122223333", region="eu-west-1"))
    chat = {"name": "chat", "inference_components": ["Base-8b", "lora-*"]}
    SluicePipeline(team, "Wine", settings=settings(endpoint_names=["wine", chat]))
    found = Template.from_stack(team)
    for unit in FUNCTIONS:
        resources = json.dumps(policy(found, unit).get("InvokeEndpoints", {}).get("Resource", []))
        components = re.findall(r":inference-component/([^\"]+)", resources)
        assert components == (["Base-8b", "base-8b", "lora-*"] if unit in {"Invoke", "Part"} else [])


FAR_KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
FAR_TOPIC = "arn:aws:sns:us-east-1:111122223333:alarms"


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("kms_key_arn", {"kms_key_arn": FAR_KEY}),
        ("alarms.topic", {"alarms": {"topic": FAR_TOPIC}}),
        ("notifications.success_topic", {"notifications": {"success_topic": FAR_TOPIC}}),
        ("notifications.error_topic", {"notifications": {"error_topic": FAR_TOPIC}}),
    ],
)
def test_what_is_in_another_region_is_refused(key: str, given: dict[str, Any]) -> None:
    near = stack(env=cdk.Environment(account="111122223333", region="eu-west-1"))
    with pytest.raises(SettingsError, match=rf"^sluice\.{key}: arn:.* is in region us-east-1, the stack in eu-west-1"):
        SluicePipeline(near, "Wine", settings=settings(**given))
    mixed = settings(endpoint_names=[{"name": "Wine-EU", "arn": ENDPOINT_ARN}], **given)
    with pytest.raises(SettingsError, match=rf"^sluice\.{key}: .*us-east-1, sluice\.endpoint_names in eu-west-1"):
        SluicePipeline(stack(), "Wine", settings=mixed)
    far = stack(env=cdk.Environment(account="111122223333", region="us-east-1"))
    SluicePipeline(far, "Wine", settings=settings(**given))


@pytest.mark.parametrize(
    ("place", "says"),
    [(("111122223333", "us-east-1"), "is in region eu-west-1, the stack in us-east-1"),
     (("999999999999", "eu-west-1"), "is in account 111122223333, the stack in 999999999999")],
)  # fmt: skip
def test_an_endpoint_in_another_region_or_account_is_refused(place: tuple[str, str], says: str) -> None:
    team = stack(env=cdk.Environment(account=place[0], region=place[1]))
    with pytest.raises(SettingsError, match=says):
        SluicePipeline(team, "Wine", settings=settings(endpoint_names=[{"name": "Wine-EU", "arn": ENDPOINT_ARN}]))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, None),
        (
            {"max_body_bytes": 26_214_400},
            "512 MB are enough to read 4 bodies of sluice.max_body_bytes at once, and one",
        ),
        ({"max_body_bytes": 26_214_400, "function": {"memory_mb": 1024}}, None),
        ({"max_body_bytes": 26_214_400, "batch_size": 4}, None),
    ],
)
def test_synth_says_when_the_largest_bodies_of_all_calls_do_not_fit_into_memory(
    given: dict[str, Any], says: str | None
) -> None:
    team = stack()
    SluicePipeline(team, "Wine", settings=settings(**given))
    infos = [str(one.entry.data) for one in Annotations.from_stack(team).find_info("*", Match.any_value())]
    found = [one for one in infos if "memory_mb" in one]
    assert len(found) == (says is not None)
    assert all(str(says) in one for one in found)


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    """In a stack with existing resources for all but the results, and in one with a topic and a composite alarm."""
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
    plain = SluiceStack(
        cdk.App(), settings(alarms={"email": "ops@example.com", "composite": True}, kms_key_arn=KEY_ARN)
    )
    files = []
    for number, one in enumerate((team, plain)):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(Template.from_stack(one).to_json()))
    lint = Path(sys.executable).with_name("cfn-lint")
    root = Path(__file__).parents[2]
    done = subprocess.run([lint, *files], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
