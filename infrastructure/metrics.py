"""The CloudWatch metrics of a pipeline: those that its functions write, and those of SQS and Lambda."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from infrastructure.environment import METRICS_NAMESPACE
from infrastructure.queue_function import QueueFunction
from infrastructure.settings import Settings

Metric = cloudwatch.Metric


def custom_metric(
    settings: Settings, name: str, statistic: str = "Sum", *, seconds: int = 60, label: str | None = None
) -> Metric:
    """Return a metric that the functions write in Embedded Metric Format; `lambda_constants` has their names.

    It has one dimension, the deployment: CloudWatch bills each combination of dimensions as a metric.
    """
    return _metric(
        METRICS_NAMESPACE,
        name,
        {"service": settings.deployment_name},
        statistic=statistic,
        seconds=seconds,
        label=label,
    )


def visible_messages(queue: sqs.IQueue, *, seconds: int = 60, label: str | None = None) -> Metric:
    """Return the number of messages in a queue that can be received."""
    return _queue_metric(queue, "ApproximateNumberOfMessagesVisible", seconds, label)


def messages_in_flight(queue: sqs.IQueue, *, seconds: int = 60, label: str | None = None) -> Metric:
    """Return the number of messages that were received and are not visible yet, those that wait for a retry too."""
    return _queue_metric(queue, "ApproximateNumberOfMessagesNotVisible", seconds, label)


def oldest_message_age(queue: sqs.IQueue, *, seconds: int = 60, label: str | None = None) -> Metric:
    """Return the age of a queue's oldest message, in seconds."""
    return _queue_metric(queue, "ApproximateAgeOfOldestMessage", seconds, label)


def function_metric(
    function: QueueFunction, name: str, statistic: str = "Sum", *, seconds: int = 60, label: str | None = None
) -> Metric:
    """Return a metric of Lambda's for a function."""
    return _metric(
        "AWS/Lambda",
        name,
        {"FunctionName": function.function.function_name},
        statistic=statistic,
        seconds=seconds,
        label=label,
    )


def function_metrics(functions: Sequence[QueueFunction], name: str, statistic: str = "Sum") -> list[Metric]:
    """Return the same metric for each function, by the minute, with the function's name as its label."""
    return [function_metric(function, name, statistic, label=function.node.id) for function in functions]


def _queue_metric(queue: sqs.IQueue, name: str, seconds: int, label: str | None) -> Metric:
    # SQS publishes a value each minute. An alarm is about the highest one in its period.
    return _metric("AWS/SQS", name, {"QueueName": queue.queue_name}, statistic="Maximum", seconds=seconds, label=label)


def _metric(
    namespace: str, name: str, dimensions: dict[str, str], *, statistic: str, seconds: int, label: str | None
) -> Metric:
    # The metric of an alarm must have no label: CDK would synthesize it as metric math.
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=Duration.seconds(seconds),
        label=label,
    )
