"""The state of a deployment, as AWS describes it."""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment
from cli.doctor.errors import MissingResourceError, Reporter, is_missing
from cli.doctor.template import StackTemplate
from sluice.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

QUEUES = {
    "request queue": "RequestQueueUrl",
    "part queue": "PartQueueUrl",
    "split queue": "SplitQueueUrl",
    "assembly queue": "AssemblyQueueUrl",
    "crashed queue": "CrashedQueueUrl",
}
"""The queues with an event source mapping, and the stack outputs with their URLs."""

DEAD_LETTER_QUEUE = "dead-letter queue"
_OTHER_QUEUES = {
    DEAD_LETTER_QUEUE: "DeadLetterQueueUrl",
    "notification queue": "NotificationQueueUrl",
    "dead-letter queue of notifications": "NotificationDeadLetterQueueUrl",
}
_AGE_MINUTES = 15  # SQS metrics reach CloudWatch with a delay of some minutes


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and its attributes (GetQueueAttributes)."""

    url: str
    attributes: Mapping[str, str]

    @property
    def arn(self) -> str:
        """The ARN of the queue."""
        return self.attributes["QueueArn"]

    def number(self, name: str) -> int:
        """The value of a numeric attribute."""
        return int(self.attributes[name])

    def document(self, name: str) -> Any:
        """The value of a JSON attribute; an empty object when it is not set."""
        return json.loads(self.attributes.get(name) or "{}")


class DeploymentState:
    """The state of a deployment. Each part is requested when it is first used.

    Properties and methods raise `MissingResourceError` when a resource does not exist, botocore's errors, and
    `CliError` when the stack lacks an output. `reporter` turns them into findings.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.reporter = Reporter()
        # A cache per instance: a decorator on the methods would keep the instances alive.
        self.queue = functools.cache(self._queue)
        self.mappings = functools.cache(self._mappings)
        self.function = functools.cache(self._function)

    @cached_property
    def stack_status(self) -> str:
        """The StackStatus."""
        stack = self.deployment.stack_name
        return self.deployment.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]

    @cached_property
    def template(self) -> StackTemplate:
        """The resources of the stack, as its template declares them."""
        return StackTemplate(self.deployment)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the functions."""
        try:
            return self.deployment.settings
        except ClientError as error:
            if is_missing(error):
                raise MissingResourceError(f"function {self.deployment.output('InvokeFunctionName')}") from None
            raise

    @property
    def mapped_queues(self) -> Sequence[str]:
        """All queues with an event source mapping: those of requests, and that of notifications if there is one."""
        notified = "NotificationQueueUrl" in self.deployment.outputs
        return [*QUEUES, "notification queue"] if notified else list(QUEUES)

    @property
    def invoke_function(self) -> Mapping[str, Any]:
        """GetFunctionConfiguration of the invoke function."""
        return self.function(self.deployment.output("InvokeFunctionName"))

    @cached_property
    def account(self) -> str:
        """The account ID, from the ARN of the request queue."""
        return self.queue("request queue").arn.split(":")[4]

    @cached_property
    def account_concurrency(self) -> int:
        """The concurrent executions of the account that no function has reserved (GetAccountSettings)."""
        limits = self.deployment.lambda_.get_account_settings()["AccountLimit"]
        return limits.get("UnreservedConcurrentExecutions", limits["ConcurrentExecutions"])

    def endpoint(self, name: str) -> "DescribeEndpointOutputTypeDef":
        """DescribeEndpoint of an endpoint."""
        return self.deployment.sagemaker.describe_endpoint(EndpointName=name)

    def endpoint_arn(self, name: str) -> str:
        """The ARN of an endpoint. SageMaker writes the name in lower case there."""
        _, partition, _, region, account, _ = self.queue("request queue").arn.split(":")
        return f"arn:{partition}:sagemaker:{region}:{account}:endpoint/{name.lower()}"

    def inference_components(self, name: str) -> dict[str, str]:
        """The ARN of each inference component of an endpoint (ListInferenceComponents)."""
        pages = self.deployment.sagemaker.get_paginator("list_inference_components").paginate(EndpointNameEquals=name)
        return {
            one["InferenceComponentName"]: one["InferenceComponentArn"]
            for page in pages
            for one in page["InferenceComponents"]
        }

    @property
    def queue_of_parts(self) -> str:
        """The queue that the functions send parts to. Datasets without a share of their own use the request queue."""
        return "part queue" if self.settings.part_queue_url == self.queue("part queue").url else "request queue"

    def concurrency(self) -> int:
        """The most concurrent requests to the endpoints: the number of functions times their concurrent calls.

        The function of the part queue calls nothing unless parts are sent there.
        """
        return sum(
            mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0) * self._concurrent_calls(mapping)
            for queue in sorted({"request queue", self.queue_of_parts})
            for mapping in self.mappings(queue)
        )

    def _concurrent_calls(self, mapping: Mapping[str, Any]) -> int:
        variables = self.function(mapping["FunctionArn"]).get("Environment", {}).get("Variables", {})
        return int(variables.get("SLUICE_CONCURRENT_CALLS", "0"))

    def notifications(self) -> Mapping[str, Any]:
        """GetBucketNotificationConfiguration of the input bucket."""
        bucket = self.deployment.input_bucket
        with _named("bucket", bucket):
            return self.deployment.s3.get_bucket_notification_configuration(Bucket=bucket)

    def policy_decisions(self, role: str, actions: list[str], resource: str) -> dict[str, str]:
        """The decision of IAM for each of `actions` on `resource` (SimulatePrincipalPolicy)."""
        with _named("role", role.rpartition("/")[2]):
            response = self.deployment.iam.simulate_principal_policy(
                PolicySourceArn=role, ActionNames=actions, ResourceArns=[resource]
            )
        return {result["EvalActionName"]: result["EvalDecision"] for result in response["EvaluationResults"]}

    def oldest_seconds(self, queue: str) -> float | None:
        """The latest ApproximateAgeOfOldestMessage of a queue in CloudWatch; None when there is no recent one."""
        now = datetime.now(UTC)
        points = self.deployment.cloudwatch.get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": self.queue(queue).arn.rpartition(":")[2]}],
            StartTime=now - timedelta(minutes=_AGE_MINUTES),
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        return max(points, key=lambda point: point["Timestamp"])["Maximum"] if points else None

    def _queue(self, name: str) -> Queue:
        url = self.deployment.output({**QUEUES, **_OTHER_QUEUES}[name])
        with _named("queue", url.rpartition("/")[2]):
            response = self.deployment.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return Queue(url, {str(name): value for name, value in response["Attributes"].items()})

    def _mappings(self, queue: str) -> list[Any]:
        arn = self.queue(queue).arn
        pages = self.deployment.lambda_.get_paginator("list_event_source_mappings").paginate(EventSourceArn=arn)
        return [mapping for page in pages for mapping in page["EventSourceMappings"]]

    def _function(self, name: str) -> Mapping[str, Any]:
        # An ARN of a mapping may have the alias after the name.
        with _named("function", name.partition(":function:")[2].partition(":")[0] or name):
            return self.deployment.lambda_.get_function_configuration(FunctionName=name)


@contextmanager
def _named(kind: str, name: str) -> Iterator[None]:
    """Turn an answer of AWS that a resource does not exist into an error that names it."""
    try:
        yield
    except ClientError as error:
        if is_missing(error):
            raise MissingResourceError(f"{kind} {name}") from None
        raise
