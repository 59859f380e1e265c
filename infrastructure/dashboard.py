"""The CloudWatch dashboard of a pipeline."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infrastructure.lambda_constants import FAILURES, MODEL_LATENCY, OUTCOMES
from infrastructure.metrics import (
    custom_metric,
    function_metric,
    function_metrics,
    messages_in_flight,
    oldest_message_age,
    visible_messages,
)
from infrastructure.queue_function import QueueFunction
from infrastructure.queues import Queues
from infrastructure.settings import Settings
from infrastructure.timeouts import CONTAINER_TIMEOUT_SECONDS

_WIDTH = 8  # a third of the page
_HEIGHT = 6


class Dashboard(Construct):
    """The state of `alarms`, and below it three graphs in a row, from the backlog to the compute time.

    `callers` are those of the functions that call endpoints. It has at most 50 metrics, the limit of CloudWatch's free
    tier for three dashboards.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        queues: Queues,
        functions: Sequence[QueueFunction],
        callers: Sequence[QueueFunction],
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, construct_id)
        self.page = cloudwatch.Dashboard(self, "Page", default_interval=Duration.hours(3))
        if alarms:
            self.page.add_widgets(
                cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=3 * _WIDTH, height=3)
            )
        self.page.add_widgets(*_requests(settings, queues))
        self.page.add_widgets(*_calls(settings, queues))
        self.page.add_widgets(
            _graph(
                "Files being transformed",
                [
                    visible_messages(queues.split_queue, label="To split"),
                    visible_messages(queues.part_queue, label="Parts"),
                    visible_messages(queues.assembly_queue, label="To assemble"),
                ],
                right=[
                    oldest_message_age(queues.split_queue, label="Oldest to split, s"),
                    oldest_message_age(queues.part_queue, label="Oldest part, s"),
                    oldest_message_age(queues.assembly_queue, label="Oldest to assemble, s"),
                ],
            ),
            _graph(
                "Functions at once",
                function_metrics(callers, "ConcurrentExecutions", "Maximum"),
                limits=[
                    (settings.maximum_concurrency, "MaximumConcurrency of the invoke function"),
                    (settings.maximum_part_concurrency, "MaximumConcurrency of the part function"),
                ],
            ),
            _graph(
                "Function errors and throttles",
                function_metrics(functions, "Errors"),
                right=function_metrics(callers, "Throttles"),
            ),
        )
        self.page.add_widgets(
            _graph("Function duration p99, ms", function_metrics(functions, "Duration", "p99")),
            _graph("Compute, GB-seconds an hour", _gb_seconds(functions)),
        )


def _requests(settings: Settings, queues: Queues) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Backlog",
            [
                visible_messages(queues.request_queue, label="Waiting"),
                messages_in_flight(queues.request_queue, label="In flight"),
            ],
        ),
        _graph(
            "Oldest request, s",
            [oldest_message_age(queues.request_queue, label="Oldest request")],
            limits=[(settings.alarms.age_minutes * 60, "alarm")],
        ),
        _graph("Outcomes a minute", [custom_metric(settings, name) for name in OUTCOMES]),
    ]


def _calls(settings: Settings, queues: Queues) -> list[cloudwatch.IWidget]:
    return [
        _graph("Failures a minute, by class", [custom_metric(settings, name) for name in FAILURES]),
        _graph(
            "Model latency, ms",
            [
                custom_metric(settings, MODEL_LATENCY, "p50", label="p50"),
                custom_metric(settings, MODEL_LATENCY, "p99", label="p99"),
            ],
            limits=[(CONTAINER_TIMEOUT_SECONDS * 1000, "container's timeout")],
        ),
        _graph(
            "Dead letters and crashes",
            [
                visible_messages(queues.dead_letter_queue, label="Dead letters"),
                visible_messages(queues.crashed_queue, label="Crashed, without a reason yet"),
            ],
        ),
    ]


def _gb_seconds(functions: Sequence[QueueFunction]) -> list[cloudwatch.IMetric]:
    """Return what Lambda bills besides the number of requests: the duration times the memory."""
    hourly = 3600
    return [
        cloudwatch.MathExpression(
            expression=f"{metric_id} / 1000 * {function.memory_mb} / 1024",
            using_metrics={metric_id: function_metric(function, "Duration", seconds=hourly)},
            label=function.node.id,
            period=Duration.seconds(hourly),
        )
        for function in functions
        for metric_id in [f"{function.node.id.lower()}_ms"]
    ]


def _graph(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    *,
    right: Sequence[cloudwatch.IMetric] = (),
    limits: Sequence[tuple[float, str]] = (),
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_y_axis=cloudwatch.YAxisProps(min=0),
        left_annotations=[cloudwatch.HorizontalAnnotation(value=value, label=label) for value, label in limits] or None,
        width=_WIDTH,
        height=_HEIGHT,
    )
