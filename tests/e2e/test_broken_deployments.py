"""`sluice doctor` on deployments that were broken by hand: each fault is found by the name of the resource.

Where the remedy is a command of the AWS CLI, it is run, and the deployment is healthy again.
"""

import contextlib
import io
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from awscli.clidriver import create_clidriver  # type: ignore[import-untyped]

from local.aws import CREDENTIALS, REGION
from local.deploy import deploy, synthesize
from local.engine import Engine
from tests.e2e.commands import environment, rows, sluice
from tests.e2e.conftest import ROOT, Pipeline

STACK = "Broken"
SETTINGS: dict[str, Any] = {
    "deployment_name": STACK,
    "endpoint_names": ["wine", "no-such-endpoint"],
    "default_endpoint_name": None,
    "notifications": {"success_topic": True, "error_topic": True},
    "alarms": {"topic": True},
}
_REVERT = "--revert-drift"


class Deployed:
    """The deployment that is broken: its resources, by the beginning of their logical IDs, and clients."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        clients = pipeline.engine.clients
        self.sqs, self.s3, self.sns, self.iam = clients.sqs, clients.s3, clients.sns, clients.iam
        self.lambda_, self.logs = clients.lambda_, clients.logs
        self.cloudwatch: Any = boto3.client(
            "cloudwatch",
            endpoint_url=pipeline.engine.url,
            verify=pipeline.trust()["AWS_CA_BUNDLE"],
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        pages = clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
        self._resources = [
            (one["ResourceType"], one["LogicalResourceId"], one["PhysicalResourceId"])
            for page in pages
            for one in page["StackResourceSummaries"]
        ]

    def __getitem__(self, key: tuple[str, str]) -> str:
        """The physical ID of the one resource of a type whose logical ID begins with a text."""
        kind, begin = key
        (found,) = [
            physical for type_, logical, physical in self._resources if type_ == kind and logical.startswith(begin)
        ]
        return found

    def queue(self, begin: str) -> str:
        return self["AWS::SQS::Queue", f"Queues{begin}"]

    def function(self, begin: str) -> str:
        return self["AWS::Lambda::Function", f"Functions{begin}Function"]

    def mapping(self, begin: str) -> str:
        return self["AWS::Lambda::EventSourceMapping", begin]

    def change_queue(self, begin: str, **attributes: str) -> None:
        given: Any = attributes
        self.sqs.set_queue_attributes(QueueUrl=self.queue(begin), Attributes=given)

    def change_environment(self, begin: str, **variables: str) -> None:
        name = self.function(begin)
        before = self.lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        self.lambda_.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**before, **variables}}
        )

    def redrive_less(self, begin: str) -> None:
        url = self.queue(begin)
        policy: Any = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
        text = json.dumps({**json.loads(policy["RedrivePolicy"]), "maxReceiveCount": 9})
        self.change_queue(begin, RedrivePolicy=text)

    def policy_name(self, begin: str) -> str:
        """The name of a function's policy within its role: CDK uses the logical ID."""
        start = f"Functions{begin}Policy"
        return next(one for kind, one, _ in self._resources if kind == "AWS::IAM::Policy" and one.startswith(start))

    def remove_role_policy(self, begin: str) -> None:
        role = self["AWS::IAM::Role", f"Functions{begin}Role"]
        self.iam.delete_role_policy(RoleName=role, PolicyName=self.policy_name(begin))


@dataclass(frozen=True)
class Fault:
    """A fault: what was done by hand, the resource that the finding names, what it says, and part of the remedy."""

    name: str
    break_it: Callable[[Deployed], object]
    resource: Callable[[Deployed], str]
    says: str
    remedy: str


def _last(text: str) -> str:
    return text.rpartition("/")[2].rpartition(":")[2]


CHANGED = [
    Fault(
        "topic deleted",
        lambda it: it.sns.delete_topic(TopicArn=it["AWS::SNS::Topic", "NotificationsSuccessTopic"]),
        lambda it: f"topic {_last(it['AWS::SNS::Topic', 'NotificationsSuccessTopic'])}",
        "was deleted",
        "aws sns create-topic",
    ),
    Fault(
        "notify mapping disabled",
        lambda it: it.lambda_.update_event_source_mapping(UUID=it.mapping("Notifications"), Enabled=False),
        lambda it: f"event source mapping {it.mapping('Notifications')}",
        "Enabled is false",
        "aws lambda update-event-source-mapping",
    ),
    Fault(
        "mapping of the part queue disabled",
        lambda it: it.lambda_.update_event_source_mapping(UUID=it.mapping("FunctionsPart"), Enabled=False),
        lambda it: f"event source mapping {it.mapping('FunctionsPart')}",
        "Enabled is false",
        "--enabled",
    ),
    Fault(
        "queue deleted",
        lambda it: it.sqs.delete_queue(QueueUrl=it.queue("NotificationDeadLetterQueue")),
        lambda it: f"queue {_last(it.queue('NotificationDeadLetterQueue'))}",
        "was deleted",
        "aws sqs create-queue",
    ),
    Fault(
        "queue policy lost",
        lambda it: it.change_queue("SplitQueue", Policy=""),
        lambda it: f"queue policy {it['AWS::SQS::QueuePolicy', 'QueuesSplitQueue']}",
        "S3OfThisAccount is missing",
        "aws sqs set-queue-attributes",
    ),
    Fault(
        "redrive policy changed",
        lambda it: it.redrive_less("RequestQueue"),
        lambda it: f"queue {_last(it.queue('RequestQueue'))}",
        "RedrivePolicy.maxReceiveCount is 9; the template has 20",
        "aws sqs set-queue-attributes",
    ),
    Fault(
        "visibility timeout of the part queue shortened",
        lambda it: it.change_queue("PartQueue", VisibilityTimeout="30"),
        lambda it: f"queue {_last(it.queue('PartQueue'))}",
        "VisibilityTimeout is 30",
        "aws sqs set-queue-attributes",
    ),
    Fault(
        "retention of the dead-letter queue shortened",
        lambda it: it.change_queue("DeadLetterQueue", MessageRetentionPeriod="86400"),
        lambda it: f"queue {_last(it.queue('DeadLetterQueue'))}",
        "MessageRetentionPeriod is 86400; the template has 1209600",
        "aws sqs set-queue-attributes",
    ),
    Fault(
        "notification of the input bucket removed",
        lambda it: it.s3.put_bucket_notification_configuration(
            Bucket=it["AWS::S3::Bucket", "StorageInputBucket"], NotificationConfiguration={}
        ),
        lambda it: f"bucket {it['AWS::S3::Bucket', 'StorageInputBucket']}",
        "NotificationConfiguration.QueueConfigurations is gone",
        "aws s3api put-bucket-notification-configuration",
    ),
    Fault(
        "versioning of the results bucket suspended",
        lambda it: it.s3.put_bucket_versioning(
            Bucket=it["AWS::S3::Bucket", "StorageResultsBucket"],
            VersioningConfiguration={"Status": "Suspended"},
        ),
        lambda it: f"bucket {it['AWS::S3::Bucket', 'StorageResultsBucket']}",
        "VersioningConfiguration.Status is Suspended; the template has Enabled",
        "aws s3api put-bucket-versioning",
    ),
    Fault(
        "bucket policy removed",
        lambda it: it.s3.delete_bucket_policy(Bucket=it["AWS::S3::Bucket", "StorageResultsBucket"]),
        lambda it: f"bucket policy {it['AWS::S3::BucketPolicy', 'StorageResultsBucket']}",
        "was deleted",
        "aws s3api put-bucket-policy",
    ),
    Fault(
        "environment of the function changed",
        lambda it: it.change_environment("Invoke", SLUICE_MAX_BODY_BYTES="1000"),
        lambda it: f"function {it.function('Invoke')}",
        "SLUICE_MAX_BODY_BYTES is 1000; the template has 6291456",
        "aws lambda update-function-configuration",
    ),
    Fault(
        "reserved concurrency 0",
        lambda it: it.lambda_.put_function_concurrency(
            FunctionName=it.function("Part"), ReservedConcurrentExecutions=0
        ),
        lambda it: f"function {it.function('Part')}",
        "ReservedConcurrentExecutions is 0; the template has none",
        "aws lambda delete-function-concurrency",
    ),
    Fault(
        "policy of a role removed",
        lambda it: it.remove_role_policy("Split"),
        lambda it: f"role policy {it.policy_name('Split')}",
        "was deleted",
        "aws iam put-role-policy",
    ),
    Fault(
        "log group deleted",
        lambda it: it.logs.delete_log_group(logGroupName=it["AWS::Logs::LogGroup", "FunctionsCrashed"]),
        lambda it: f"log group {it['AWS::Logs::LogGroup', 'FunctionsCrashed']}",
        "was deleted",
        "aws logs create-log-group",
    ),
    Fault(
        "actions of an alarm disabled",
        lambda it: it.cloudwatch.disable_alarm_actions(AlarmNames=[it["AWS::CloudWatch::Alarm", "AlarmsDeadLetters"]]),
        lambda it: f"alarm {it['AWS::CloudWatch::Alarm', 'AlarmsDeadLetters']}",
        "ActionsEnabled is false",
        "aws cloudwatch enable-alarm-actions",
    ),
]
"""What one command of the AWS CLI restores."""

DELETED = [
    Fault(
        "mapping deleted",
        lambda it: it.lambda_.delete_event_source_mapping(UUID=it.mapping("FunctionsAssemble")),
        lambda it: f"event source mapping {it.mapping('FunctionsAssemble')}",
        "was deleted",
        _REVERT,
    ),
    Fault(
        "function deleted",
        lambda it: it.lambda_.delete_function(FunctionName=it.function("Part")),
        lambda it: f"function {it.function('Part')}",
        "was deleted",
        _REVERT,
    ),
    Fault(
        "bucket deleted",
        lambda it: it.s3.delete_bucket(Bucket=it["AWS::S3::Bucket", "StorageInputBucket"]),
        lambda it: f"bucket {it['AWS::S3::Bucket', 'StorageInputBucket']}",
        "was deleted",
        _REVERT,
    ),
    Fault(
        "alarm deleted",
        lambda it: it.cloudwatch.delete_alarms(AlarmNames=[it["AWS::CloudWatch::Alarm", "AlarmsThrottles"]]),
        lambda it: f"alarm {it['AWS::CloudWatch::Alarm', 'AlarmsThrottles']}",
        "was deleted",
        _REVERT,
    ),
    Fault(
        "request queue deleted",
        lambda it: it.sqs.delete_queue(QueueUrl=it.queue("RequestQueue")),
        lambda it: f"queue {_last(it.queue('RequestQueue'))}",
        "was deleted",
        "aws sqs create-queue",
    ),
    Fault("endpoint missing", lambda it: None, lambda it: "endpoint no-such-endpoint", "does not exist", "create it"),
]
"""What only another deployment restores, or a queue that others need to be checked."""


Findings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Run:
    """The findings of `sluice doctor` by check: before, with the first faults, after the remedies, with the others."""

    it: Deployed
    before: Findings
    changed: Findings
    restored: Findings
    deleted: Findings


def check(pipeline: Pipeline) -> Findings:
    return {one["Check"]: one for one in rows(sluice(pipeline, "doctor", "--stack", STACK, "--json", code=1))}


def wrong(findings: Findings) -> dict[str, Mapping[str, Any]]:
    # S3 sends a test event when a notification is configured, and CloudWatch does not have its age yet.
    ignored = ("oldest message", "messages in flight")
    return {name: one for name, one in findings.items() if one["State"] != "ok" and not name.startswith(ignored)}


def run_remedies(pipeline: Pipeline, findings: Findings, names: list[str]) -> None:
    """Run the commands of the remedies as a user does, in this process: the start of the AWS CLI takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(pipeline).items():
            patch.setenv(name, value)
        driver = create_clidriver()
        for name in names:
            for command in findings[name]["WhatToDo"].split(" && "):
                program, *arguments = shlex.split(command)
                assert program == "aws"
                with contextlib.redirect_stdout(io.StringIO()):
                    assert driver.main(arguments) == 0, command


@pytest.fixture(scope="module")
def run(_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Run:
    pipeline = Pipeline(_engine)
    deploy(_engine.clients, synthesize(SETTINGS, tmp_path_factory.mktemp("broken")))
    it = Deployed(pipeline)
    before = check(pipeline)
    for fault in CHANGED:
        fault.break_it(it)
    changed = check(pipeline)
    run_remedies(pipeline, changed, [fault.resource(it) for fault in CHANGED])
    restored = check(pipeline)
    # What was restored with a resource that others depend on: its own policies are the next findings.
    run_remedies(pipeline, restored, [name for name, one in wrong(restored).items() if _is_command(one)])
    restored = check(pipeline)
    for fault in DELETED:
        fault.break_it(it)
    return Run(it, before, changed, restored, check(pipeline))


def _is_command(finding: Mapping[str, Any]) -> bool:
    return str(finding.get("WhatToDo") or "").startswith("aws ")


def assert_found(fault: Fault, finding: Mapping[str, Any]) -> None:
    assert finding["State"] == "wrong"
    assert fault.says in finding["Finding"]
    assert fault.remedy in finding["WhatToDo"]


def test_a_new_deployment_is_healthy(run: Run) -> None:
    assert set(wrong(run.before)) == {"endpoint no-such-endpoint"}


@pytest.mark.parametrize("fault", CHANGED, ids=lambda fault: fault.name)
def test_a_change_by_hand_is_found(run: Run, fault: Fault) -> None:
    assert_found(fault, run.changed[fault.resource(run.it)])


def test_the_remedies_restore_the_deployment(run: Run) -> None:
    assert set(wrong(run.restored)) == {"endpoint no-such-endpoint"}


@pytest.mark.parametrize("fault", DELETED, ids=lambda fault: fault.name)
def test_a_resource_that_is_missing_is_found(run: Run, fault: Fault) -> None:
    assert_found(fault, run.deleted[fault.resource(run.it)])


def test_a_missing_resource_is_wrong_once(run: Run) -> None:
    """What depends on it was not checked, and says so."""
    name = next(fault for fault in DELETED if fault.name == "request queue deleted").resource(run.it)
    assert [check for check, one in run.deleted.items() if one["State"] == "wrong" and name in check] == [name]
    unchecked = run.deleted["redrive policy of the request queue"]
    assert unchecked["State"] == "can't tell"
    assert unchecked["Finding"] == f"not checked: the {name} does not exist"


def test_the_documents_list_the_faults() -> None:
    table = (ROOT / "docs/operations.md").read_text().partition("## Broken deployments")[2].partition("\n## ")[0]
    listed = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][2:]
    tested = [fault.name for fault in (*CHANGED, *DELETED)]
    assert sorted(set(listed) - {"rule of EventBridge disabled", "endpoint not InService"}) == sorted(tested)
    assert len(tested) >= 12
