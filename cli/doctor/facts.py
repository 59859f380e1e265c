"""What AWS says of a deployment, each thing asked for once."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cli.deployment import Deployment
from sluice.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

QUEUES = {
    "request queue": "RequestQueueUrl",
    "split queue": "SplitQueueUrl",
    "assembly queue": "AssemblyQueueUrl",
    "crashed queue": "CrashedQueueUrl",
}
"""The queues that functions take from, with the stack's outputs that say where they are."""

DEAD_LETTERS = "dead-letter queue"
_AGE_MINUTES = 15  # CloudWatch has SQS's metrics some minutes late


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue's attributes, under SQS's names."""

    url: str
    attributes: Mapping[str, str]

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.attributes["QueueArn"]

    def number(self, name: str) -> int:
        """An attribute that is a number."""
        return int(self.attributes[name])

    def document(self, name: str) -> Any:
        """An attribute that is JSON; an empty object where it isn't set."""
        return json.loads(self.attributes.get(name) or "{}")


class Facts:
    """The facts of a deployment. Each raises botocore's errors, and `CliError`, when it is first asked for."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        # On instances, not methods: they are asked for by name.
        self.queue = functools.cache(self._queue)
        self.mappings = functools.cache(self._mappings)
        self.function = functools.cache(self._function)

    @cached_property
    def stack_status(self) -> str:
        """The stack's StackStatus."""
        stack = self.deployment.stack_name
        return self.deployment.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]

    @cached_property
    def settings(self) -> Settings:
        """The functions' settings."""
        return self.deployment.settings

    @property
    def invoke(self) -> Mapping[str, Any]:
        """GetFunctionConfiguration of the invoke function."""
        return self.function(self.deployment.output("InvokeFunctionName"))

    @cached_property
    def account(self) -> str:
        """The deployment's account, by the ARN of its request queue."""
        return self.queue("request queue").arn.split(":")[4]

    def endpoint(self, name: str) -> "DescribeEndpointOutputTypeDef":
        """DescribeEndpoint."""
        return self.deployment.sagemaker.describe_endpoint(EndpointName=name)

    def endpoint_arn(self, name: str) -> str:
        """The endpoint's ARN; SageMaker's have the name in lower case."""
        _, partition, _, region, account, _ = self.queue("request queue").arn.split(":")
        return f"arn:{partition}:sagemaker:{region}:{account}:endpoint/{name.lower()}"

    def concurrency(self) -> int:
        """How many requests the endpoints see at once: functions, times their threads."""
        functions: int = sum(
            mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0) for mapping in self.mappings("request queue")
        )
        return functions * self.settings.threads

    def notifications(self) -> Mapping[str, Any]:
        """GetBucketNotificationConfiguration of the input bucket."""
        return self.deployment.s3.get_bucket_notification_configuration(Bucket=self.deployment.input_bucket)

    def allowed(self, role: str, actions: list[str], resource: str) -> dict[str, str]:
        """What IAM decides of `actions` on `resource` (SimulatePrincipalPolicy), by action."""
        answer = self.deployment.iam.simulate_principal_policy(
            PolicySourceArn=role, ActionNames=actions, ResourceArns=[resource]
        )
        return {one["EvalActionName"]: one["EvalDecision"] for one in answer["EvaluationResults"]}

    def oldest_seconds(self, queue: str) -> float | None:
        """ApproximateAgeOfOldestMessage of a queue, as CloudWatch last had it; None when it has none."""
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
        url = self.deployment.output(QUEUES.get(name, "DeadLetterQueueUrl"))
        got = self.deployment.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return Queue(url, {str(name): value for name, value in got["Attributes"].items()})

    def _mappings(self, queue: str) -> list[Any]:
        arn = self.queue(queue).arn
        pages = self.deployment.lambda_.get_paginator("list_event_source_mappings").paginate(EventSourceArn=arn)
        return [mapping for page in pages for mapping in page["EventSourceMappings"]]

    def _function(self, name: str) -> Mapping[str, Any]:
        return self.deployment.lambda_.get_function_configuration(FunctionName=name)
