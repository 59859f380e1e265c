"""The dashboard: one page on which to see whether the pipeline is well."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infrastructure import metrics
from infrastructure.functions import Functions
from infrastructure.metrics import FAILURES, LATENCY, OUTCOMES
from infrastructure.queues import Queues
from infrastructure.settings import CONTAINER_TIMEOUT_SECONDS, Settings

_WIDTH = 8  # a third of the page
_HEIGHT = 6


class Dashboard(Construct):
    """Three graphs a row, from what waits to what it costs; above them, the state of `alarms`.

    At most 50 metrics: more would take it out of CloudWatch's free tier of three dashboards.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        queues: Queues,
        functions: Functions,
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
                    metrics.waiting(queues.split_queue, label="To split"),
                    metrics.waiting(queues.assembly_queue, label="To assemble"),
                ],
                right=[
                    metrics.age(queues.split_queue, label="Oldest to split, s"),
                    metrics.age(queues.assembly_queue, label="Oldest to assemble, s"),
                ],
            ),
            _graph(
                "Functions at once",
                metrics.of_functions(functions.all, "ConcurrentExecutions", "Maximum"),
                limit=(settings.maximum_concurrency, "most invoke functions at once"),
            ),
            _graph(
                "Function errors and throttles",
                metrics.of_functions(functions.all, "Errors"),
                right=metrics.of_functions(functions.all, "Throttles"),
            ),
        )
        self.page.add_widgets(
            _graph("Function duration p99, ms", metrics.of_functions(functions.all, "Duration", "p99")),
            _graph("Compute, GB-seconds an hour", _gb_seconds(functions)),
        )


def _requests(settings: Settings, queues: Queues) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Backlog",
            [
                metrics.waiting(queues.request_queue, label="Waiting"),
                metrics.in_flight(queues.request_queue, label="In flight"),
            ],
        ),
        _graph(
            "Oldest request, s",
            [metrics.age(queues.request_queue, label="Oldest request")],
            limit=(settings.alarm_age_minutes * 60, "alarm"),
        ),
        _graph("Outcomes a minute", [metrics.own(settings, name) for name in OUTCOMES]),
    ]


def _calls(settings: Settings, queues: Queues) -> list[cloudwatch.IWidget]:
    return [
        _graph("Failures a minute, by class", [metrics.own(settings, name) for name in FAILURES]),
        _graph(
            "Model latency, ms",
            [metrics.own(settings, LATENCY, "p50", label="p50"), metrics.own(settings, LATENCY, "p99", label="p99")],
            limit=(CONTAINER_TIMEOUT_SECONDS * 1000, "container's time-out"),
        ),
        _graph(
            "Dead letters and crashes",
            [
                metrics.waiting(queues.dead_letter_queue, label="Dead letters"),
                metrics.waiting(queues.crashed_queue, label="Crashed, without a reason yet"),
            ],
        ),
    ]


def _gb_seconds(functions: Functions) -> list[cloudwatch.IMetric]:
    """What Lambda bills beside the requests themselves: duration by memory."""
    hourly = 3600
    return [
        cloudwatch.MathExpression(
            expression=f"{metric_id} / 1000 * {unit.memory_mb} / 1024",
            using_metrics={metric_id: metrics.of_function(unit, "Duration", seconds=hourly)},
            label=unit.node.id,
            period=Duration.seconds(hourly),
        )
        for unit in functions.all
        for metric_id in [f"{unit.node.id.lower()}_ms"]
    ]


def _graph(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    *,
    right: Sequence[cloudwatch.IMetric] = (),
    limit: tuple[float, str] | None = None,
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_y_axis=cloudwatch.YAxisProps(min=0),
        left_annotations=[cloudwatch.HorizontalAnnotation(value=limit[0], label=limit[1])] if limit else None,
        width=_WIDTH,
        height=_HEIGHT,
    )
