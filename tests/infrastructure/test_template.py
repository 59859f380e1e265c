"""The template: the resources and their permissions."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.conftest import synthesized

Resources = dict[str, list[dict[str, Any]]]


def of(resources: Resources, kind: str, unit: str) -> dict[str, Any]:
    """The properties of the one resource of `kind` whose logical ID says that it belongs to `unit`."""
    (resource,) = [one for one in resources[kind] if unit in one["LogicalId"]]
    properties: dict[str, Any] = resource["Properties"]
    return properties


def text(value: object) -> str:
    return json.dumps(value)


def test_five_functions_and_nothing_hidden(resources: Resources) -> None:
    assert {kind: len(found) for kind, found in resources.items()} == {
        "AWS::S3::Bucket": 2,
        "AWS::S3::BucketPolicy": 2,
        "AWS::SQS::Queue": 6,
        "AWS::SQS::QueuePolicy": 6,
        "AWS::Logs::LogGroup": 5,
        "AWS::IAM::Role": 5,
        "AWS::IAM::Policy": 5,
        "AWS::Lambda::LayerVersion": 1,
        "AWS::Lambda::Function": 5,
        "AWS::Lambda::EventSourceMapping": 5,
        "AWS::CloudWatch::Alarm": 24,
        "AWS::CloudWatch::Dashboard": 1,
    }


def test_outputs(assembly: Path) -> None:
    outputs = json.loads((assembly / "Sluice.template.json").read_text())["Outputs"]
    assert {"InputBucketName", "ResultsBucketName", "RequestQueueUrl", "DeadLetterQueueUrl"} <= set(outputs)


def test_buckets_are_private_versioned_encrypted_and_kept(resources: Resources) -> None:
    for bucket in resources["AWS::S3::Bucket"]:
        properties = bucket["Properties"]
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert "SSEAlgorithm" in text(properties["BucketEncryption"])
        assert bucket["DeletionPolicy"] == "Retain"
        assert "BucketName" not in properties, "a physical name would collide with another deployment"


def test_only_tls_reaches_buckets_and_queues(resources: Resources) -> None:
    for policy in resources["AWS::S3::BucketPolicy"] + resources["AWS::SQS::QueuePolicy"]:
        statements = policy["Properties"]["PolicyDocument"]["Statement"]
        assert any(
            one["Effect"] == "Deny" and one.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
            for one in statements
        )


def test_s3_sends_events_of_invoke_and_transform_to_their_queues(resources: Resources) -> None:
    ((bucket, notification),) = [
        (bucket, bucket["Properties"]["NotificationConfiguration"])
        for bucket in resources["AWS::S3::Bucket"]
        if "NotificationConfiguration" in bucket["Properties"]
    ]
    expected = {"invoke/": "RequestQueue", "transform/": "SplitQueue"}
    for (prefix, queue), to_queue in zip(expected.items(), notification["QueueConfigurations"], strict=True):
        assert to_queue["Event"] == "s3:ObjectCreated:*"
        assert to_queue["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": prefix}]
        assert queue in text(to_queue["Queue"])
        assert any(f"{queue}Policy" in name for name in bucket["DependsOn"]), "S3 checks the policy at once"


def test_s3_of_this_account_alone_may_send(resources: Resources) -> None:
    allowed = [
        statement
        for policy in resources["AWS::SQS::QueuePolicy"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert len(allowed) == 2
    for statement in allowed:
        assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert "RequestQueue" in text(allowed)
    assert "SplitQueue" in text(allowed)


def test_queues(resources: Resources) -> None:
    request = of(resources, "AWS::SQS::Queue", "RequestQueue")
    crashed = of(resources, "AWS::SQS::Queue", "CrashedQueue")
    dead_letter = of(resources, "AWS::SQS::Queue", "DeadLetterQueue")
    assert request["RedrivePolicy"]["maxReceiveCount"] == 20
    assert "CrashedQueue" in text(request["RedrivePolicy"]["deadLetterTargetArn"]), "what SQS moves gets its reason"
    assert "DeadLetterQueue" in text(crashed["RedrivePolicy"]["deadLetterTargetArn"])
    assert "RedrivePolicy" not in dead_letter
    assert request["VisibilityTimeout"] == 540
    assert crashed["VisibilityTimeout"] >= 6 * of(resources, "AWS::Lambda::Function", "Crashed")["Timeout"]
    assert request["MaximumMessageSize"] == 1024 * 1024 - 8 * 1024, "room for the reason in a dead-letter message"
    assert dead_letter["MessageRetentionPeriod"] == 14 * 86_400 > request["MessageRetentionPeriod"]
    assert all(queue["SqsManagedSseEnabled"] for queue in (request, crashed, dead_letter))


def test_the_invoke_function(resources: Resources) -> None:
    function = of(resources, "AWS::Lambda::Function", "Invoke")
    assert function["Handler"] == "invoke.handler"
    assert function["Timeout"] == 90
    variables = function["Environment"]["Variables"]
    assert variables["SLUICE_ENDPOINT_NAMES"] == "Wine-EU,digits"
    assert variables["SLUICE_DEFAULT_ENDPOINT_NAME"] == "Wine-EU"
    assert variables["SLUICE_INPUT_LOCATION_BUCKETS"] == "lake"
    assert variables["SLUICE_CUSTOM_ATTRIBUTES_TEMPLATE"] == "{custom_attributes},trace_id={trace_id}"
    assert variables["SLUICE_CONCURRENT_CALLS"] == "10"
    assert "RequestQueue" in text(variables["SLUICE_SOURCE_QUEUE_URL"])
    mapping = of(resources, "AWS::Lambda::EventSourceMapping", "Invoke")
    assert mapping["BatchSize"] == 10
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert "RequestQueue" in text(mapping["EventSourceArn"])


def test_the_part_function(resources: Resources) -> None:
    function, invoke = (of(resources, "AWS::Lambda::Function", unit) for unit in ("Part", "Invoke"))
    assert function["Handler"] == "part.handler"
    assert function["Timeout"] == 2 * invoke["Timeout"], "calls begin in most of it"
    for name in ("MemorySize", "Code", "Layers"):
        assert function[name] == invoke[name]
    variables = function["Environment"]["Variables"]
    assert variables["SLUICE_CONCURRENT_CALLS"] == "10"
    mapping = of(resources, "AWS::Lambda::EventSourceMapping", "Part")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}, (
        "50 concurrent requests, of which 25 are the datasets'"
    )
    assert mapping["BatchSize"] == 1, "no part waits for another one of its batch"
    assert "PartQueue" in text(mapping["EventSourceArn"])
    queue = of(resources, "AWS::SQS::Queue", "PartQueue")
    assert queue["VisibilityTimeout"] == 1080
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 20
    assert "CrashedQueue" in text(queue["RedrivePolicy"]["deadLetterTargetArn"]), "what SQS moves gets its reason"
    assert queue["SqsManagedSseEnabled"]


def test_without_a_share_of_their_own_parts_go_to_the_request_queue() -> None:
    found = synthesized(concurrent_requests=3)["Resources"]
    functions = {name: one["Properties"] for name, one in found.items() if one["Type"] == "AWS::Lambda::Function"}
    for one in functions.values():
        assert "RequestQueue" in text(one["Environment"]["Variables"]["SLUICE_PART_QUEUE_URL"])
    mappings = {
        next(unit for unit in ("Invoke", "Part", "Split", "Assemble", "Crashed") if unit in name): one["Properties"]
        for name, one in found.items()
        if one["Type"] == "AWS::Lambda::EventSourceMapping"
    }
    assert mappings["Invoke"]["ScalingConfig"] == {"MaximumConcurrency": 3}
    assert "PartQueue" in text(mappings["Part"]["EventSourceArn"]), "parts of an earlier deployment are sent on"
    for name, one in found.items():
        if one["Type"] == "AWS::IAM::Policy" and "Part" in name:
            (sending,) = [s for s in one["Properties"]["PolicyDocument"]["Statement"] if s["Sid"] == "SendParts"]
            assert "RequestQueue" in text(sending["Resource"])


def test_the_crashed_function(resources: Resources) -> None:
    function = of(resources, "AWS::Lambda::Function", "Crashed")
    assert function["Handler"] == "crashed.handler"
    variables = function["Environment"]["Variables"]
    assert "CrashedQueue" in text(variables["SLUICE_SOURCE_QUEUE_URL"]), "it returns what it can't settle to its queue"
    assert "CrashedQueue" in text(of(resources, "AWS::Lambda::EventSourceMapping", "Crashed")["EventSourceArn"])


@pytest.mark.parametrize("unit", ["Invoke", "Part", "Split", "Assemble", "Crashed"])
def test_all_functions(resources: Resources, unit: str) -> None:
    function = of(resources, "AWS::Lambda::Function", unit)
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert "LogGroup" in function["LoggingConfig"]
    assert of(resources, "AWS::Logs::LogGroup", unit)["RetentionInDays"] == 30
    mapping = of(resources, "AWS::Lambda::EventSourceMapping", unit)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("unit", ["Invoke", "Part", "Split", "Assemble", "Crashed"])
def test_the_environment_is_what_the_function_reads(resources: Resources, unit: str) -> None:
    from sluice.settings import Settings

    variables = of(resources, "AWS::Lambda::Function", unit)["Environment"]["Variables"]
    read = {f"SLUICE_{name.upper()}" for name in Settings.model_fields}
    assert read == {name for name in variables if name.startswith("SLUICE_")}
    Settings.from_environment({name: value if isinstance(value, str) else "token" for name, value in variables.items()})


def test_snap_start_maps_the_queue_to_a_published_version() -> None:
    found = synthesized(function={"snap_start": True})["Resources"]
    aliases = {name for name, one in found.items() if one["Type"] == "AWS::Lambda::Alias"}
    versions = {name for name, one in found.items() if one["Type"] == "AWS::Lambda::Version"}
    assert len(aliases) == len(versions) == 5
    for one in found.values():
        if one["Type"] == "AWS::Lambda::Function":
            assert one["Properties"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}
        if one["Type"] == "AWS::Lambda::EventSourceMapping":
            assert one["Properties"]["FunctionName"]["Ref"] in aliases
        if one["Type"] == "AWS::Lambda::Alias":
            assert one["Properties"]["FunctionVersion"]["Fn::GetAtt"][0] in versions


def statements(resources: Resources, unit: str) -> dict[str, Any]:
    role = of(resources, "AWS::IAM::Role", unit)
    assert "ManagedPolicyArns" not in role
    assert "Policies" not in role
    return {one["Sid"]: one for one in of(resources, "AWS::IAM::Policy", unit)["PolicyDocument"]["Statement"]}


def actions(statement: dict[str, Any]) -> set[str]:
    return {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])


STORING = {
    "StoreResults": {
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:GetObjectVersion",
        "s3:DeleteObjectVersion",
    },
    "ListVersions": {"s3:ListBucketVersions"},
}
READING = {"ReadInputs": {"s3:GetObject"}}
SETTLING = {
    "TellMissingFromForbidden": {"s3:ListBucket"},
    "TakeRequests": {
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
    },
    "SendDeadLetters": {"sqs:SendMessage"},
    "WriteLogs": {"logs:CreateLogStream", "logs:PutLogEvents"},
    "WriteTraces": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"},
}


KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
UNNARROWABLE = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


SENDING = {"SendParts": {"sqs:SendMessage"}, "SendAssemblies": {"sqs:SendMessage"}}


def test_least_privilege(resources: Resources) -> None:
    allowed = statements(resources, "Invoke")
    assert {sid: actions(one) for sid, one in allowed.items()} == {
        "InvokeEndpoints": {"sagemaker:InvokeEndpoint"},
        "AbortUploads": {"s3:AbortMultipartUpload"},
        **SENDING,
        **READING,
        **STORING,
        **SETTLING,
    }
    everything = {sid for sid, one in allowed.items() if one["Resource"] == "*"}
    assert everything == {"WriteTraces"}, "X-Ray knows no resources; all else is narrowed"
    endpoints = text(allowed["InvokeEndpoints"]["Resource"])
    assert ":endpoint/wine-eu" in endpoints, "SageMaker's ARNs are in lower case"
    assert ":endpoint/digits" in endpoints
    assert "*" not in endpoints
    assert ":s3:::lake/*" in text(allowed["ReadInputs"]["Resource"])
    assert "ResultsBucket" not in text(allowed["ReadInputs"]["Resource"])
    assert "InputBucket" not in text(allowed["StoreResults"]["Resource"])
    assert "CrashedQueue" not in text(allowed)


def test_the_part_function_calls_endpoints_for_files_alone(resources: Resources) -> None:
    allowed = statements(resources, "Part")
    assert {sid: actions(one) for sid, one in allowed.items()} == {
        "InvokeEndpoints": {"sagemaker:InvokeEndpoint"},
        "StoreResults": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
        **SENDING,
        **READING,
        **SETTLING,
    }
    assert "lake" not in text(allowed), "files come from the input bucket alone"
    assert "RequestQueue" not in text(allowed)


def test_the_split_and_assemble_functions_call_no_endpoint(resources: Resources) -> None:
    allowed = statements(resources, "Split")
    assert {sid: actions(one) for sid, one in allowed.items()} == {
        "AbortUploads": {"s3:AbortMultipartUpload"},
        **STORING,
        **SENDING,
        **READING,
        **SETTLING,
    }
    assert "lake" not in text(allowed), "files come from the input bucket alone"
    allowed = statements(resources, "Assemble")
    assert {sid: actions(one) for sid, one in allowed.items()} == {
        "AbortUploads": {"s3:AbortMultipartUpload"},
        **READING,
        **STORING,
        **SETTLING,
    }
    assert "lake" not in text(allowed), "files come from the input bucket alone"


def test_only_actions_without_resource_types_are_allowed_on_all_resources(resources: Resources) -> None:
    everything = {
        "notifications": {"success_topic": True, "error_topic": True, "event_bridge": True},
        "alarms": {"topic": True},
        "kms_key_arn": KEY,
        "network": {"subnet_ids": ["subnet-0123456789abcdef0"], "security_group_ids": ["sg-0123456789abcdef0"]},
    }
    found = synthesized(**everything)["Resources"].values()
    for policy in [*resources["AWS::IAM::Policy"], *(one for one in found if one["Type"] == "AWS::IAM::Policy")]:
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Deny":
                continue
            assert not any("*" in action for action in actions(statement))
            if "*" in text(statement["Resource"]).replace("/*", ""):
                # Service Authorization Reference: these have no resource types.
                assert statement["Resource"] == "*"
                assert actions(statement) <= UNNARROWABLE, statement["Sid"]


def test_parts_of_files_expire(resources: Resources) -> None:
    rules = [
        rule
        for bucket in resources["AWS::S3::Bucket"]
        for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        if rule.get("Prefix") == "parts/"
    ]
    assert [rule["ExpirationInDays"] for rule in rules] == [7]


def test_files_are_received_one_at_a_time_with_long_timeouts(resources: Resources) -> None:
    for unit, seconds in (("Split", 900), ("Assemble", 900)):
        assert of(resources, "AWS::Lambda::EventSourceMapping", unit)["BatchSize"] == 1
        assert of(resources, "AWS::Lambda::Function", unit)["Timeout"] == seconds
    assert of(resources, "AWS::SQS::Queue", "SplitQueue")["VisibilityTimeout"] == 5400
    assert of(resources, "AWS::SQS::Queue", "AssemblyQueue")["VisibilityTimeout"] == 5400


def test_the_crashed_function_calls_no_endpoint(resources: Resources) -> None:
    allowed = statements(resources, "Crashed")
    assert {sid: actions(one) for sid, one in allowed.items()} == {
        "SendAssemblies": {"sqs:SendMessage"},
        **READING,
        **STORING,
        **SETTLING,
    }
    assert "RequestQueue" not in text(allowed)


def test_cfn_lint_finds_nothing(assembly: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), str(assembly / "Sluice.template.json")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_stray_bytecode_is_not_deployed(assembly: Path) -> None:
    manifest = json.loads((assembly / "Sluice.assets.json").read_text())
    folders = [assembly / asset["source"]["path"] for asset in manifest["files"].values()]
    (code,) = [folder for folder in folders if (folder / "invoke.py").exists()]
    assert (code / "sluice" / "processing" / "processor.py").exists()
    assert {path.suffixes[0] for path in code.glob("**/*.pyc")} <= {".cpython-313"}, "Lambda's own, or none"
    assert not (code / "requirements.txt").exists()


def test_senders_in_other_accounts_may_only_send() -> None:
    senders = {"account_ids": ["111122223333"], "organization_id": "o-a1b2c3d4e5"}
    found = synthesized(senders=senders)["Resources"]
    (policy,) = [one for name, one in found.items() if name.startswith("QueuesRequestQueuePolicy")]
    by_sid = {one.get("Sid"): one for one in policy["Properties"]["PolicyDocument"]["Statement"]}
    accounts, organization = by_sid["SendersOfAccounts"], by_sid["SendersOfTheOrganization"]
    assert {one["Action"] for one in (accounts, organization)} == {"sqs:SendMessage"}
    assert ":iam::111122223333:root" in text(accounts["Principal"])
    assert organization["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
    assert any(one["Effect"] == "Deny" and "aws:SecureTransport" in text(one) for one in by_sid.values())
    others = [one for name, one in found.items() if "QueuePolicy" in name and not name.startswith("QueuesRequestQueue")]
    assert "Senders" not in text(others)
