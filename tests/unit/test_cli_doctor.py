"""Doctor's checks, each against a sound deployment and against one that is broken in one way."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from cli.doctor import arrival, endpoints, permissions, queues, stack, times
from cli.doctor.examine import CHECKS, examine
from cli.doctor.facts import DEAD_LETTERS, QUEUES, Facts, Queue
from cli.doctor.finding import Finding, State
from cli.errors import CliError
from tests.support.fakes import with_settings

ARN = "arn:aws:sqs:eu-central-2:123456789012:"
_DAY = 86_400


def refused(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class Sound:
    """The facts of a deployment with nothing wrong; a test breaks one of them."""

    def __init__(self) -> None:
        self.deployment = self
        self.outputs = dict.fromkeys([*QUEUES.values(), "DeadLetterQueueUrl", "InputBucketName"], "x")
        self.outputs |= {"ResultsBucketName": "x", "InvokeFunctionName": "x"}
        self.stack_status = "UPDATE_COMPLETE"
        self.settings = with_settings(endpoint_names=("wine",), max_body_bytes=4_000_000)
        self.account = "123456789012"
        self.invoke: dict[str, Any] = {
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Timeout": 90,
            "MemorySize": 512,
            "Role": "arn:aws:iam::123456789012:role/Invoke",
        }
        self.mapping: dict[str, Any] = {
            "UUID": "u",
            "State": "Enabled",
            "FunctionArn": "f",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": 2},
        }
        self.queues: dict[str, dict[str, str]] = {name: self._queue(name) for name in (*QUEUES, DEAD_LETTERS)}
        self.described: Any = {
            "EndpointStatus": "InService",
            "ProductionVariants": [{"VariantName": "v", "CurrentInstanceCount": 2}],
        }
        self.told: dict[str, Any] = {
            "QueueConfigurations": [self._told("invoke/", "request queue"), self._told("transform/", "split queue")]
        }
        self.denied: set[str] = set()
        self.oldest: float | None = 60.0

    def _queue(self, name: str) -> dict[str, str]:
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        }
        deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sqs:*"}
        target = DEAD_LETTERS if name == "crashed queue" else "crashed queue"
        policy = {"maxReceiveCount": 3, "deadLetterTargetArn": ARN + target}
        return {
            "QueueArn": ARN + name,
            "VisibilityTimeout": "540",
            "MessageRetentionPeriod": str(14 * _DAY if name in {DEAD_LETTERS, "crashed queue"} else 4 * _DAY),
            "RedrivePolicy": "" if name == DEAD_LETTERS else json.dumps(policy),
            "Policy": json.dumps({"Statement": [deny, allow]}),
            "ApproximateNumberOfMessages": "1" if name == "request queue" else "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
        }

    def _told(self, prefix: str, queue: str) -> dict[str, Any]:
        rules = [{"Name": "Prefix", "Value": prefix}]
        return {"QueueArn": ARN + queue, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}

    def queue(self, name: str) -> Queue:
        return Queue("u", self.queues[name])

    def mappings(self, queue: str) -> list[Any]:
        return [self.mapping] if self.mapping else []

    def function(self, name: str) -> Mapping[str, Any]:
        return self.invoke

    def endpoint(self, name: str) -> Any:
        if isinstance(self.described, Exception):
            raise self.described
        return self.described

    def endpoint_arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:eu-central-2:123456789012:endpoint/{name}"

    def concurrency(self) -> int:
        return 8

    def notifications(self) -> Mapping[str, Any]:
        return self.told

    def allowed(self, role: str, actions: list[str], resource: str) -> dict[str, str]:
        return {action: "implicitDeny" if action in self.denied else "allowed" for action in actions}

    def oldest_seconds(self, queue: str) -> float | None:
        return self.oldest


def found(check: Callable[[Facts], Iterable[Finding]], facts: Sound, state: State) -> list[str]:
    return [f"{one.check}: {one.says}" for one in check(cast("Facts", facts)) if one.state is state]


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_wrong_with_a_sound_deployment(name: str) -> None:
    findings = list(CHECKS[name](cast("Facts", Sound())))
    assert findings
    assert {one.state for one in findings} == {State.OK}


Break = Callable[[Sound], Any]
SERVERLESS = {"VariantName": "v", "CurrentServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}


def change(queue: str, **attributes: str) -> Break:
    return lambda facts: facts.queues[queue].update(attributes)


def condition(**keys: Any) -> Break:
    """Let S3 send on these conditions alone."""
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "SQS:Send*"}
    return change("request queue", Policy=json.dumps({"Statement": {**statement, "Condition": keys}}))


def setting(**changes: Any) -> Break:
    return lambda facts: setattr(facts, "settings", with_settings(**changes))


def small_serverless(facts: Sound) -> None:
    facts.described["ProductionVariants"] = [SERVERLESS]
    setting(endpoint_names=("wine",), max_body_bytes=6_291_456)(facts)


WRONG: list[tuple[Any, Break, str]] = [
    (stack.check_stack, lambda f: setattr(f, "stack_status", "UPDATE_ROLLBACK_COMPLETE"), "UPDATE_ROLLBACK_COMPLETE"),
    (stack.check_stack, lambda f: f.outputs.pop("SplitQueueUrl"), "SplitQueueUrl missing"),
    (stack.check_functions, lambda f: f.invoke.update(State="Failed", StateReason="no subnet"), "no subnet"),
    (stack.check_functions, lambda f: f.invoke.update(LastUpdateStatus="Failed"), "Active, Failed"),
    (stack.check_mappings, lambda f: f.mapping.clear(), "there is none"),
    (stack.check_mappings, lambda f: f.mapping.update(State="Disabled"), "it is Disabled"),
    (stack.check_mappings, lambda f: f.mapping.update(FunctionResponseTypes=[]), "ReportBatchItemFailures is off"),
    (stack.check_mappings, lambda f: f.mapping.update(ScalingConfig={}), "MaximumConcurrency is not set"),
    (
        times.check_timeouts,
        setting(read_timeout_seconds=60),
        "read timeout: 60 s",
    ),
    (times.check_timeouts, lambda f: f.invoke.update(Timeout=80), "function timeout: 80 s"),
    (times.check_timeouts, change("split queue", VisibilityTimeout="539"), "split queue: 539 s is under 540"),
    (times.check_timeouts, lambda f: f.mapping.update(MaximumBatchingWindowInSeconds=1), "540 s is under 541"),
    (times.check_retention, change("request queue", MessageRetentionPeriod=str(14 * _DAY)), "14 days"),
    (times.check_retention, change(DEAD_LETTERS, MessageRetentionPeriod=str(4 * _DAY)), "crashed queue: 14 days"),
    (times.check_receives, change("request queue", RedrivePolicy=""), "there is none"),
    (
        times.check_receives,
        setting(max_receive_count=4),
        "maxReceiveCount is 3",
    ),
    (
        times.check_receives,
        change("split queue", RedrivePolicy='{"maxReceiveCount": 3, "deadLetterTargetArn": "other"}'),
        "it leads to other",
    ),
    (
        endpoints.check_endpoints,
        lambda f: setattr(f, "described", refused("ValidationException", 'Could not find endpoint "arn"')),
        "endpoint wine: it does not exist",
    ),
    (
        endpoints.check_endpoints,
        lambda f: f.described.update(EndpointStatus="Failed", FailureReason="no image"),
        "it is Failed: no image",
    ),
    (
        endpoints.check_endpoints,
        lambda f: f.described["ProductionVariants"][0].update(CurrentInstanceCount=9),
        "9 instances see at most 8",
    ),
    (endpoints.check_endpoints, lambda f: f.described.update(ProductionVariants=[SERVERLESS]), "MaxConcurrency 5, but"),
    (
        endpoints.check_endpoints,
        small_serverless,
        "max_body_bytes is 6291456",
    ),
    (permissions.check_permissions, lambda f: f.denied.add("sagemaker:InvokeEndpoint"), "endpoint wine: the invoke"),
    (permissions.check_permissions, lambda f: f.denied.add("s3:PutObject"), "s3:PutObject (implicitDeny)"),
    (permissions.check_permissions, lambda f: f.denied.add("sqs:SendMessage"), "dead-letter queue: the invoke"),
    (arrival.check_notifications, lambda f: f.told.clear(), "invoke/: the input bucket does not tell"),
    (
        arrival.check_notifications,
        lambda f: f.told["QueueConfigurations"][1].update(Events=["s3:ObjectCreated:Put"]),
        "transform/",
    ),
    (arrival.check_queue_policies, change("split queue", Policy=""), "split queue: S3 may not send"),
    (arrival.check_queue_policies, condition(StringEquals={"aws:SourceAccount": "999999999999"}), "may not send"),
    (arrival.check_queue_policies, condition(ArnLike={"aws:SourceArn": "arn:aws:s3:::other"}), "may not send"),
    (queues.check_ages, lambda f: setattr(f, "oldest", 3.0 * _DAY), "3 days, 0:00:00 old"),
    (queues.check_dead_letters, change(DEAD_LETTERS, ApproximateNumberOfMessages="2"), "2 requests failed for good"),
    (queues.check_dead_letters, change("crashed queue", ApproximateNumberOfMessages="1"), "1 request crashed"),
]


@pytest.mark.parametrize(("check", "break_it", "says"), WRONG)
def test_what_is_wrong_is_found_and_says_what_to_do(check: Any, break_it: Break, says: str) -> None:
    facts = Sound()
    break_it(facts)
    assert any(says in one for one in found(check, facts, State.WRONG)), list(check(facts))
    assert all(one.do for one in check(facts) if one.state is State.WRONG)


UNKNOWN: list[tuple[Any, Break, str]] = [
    (stack.check_stack, lambda f: setattr(f, "stack_status", "UPDATE_IN_PROGRESS"), "UPDATE_IN_PROGRESS"),
    (stack.check_functions, lambda f: f.invoke.update(LastUpdateStatus="InProgress"), "InProgress"),
    (endpoints.check_endpoints, lambda f: f.described.update(EndpointStatus="Updating"), "it is Updating"),
    (endpoints.check_endpoints, lambda f: setattr(f, "described", refused("AccessDeniedException")), "AccessDenied"),
    (arrival.check_notifications, lambda f: setattr(f, "told", {"EventBridgeConfiguration": {}}), "EventBridge"),
    (arrival.check_queue_policies, condition(IpAddress={"aws:SourceIp": "10.0.0.0/8"}), "not known here"),
    (queues.check_ages, lambda f: setattr(f, "oldest", None), "CloudWatch has no recent"),
]


@pytest.mark.parametrize(("check", "break_it", "says"), UNKNOWN)
def test_what_can_not_be_told_is_neither_ok_nor_wrong(check: Any, break_it: Break, says: str) -> None:
    facts = Sound()
    break_it(facts)
    assert any(says in one for one in found(check, facts, State.UNKNOWN)), list(check(facts))
    assert found(check, facts, State.WRONG) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::*"}},
        {"ArnEquals": {"aws:SourceArn": ["arn:aws:s3:::other", "arn:aws:s3:::input"]}},
        {},
    ],
)
def test_s3_may_send_on_conditions_that_hold(keys: dict[str, Any]) -> None:
    facts = Sound()
    condition(**keys)(facts)
    assert found(arrival.check_queue_policies, facts, State.OK) == [
        "policy of the request queue: S3 may send",
        "policy of the split queue: S3 may send",
    ]


def test_an_endpoint_scaled_to_zero_is_as_it_should_be() -> None:
    facts = Sound()
    facts.described["ProductionVariants"][0]["CurrentInstanceCount"] = 0
    assert "scaled to zero" in found(endpoints.check_endpoints, facts, State.OK)[1]


class Mute:
    """Facts of which AWS tells none."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error", [refused("AccessDenied"), EndpointConnectionError(endpoint_url="https://x"), CliError("no output")]
)
def test_what_aws_refuses_can_not_be_told_and_stops_nothing(error: Exception) -> None:
    findings = list(examine(cast("Facts", Mute(error))))
    assert len(findings) == len(CHECKS)
    wrong = {one.check for one in findings if one.state is State.WRONG}
    assert wrong == ({"settings"} if isinstance(error, CliError) else set())


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue"])
def test_what_is_gone_is_wrong(code: str) -> None:
    assert {one.state for one in examine(cast("Facts", Mute(refused(code))))} == {State.WRONG}
