"""The metrics of a pipeline: its own, which the functions write in Embedded Metric Format, and AWS's of its parts."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from infrastructure.environment import NAMESPACE
from infrastructure.functions import QueueFunction
from infrastructure.settings import Settings

Metric = cloudwatch.Metric

OUTCOMES = ("Succeeded", "Retried", "DeadLettered", "Duplicates", "Superseded", "Ignored")
FAILURES = tuple(
    f"{failure_class}Failures"
    for failure_class in ("Invalid", "Expired", "Model", "Capacity", "Configuration", "Transient", "Crashed")
)
LATENCY = "ModelLatency"


def own(
    settings: Settings, name: str, statistic: str = "Sum", *, seconds: int = 60, label: str | None = None
) -> Metric:
    """One that the functions write: of `OUTCOMES`, `FAILURES`, or `LATENCY` in milliseconds.

    It has one dimension, the deployment: each combination of dimensions is a metric that is paid for.
    """
    return _metric(
        NAMESPACE, name, {"service": settings.deployment_name}, statistic=statistic, seconds=seconds, label=label
    )


def waiting(queue: sqs.IQueue, *, seconds: int = 60, label: str | None = None) -> Metric:
    """Messages that wait in a queue."""
    return _of_queue(queue, "ApproximateNumberOfMessagesVisible", seconds, label)


def in_flight(queue: sqs.IQueue, *, seconds: int = 60, label: str | None = None) -> Metric:
    """Messages that a function has, and messages that are put off until their next try."""
    return _of_queue(queue, "ApproximateNumberOfMessagesNotVisible", seconds, label)


def age(queue: sqs.IQueue, *, seconds: int = 60, label: str | None = None) -> Metric:
    """Seconds since a queue's oldest message was sent."""
    return _of_queue(queue, "ApproximateAgeOfOldestMessage", seconds, label)


def of_function(
    unit: QueueFunction, name: str, statistic: str = "Sum", *, seconds: int = 60, label: str | None = None
) -> Metric:
    """One of Lambda's."""
    return _metric(
        "AWS/Lambda",
        name,
        {"FunctionName": unit.function.function_name},
        statistic=statistic,
        seconds=seconds,
        label=label,
    )


def of_functions(units: Sequence[QueueFunction], name: str, statistic: str = "Sum") -> list[Metric]:
    """The same of each function, by the minute, with the function's name as its label."""
    return [of_function(unit, name, statistic, label=unit.node.id) for unit in units]


def _of_queue(queue: sqs.IQueue, name: str, seconds: int, label: str | None) -> Metric:
    # SQS counts by the minute: the highest of a period is what an alarm is about.
    return _metric("AWS/SQS", name, {"QueueName": queue.queue_name}, statistic="Maximum", seconds=seconds, label=label)


def _metric(
    namespace: str, name: str, dimensions: dict[str, str], *, statistic: str, seconds: int, label: str | None
) -> Metric:
    # An alarm's metric goes without a label: with one, CDK writes it as metric math.
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=Duration.seconds(seconds),
        label=label,
    )
