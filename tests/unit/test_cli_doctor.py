"""The checks of `sluice doctor`, each against a healthy deployment and against one with a single fault."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError

from cli.deployment import Deployment
from cli.doctor import endpoints, notifications, permissions, queues, quotas, stack, timeouts
from cli.doctor.checks import CHECKS, run_checks
from cli.doctor.deployment_state import DEAD_LETTER_QUEUE, QUEUES, DeploymentState, Queue
from cli.doctor.errors import MissingResourceError, Reporter
from cli.doctor.finding import Finding, Verdict
from cli.doctor.template import UNRESOLVED, Resource
from cli.errors import CliError
from tests.support.fakes import with_settings

ARN = "arn:aws:sqs:eu-central-2:123456789012:"
_DAY = 86_400


def refused(code: str, message: str = "no", operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def denied(action: str) -> ClientError:
    user = "arn:aws:sts::123456789012:assumed-role/Viewer/me"
    return refused("AccessDenied", f"User: {user} is not authorized to perform: {action} on resource: role Invoke")


def raising(error: Exception) -> Any:
    def raise_it(*arguments: Any) -> Any:
        raise error

    return raise_it


class HealthyState:
    """The state of a deployment without a fault. A test changes a part of it."""

    def __init__(self) -> None:
        self.deployment = self
        self.outputs = dict.fromkeys([*QUEUES.values(), "DeadLetterQueueUrl", "InputBucketName"], "x")
        self.outputs |= {"ResultsBucketName": "x", "InvokeFunctionName": "x"}
        self.stack_status = "UPDATE_COMPLETE"
        self.settings = with_settings(endpoint_names=("wine",), max_body_bytes=4_000_000)
        self.account = "123456789012"
        self.invoke_function: dict[str, Any] = {
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
        self.queues: dict[str, dict[str, str]] = {name: self._queue(name) for name in (*QUEUES, DEAD_LETTER_QUEUE)}
        self.description: Any = {
            "EndpointStatus": "InService",
            "ProductionVariants": [{"VariantName": "v", "CurrentInstanceCount": 2}],
        }
        self.subscribed: dict[str, Any] = {
            "QueueConfigurations": [
                self._subscription("invoke/", "request queue"),
                self._subscription("transform/", "split queue"),
            ]
        }
        self.denied: set[str] = set()  # actions, or the ends of the ARNs of roles and of resources
        self.components: Any = {}
        self.oldest: float | None = 60.0
        self.reporter = Reporter()
        self.mapped_queues = list(QUEUES)
        self.account_concurrency = 1000
        self.template = [
            Resource("AWS::SNS::Topic", "Success", "arn:aws:sns:eu-central-2:123456789012:Told", {}),
            Resource("AWS::Lambda::EventSourceMapping", "Mapping", "u", {"ScalingConfig": {"MaximumConcurrency": 400}}),
            Resource(
                "AWS::IAM::Policy",
                "InvokePolicy",
                "p",
                {"PolicyName": "P", "Roles": ["Invoke"], "PolicyDocument": self._document(20)},
            ),
        ]
        self.sns = SimpleNamespace(get_topic_attributes=lambda **asked: {"Attributes": {}})
        mapping = {"State": "Enabled", "ScalingConfig": {"MaximumConcurrency": 400}}
        self.lambda_ = SimpleNamespace(get_event_source_mapping=lambda **asked: mapping)
        self.iam = SimpleNamespace(get_role_policy=lambda **asked: {"PolicyDocument": self._document(20)})

    def _document(self, resources: int) -> dict[str, Any]:
        arns = [f"arn:aws:s3:::bucket-{number}/*" for number in range(resources)]
        return {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": arns}]}

    def _queue(self, name: str) -> dict[str, str]:
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        }
        deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sqs:*"}
        target = DEAD_LETTER_QUEUE if name == "crashed queue" else "crashed queue"
        policy = {"maxReceiveCount": 6 if name == "crashed queue" else 3, "deadLetterTargetArn": ARN + target}
        return {
            "QueueArn": ARN + name,
            "VisibilityTimeout": "540",
            "MessageRetentionPeriod": str(14 * _DAY if name in {DEAD_LETTER_QUEUE, "crashed queue"} else 4 * _DAY),
            "RedrivePolicy": "" if name == DEAD_LETTER_QUEUE else json.dumps(policy),
            "Policy": json.dumps({"Statement": [deny, allow]}),
            "ApproximateNumberOfMessages": "1" if name == "request queue" else "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
        }

    def _subscription(self, prefix: str, queue: str) -> dict[str, Any]:
        rules = [{"Name": "Prefix", "Value": prefix}]
        return {"QueueArn": ARN + queue, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}

    def policy_of(self, resources: int) -> None:
        """Give the invoke function's role a policy with so many resources."""
        properties = {"PolicyName": "P", "Roles": ["Invoke"], "PolicyDocument": self._document(resources)}
        self.template[-1] = Resource("AWS::IAM::Policy", "InvokePolicy", "p", properties)

    def queue(self, name: str) -> Queue:
        return Queue("u", self.queues[name])

    @property
    def queue_of_parts(self) -> str:
        return "part queue"

    def mappings(self, queue: str) -> list[Any]:
        return [self.mapping] if self.mapping else []

    def function(self, name: str) -> Mapping[str, Any]:
        return {**self.invoke_function, "Role": "arn:aws:iam::123456789012:role/Part"}

    def endpoint(self, name: str) -> Any:
        if isinstance(self.description, Exception):
            raise self.description
        return self.description

    def endpoint_arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:eu-central-2:123456789012:endpoint/{name}"

    def concurrency(self) -> int:
        return 8

    def notifications(self) -> Mapping[str, Any]:
        return self.subscribed

    def inference_components(self, name: str) -> dict[str, str]:
        if isinstance(self.components, Exception):
            raise self.components
        arn = "arn:aws:sagemaker:eu-central-2:123456789012:inference-component/"
        return {one: arn + one for one in self.components}

    def policy_decisions(self, role: str, actions: list[str], resource: str) -> dict[str, str]:
        def is_denied(action: str) -> bool:
            return bool(self.denied & {action, role.rpartition("/")[2], resource.rpartition("/")[2]})

        return {action: "implicitDeny" if is_denied(action) else "allowed" for action in actions}

    def oldest_seconds(self, queue: str) -> float | None:
        return self.oldest


def found(check: Callable[[DeploymentState], Iterable[Finding]], state: HealthyState, verdict: Verdict) -> list[str]:
    return [
        f"{finding.check}: {finding.explanation}"
        for finding in check(cast("DeploymentState", state))
        if finding.verdict is verdict
    ]


@pytest.mark.parametrize("name", CHECKS)
def test_a_healthy_deployment_has_only_ok_findings(name: str) -> None:
    findings = list(CHECKS[name](cast("DeploymentState", HealthyState())))
    assert findings
    assert {finding.verdict for finding in findings} == {Verdict.OK}


Break = Callable[[HealthyState], Any]
SERVERLESS = {"VariantName": "v", "CurrentServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}


def change(queue: str, **attributes: str) -> Break:
    return lambda state: state.queues[queue].update(attributes)


def condition(**keys: Any) -> Break:
    """Allow S3 to send on these conditions only."""
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "SQS:Send*"}
    return change("request queue", Policy=json.dumps({"Statement": {**statement, "Condition": keys}}))


def setting(**changes: Any) -> Break:
    return lambda state: setattr(state, "settings", with_settings(**changes))


def without_components(state: HealthyState) -> None:
    state.components = {"a": 1, "b": 2}
    state.denied = {"a", "b"}


def small_serverless(state: HealthyState) -> None:
    state.description["ProductionVariants"] = [SERVERLESS]
    setting(endpoint_names=("wine",), max_body_bytes=6_291_456)(state)


WRONG: list[tuple[Any, Break, str]] = [
    (stack.check_stack, lambda f: setattr(f, "stack_status", "UPDATE_ROLLBACK_COMPLETE"), "UPDATE_ROLLBACK_COMPLETE"),
    (stack.check_stack, lambda f: f.outputs.pop("SplitQueueUrl"), "SplitQueueUrl missing"),
    (stack.check_functions, lambda f: f.invoke_function.update(State="Failed", StateReason="no subnet"), "no subnet"),
    (stack.check_functions, lambda f: f.invoke_function.update(LastUpdateStatus="Failed"), "Active, Failed"),
    (stack.check_mappings, lambda f: f.mapping.clear(), "there is none"),
    (stack.check_mappings, lambda f: f.mapping.update(State="Disabled"), "it is Disabled"),
    (stack.check_mappings, lambda f: f.mapping.update(FunctionResponseTypes=[]), "ReportBatchItemFailures is off"),
    (stack.check_mappings, lambda f: f.mapping.update(ScalingConfig={}), "MaximumConcurrency is not set"),
    (
        timeouts.check_timeouts,
        setting(read_timeout_seconds=60),
        "read timeout: 60 s",
    ),
    (timeouts.check_timeouts, lambda f: f.invoke_function.update(Timeout=80), "function timeout: 80 s"),
    (timeouts.check_timeouts, change("split queue", VisibilityTimeout="539"), "split queue: 539 s is under 540"),
    (timeouts.check_timeouts, lambda f: f.mapping.update(MaximumBatchingWindowInSeconds=1), "540 s is under 541"),
    (timeouts.check_retention, change("request queue", MessageRetentionPeriod=str(14 * _DAY)), "14 days"),
    (
        timeouts.check_retention,
        change(DEAD_LETTER_QUEUE, MessageRetentionPeriod=str(4 * _DAY)),
        "crashed queue: 14 days",
    ),
    (timeouts.check_redrive_policies, change("request queue", RedrivePolicy=""), "there is none"),
    (
        timeouts.check_redrive_policies,
        setting(max_receive_count=4),
        "maxReceiveCount is 3",
    ),
    (
        timeouts.check_redrive_policies,
        change("split queue", RedrivePolicy='{"maxReceiveCount": 3, "deadLetterTargetArn": "other"}'),
        "its target is other",
    ),
    (
        endpoints.check_endpoints,
        lambda f: setattr(f, "description", refused("ValidationException", 'Could not find endpoint "arn"')),
        "endpoint wine: it does not exist",
    ),
    (
        endpoints.check_endpoints,
        lambda f: f.description.update(EndpointStatus="Failed", FailureReason="no image"),
        "it is Failed: no image",
    ),
    (
        endpoints.check_endpoints,
        lambda f: f.description["ProductionVariants"][0].update(CurrentInstanceCount=9),
        "9 instances get at most 8",
    ),
    (
        endpoints.check_endpoints,
        lambda f: f.description.update(ProductionVariants=[SERVERLESS]),
        "MaxConcurrency 5, but",
    ),
    (
        endpoints.check_endpoints,
        small_serverless,
        "max_body_bytes is 6291456",
    ),
    (permissions.check_permissions, lambda f: f.denied.add("sagemaker:InvokeEndpoint"), "endpoint wine: the invoke"),
    (
        permissions.check_permissions,
        lambda f: f.denied.add("Part"),
        "permission of the part function on the endpoint wine: the part function may not sagemaker:InvokeEndpoint",
    ),
    (
        permissions.check_permissions,
        without_components,
        "inference components of wine: it has a, b, of which the invoke and the part function may call none",
    ),
    (
        endpoints.check_endpoints,
        lambda f: f.description.update(EndpointName="Wine"),
        "endpoint wine: its name is Wine: InvokeEndpoint does not find it",
    ),
    (permissions.check_permissions, lambda f: f.denied.add("s3:PutObject"), "s3:PutObject (implicitDeny)"),
    (permissions.check_permissions, lambda f: f.denied.add("sqs:SendMessage"), "dead-letter queue: the invoke"),
    (notifications.check_notifications, lambda f: f.subscribed.clear(), "invoke/: the input bucket does not notify"),
    (
        notifications.check_notifications,
        lambda f: f.subscribed["QueueConfigurations"][1].update(Events=["s3:ObjectCreated:Put"]),
        "transform/",
    ),
    (notifications.check_queue_policies, change("split queue", Policy=""), "split queue: S3 may not send"),
    (notifications.check_queue_policies, condition(StringEquals={"aws:SourceAccount": "999999999999"}), "may not send"),
    (notifications.check_queue_policies, condition(ArnLike={"aws:SourceArn": "arn:aws:s3:::other"}), "may not send"),
    (queues.check_ages, lambda f: setattr(f, "oldest", 3.0 * _DAY), "it is 3d old"),
    (queues.check_dead_letters, change(DEAD_LETTER_QUEUE, ApproximateNumberOfMessages="2"), "2 requests failed"),
    (queues.check_dead_letters, change("crashed queue", ApproximateNumberOfMessages="1"), "1 request crashed"),
    (quotas.check_quotas, lambda f: setattr(f, "account_concurrency", 10), "400 times at once, and the account has 10"),
    (
        quotas.check_quotas,
        change("request queue", ApproximateNumberOfMessagesNotVisible="119000"),
        "in flight of the request queue: 119,000 of 120,000",
    ),
    (quotas.check_quotas, lambda f: f.policy_of(360), "of 10,240 characters (Invoke)"),
]


@pytest.mark.parametrize(("check", "break_it", "says"), WRONG)
def test_each_fault_is_found_with_a_remedy(check: Any, break_it: Break, says: str) -> None:
    state = HealthyState()
    break_it(state)
    assert any(says in one for one in found(check, state, Verdict.WRONG)), list(check(state))
    assert all(finding.remedy for finding in check(state) if finding.verdict is Verdict.WRONG)


UNKNOWN: list[tuple[Any, Break, str]] = [
    (stack.check_stack, lambda f: setattr(f, "stack_status", "UPDATE_IN_PROGRESS"), "UPDATE_IN_PROGRESS"),
    (stack.check_functions, lambda f: f.invoke_function.update(LastUpdateStatus="InProgress"), "InProgress"),
    (endpoints.check_endpoints, lambda f: f.description.update(EndpointStatus="Updating"), "it is Updating"),
    (
        endpoints.check_endpoints,
        lambda f: setattr(f, "description", refused("AccessDeniedException")),
        "is not allowed",
    ),
    (
        permissions.check_permissions,
        lambda f: setattr(f, "components", refused("AccessDeniedException")),
        "inference components of wine: ListInferenceComponents: AccessDeniedException",
    ),
    (
        notifications.check_notifications,
        lambda f: setattr(f, "subscribed", {"EventBridgeConfiguration": {}}),
        "EventBridge",
    ),
    (notifications.check_queue_policies, condition(IpAddress={"aws:SourceIp": "10.0.0.0/8"}), "can't evaluate"),
    (queues.check_ages, lambda f: setattr(f, "oldest", None), "CloudWatch has no recent"),
]
CANNOT_BE_READ: list[tuple[str, Exception, str]] = [
    ("policy_decisions", denied("iam:SimulatePrincipalPolicy"), "iam:SimulatePrincipalPolicy is not allowed"),
    (
        "policy_decisions",
        refused("AccessDenied", operation="SimulatePrincipalPolicy"),
        "iam:SimulatePrincipalPolicy is",
    ),
    (
        "queue",
        refused("AWS.SimpleQueueService.AccessDenied", operation="GetQueueAttributes"),
        "sqs:GetQueueAttributes is",
    ),
    ("notifications", refused("ThrottlingException", operation="GetBucket"), "AWS throttled GetBucket"),
    ("endpoint", refused("InternalFailure", "oops", "DescribeEndpoint"), "DescribeEndpoint: InternalFailure: oops"),
    ("mappings", EndpointConnectionError(endpoint_url="https://lambda"), "Could not connect"),
    ("oldest_seconds", ResponseParserError("Unable to parse response, invalid XML"), "Unable to parse response"),
    ("function", MissingResourceError("function Sluice-Invoke"), "the function Sluice-Invoke does not exist"),
]
"""What is read, the error, and what the finding says."""


@pytest.mark.parametrize(("part", "error", "says"), CANNOT_BE_READ, ids=[one[2] for one in CANNOT_BE_READ])
def test_what_cannot_be_read_is_not_checked_and_the_finding_says_why(part: str, error: Exception, says: str) -> None:
    state = HealthyState()
    state.reporter.reported.add("function Sluice-Invoke")
    setattr(state, part, raising(error))
    findings = list(run_checks(cast("DeploymentState", state)))
    unread = [finding for finding in findings if finding.verdict is Verdict.UNKNOWN]
    assert unread
    assert all(finding.explanation.startswith("not checked: ") for finding in unread)
    assert any(says in finding.explanation for finding in unread), unread
    assert [finding for finding in findings if finding.verdict is Verdict.WRONG] == []


def test_a_queue_that_cannot_be_read_does_not_hide_the_others() -> None:
    state = HealthyState()
    read = state.queue

    def queue(name: str) -> Queue:
        if name == "part queue":
            raise MissingResourceError("queue Sluice-Part")
        return read(name)

    state.queue = queue  # type: ignore[method-assign]
    findings = list(run_checks(cast("DeploymentState", state)))
    wrong = [finding.check for finding in findings if finding.verdict is Verdict.WRONG]
    assert wrong == ["queue Sluice-Part"]
    assert "redrive policy of the split queue" in {one.check for one in findings if one.verdict is Verdict.OK}


def test_a_policy_that_only_cloudformation_knows_is_not_measured() -> None:
    state = HealthyState()
    state.template[-1] = Resource("AWS::IAM::Policy", "P", "p", {"Roles": ["r"], "PolicyDocument": {"S": UNRESOLVED}})
    assert not any("policies of a role" in one for one in found(quotas.check_quotas, state, Verdict.OK))


@pytest.mark.parametrize(("check", "break_it", "says"), UNKNOWN)
def test_what_cannot_be_checked_is_neither_ok_nor_wrong(check: Any, break_it: Break, says: str) -> None:
    state = HealthyState()
    break_it(state)
    assert any(says in one for one in found(check, state, Verdict.UNKNOWN)), list(check(state))
    assert found(check, state, Verdict.WRONG) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::*"}},
        {"ArnEquals": {"aws:SourceArn": ["arn:aws:s3:::other", "arn:aws:s3:::input"]}},
        {},
    ],
)
def test_s3_may_send_on_conditions_that_are_met(keys: dict[str, Any]) -> None:
    state = HealthyState()
    condition(**keys)(state)
    assert found(notifications.check_queue_policies, state, Verdict.OK) == [
        "policy of the request queue: S3 may send",
        "policy of the split queue: S3 may send",
    ]


def test_an_endpoint_scaled_to_zero_is_ok() -> None:
    state = HealthyState()
    state.description["ProductionVariants"][0]["CurrentInstanceCount"] = 0
    assert "scaled to zero" in found(endpoints.check_endpoints, state, Verdict.OK)[1]


def test_some_of_the_inference_components_of_an_endpoint_may_be_left_out() -> None:
    state = HealthyState()
    state.components = {"a": 1, "b": 2}
    state.denied = {"b"}
    assert "permission on the inference components of wine: a; not on b" in found(
        permissions.check_permissions, state, Verdict.OK
    )


class FailingState:
    """A state of which every part raises an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.reporter = Reporter()
        self.mapped_queues = list(QUEUES)

    def __getattr__(self, name: str) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error", [refused("AccessDenied"), EndpointConnectionError(endpoint_url="https://x"), CliError("no output")]
)
def test_an_error_in_a_check_is_unknown_and_does_not_stop_the_others(error: Exception) -> None:
    findings = list(run_checks(cast("DeploymentState", FailingState(error))))
    assert len(findings) >= len(CHECKS)
    wrong = {finding.check for finding in findings if finding.verdict is Verdict.WRONG}
    assert wrong == ({"settings"} if isinstance(error, CliError) else set())


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue"])
def test_a_deleted_resource_is_wrong(code: str) -> None:
    assert {finding.verdict for finding in run_checks(cast("DeploymentState", FailingState(refused(code))))} == {
        Verdict.WRONG
    }


@pytest.mark.parametrize(("part_queue", "most"), [("https://sqs/part", 2 * 5 + 3 * 4), ("https://sqs/request", 2 * 5)])
def test_the_concurrent_requests_are_those_of_both_functions_if_datasets_have_a_share(
    part_queue: str, most: int
) -> None:
    functions = {"invoke": ("https://sqs/request", 2, 5), "part": ("https://sqs/part", 3, 4)}
    state = DeploymentState(cast("Deployment", SimpleNamespace(settings=with_settings(part_queue_url=part_queue))))
    of_queue = {"request queue": "invoke", "part queue": "part"}
    state.queue = lambda name: Queue(functions[of_queue[name]][0], {})  # type: ignore[assignment]
    state.mappings = lambda name: [  # type: ignore[assignment]
        {"FunctionArn": of_queue[name], "ScalingConfig": {"MaximumConcurrency": functions[of_queue[name]][1]}}
    ]
    state.function = lambda name: {  # type: ignore[assignment]
        "Environment": {"Variables": {"SLUICE_CONCURRENT_CALLS": str(functions[name][2])}}
    }
    assert state.concurrency() == most
