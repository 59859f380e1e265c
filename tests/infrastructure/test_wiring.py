"""The references in the template: each permission, variable and policy is about the right resource."""

from typing import Any

import pytest

from tests.infrastructure.conftest import by_type, synthesized
from tests.infrastructure.test_template import Resources, of, statements

SOURCES = {
    "Invoke": "RequestQueue",
    "Part": "PartQueue",
    "Split": "SplitQueue",
    "Assemble": "AssemblyQueue",
    "Crashed": "CrashedQueue",
}
LOOKS_NOT_IN = {"Split": {"StorageResultsBucket"}, "Assemble": {"StorageInputBucket"}}


def targets(value: Any) -> set[str]:
    """The logical IDs that `value` refers to, without CDK's hash; a literal ARN is returned unchanged."""
    if isinstance(value, list):
        return {target for one in value for target in targets(one)}
    if isinstance(value, str):
        return {value} if value.startswith("arn:") else set()
    for function in ("Ref", "Fn::GetAtt"):
        if function in value:
            name = value[function] if function == "Ref" else value[function][0]
            return set() if name.startswith("AWS::") else {name[:-8]}
    return targets(value["Fn::Join"][1])


@pytest.mark.parametrize("unit", SOURCES)
def test_each_permission_is_on_its_own_resource(resources: Resources, unit: str) -> None:
    allowed = {sid: targets(one["Resource"]) for sid, one in statements(resources, unit).items()}
    assert allowed["StoreResults"] == {"StorageResultsBucket"}
    # Each looks where it must tell what is missing: split only for files, assemble only for their parts.
    looked_in = {"StorageInputBucket", "StorageResultsBucket"} - LOOKS_NOT_IN.get(unit, set())
    assert allowed["TellMissingFromForbidden"] >= looked_in
    assert allowed["TakeRequests"] == {f"Queues{SOURCES[unit]}"}
    assert allowed["SendDeadLetters"] == {"QueuesDeadLetterQueue"}
    assert allowed["WriteLogs"] == {f"Functions{unit}Logs"}


@pytest.mark.parametrize("unit", SOURCES)
def test_each_variable_names_its_own_resource(resources: Resources, unit: str) -> None:
    variables = of(resources, "AWS::Lambda::Function", unit)["Environment"]["Variables"]
    assert {name: targets(value) for name, value in variables.items() if isinstance(value, dict)} == {
        "SLUICE_INPUT_BUCKET": {"StorageInputBucket"},
        "SLUICE_RESULTS_BUCKET": {"StorageResultsBucket"},
        "SLUICE_SOURCE_QUEUE_URL": {f"Queues{SOURCES[unit]}"},
        "SLUICE_DEAD_LETTER_QUEUE_URL": {"QueuesDeadLetterQueue"},
        "SLUICE_PART_QUEUE_URL": {"QueuesPartQueue"},
        "SLUICE_ASSEMBLY_QUEUE_URL": {"QueuesAssemblyQueue"},
        "SLUICE_INTERNAL_SENDERS": {f"Functions{one}Role" for one in ("Invoke", "Part", "Split", "Crashed")},
    }


def test_only_the_functions_may_send_parts(resources: Resources) -> None:
    document = of(resources, "AWS::SQS::QueuePolicy", "PartQueue")["PolicyDocument"]
    (denial,) = [one for one in document["Statement"] if one.get("Sid") == "OnlyTheFunctionsSend"]
    assert (denial["Effect"], denial["Principal"], denial["Action"]) == ("Deny", {"AWS": "*"}, "sqs:SendMessage")
    assert targets(denial["Resource"]) == {"QueuesPartQueue"}
    senders = denial["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
    assert targets(senders) == {"FunctionsInvokeRole", "FunctionsPartRole", "FunctionsSplitRole"}
    assert not [one for one in document["Statement"] if one["Effect"] == "Allow"]


@pytest.mark.parametrize("unit", ["Invoke", "Part", "Split"])
def test_parts_are_sent_to_their_queue(resources: Resources, unit: str) -> None:
    assert targets(statements(resources, unit)["SendParts"]["Resource"]) == {"QueuesPartQueue"}


def test_old_versions_and_incomplete_uploads_expire_and_old_tls_is_refused(resources: Resources) -> None:
    for bucket in resources["AWS::S3::Bucket"]:
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        assert {"NoncurrentDays": 30} in [rule.get("NoncurrentVersionExpiration") for rule in rules]
        assert {"DaysAfterInitiation": 7} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]
    for policy in resources["AWS::S3::BucketPolicy"]:
        conditions = [one.get("Condition") for one in policy["Properties"]["PolicyDocument"]["Statement"]]
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions


def test_the_request_queue_uses_long_polling(resources: Resources) -> None:
    assert of(resources, "AWS::SQS::Queue", "RequestQueue")["ReceiveMessageWaitTimeSeconds"] == 20


def test_buckets_queues_and_logs_are_kept(resources: Resources) -> None:
    for kind in ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup"):
        assert {one["DeletionPolicy"] for one in resources[kind]} == {"Retain"}


def test_settings_are_applied() -> None:
    given: dict[str, Any] = {
        "retain_data": False,
        "retention": {"noncurrent_version_days": 3},
        "function": {"memory_mb": 1024},
        "batch_size": 20,
        "batching_window_seconds": 7,
    }
    resources = by_type(synthesized(**given))
    for kind in ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup"):
        assert {one["DeletionPolicy"] for one in resources[kind]} == {"Delete"}
    for bucket in resources["AWS::S3::Bucket"]:
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        assert {"NoncurrentDays": 3} in [rule.get("NoncurrentVersionExpiration") for rule in rules]
    assert of(resources, "AWS::Lambda::Function", "Invoke")["MemorySize"] == 1024
    assert of(resources, "AWS::Lambda::EventSourceMapping", "Invoke")["MaximumBatchingWindowInSeconds"] == 7
    assert of(resources, "AWS::SQS::Queue", "RequestQueue")["VisibilityTimeout"] == 6 * 90 + 7
