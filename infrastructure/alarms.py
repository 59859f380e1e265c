"""The alarms: what needs a person, and what that person is to do."""

from collections.abc import Iterator
from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infrastructure import metrics
from infrastructure.functions import Functions
from infrastructure.metrics import LATENCY, Metric
from infrastructure.queues import Queues
from infrastructure.settings import CONTAINER_TIMEOUT_SECONDS, Settings

_PERIOD_SECONDS = 300
_NEAR_TIMEOUT_MS = CONTAINER_TIMEOUT_SECONDS * 1000 * 8 // 10  # the slowest hundredth has a fifth of its minute left


@dataclass(frozen=True)
class Rule:
    """One alarm: in each of `periods` periods in a row, `metric` was at least `threshold`."""

    name: str
    metric: Metric
    threshold: float
    periods: int
    text: str


class Alarms(Construct):
    """An alarm for each thing that needs a person. Each is of one metric: metric math is paid for by the metric.

    They tell `topic`, where there is one, when they start and when they end; unless the settings leave that to the
    health alarm, which is one for all of them. `docs/operations.md` says more of each.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, queues: Queues, functions: Functions
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = _topic(self, settings)
        self.all: list[cloudwatch.Alarm] = []
        for rule in _rules(settings, queues, functions):
            alarm = cloudwatch.Alarm(
                self,
                rule.name,
                metric=rule.metric,
                threshold=rule.threshold,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                evaluation_periods=rule.periods,
                # A queue without messages and a function without calls have no data, and no trouble.
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
                alarm_description=f"{settings.deployment_name}: {rule.text}",
            )
            if self.topic is not None and not settings.health_alarm:
                tell(alarm, self.topic)
            self.all.append(alarm)


def tell(alarm: cloudwatch.AlarmBase, topic: sns.ITopic) -> None:
    """Have `topic` told when `alarm` starts and when it ends."""
    action = actions.SnsAction(topic)
    alarm.add_alarm_action(action)
    alarm.add_ok_action(action)


def _topic(scope: Construct, settings: Settings) -> sns.ITopic | None:
    if isinstance(settings.alarm_topic, str):
        return sns.Topic.from_topic_arn(scope, "Topic", settings.alarm_topic)
    if not (settings.alarm_topic or settings.alarm_email):
        return None
    topic = sns.Topic(scope, "Topic", display_name=f"{settings.deployment_name} alarms", enforce_ssl=True)
    # A policy takes the place of the one that SNS gives a topic, which let the account's alarms publish.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            sid="AlarmsOfThisAccount",
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
        )
    )
    if settings.alarm_email:
        sns.Subscription(
            scope, "Email", topic=topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=settings.alarm_email
        )
    return topic


def _rules(settings: Settings, queues: Queues, functions: Functions) -> Iterator[Rule]:
    yield from _of_queues(settings, queues)
    yield from _of_failures(settings)
    yield from _of_functions(functions)


def _of_queues(settings: Settings, queues: Queues) -> Iterator[Rule]:
    yield Rule(
        "DeadLetters",
        metrics.waiting(queues.dead_letter_queue, seconds=60),
        1,
        1,
        "requests have failed for good. See why with `sluice dlq ls`; once the cause is mended, send them again with "
        "`sluice dlq redrive`.",
    )
    yield Rule(
        "OldRequests",
        metrics.age(queues.request_queue, seconds=_PERIOD_SECONDS),
        settings.alarm_age_minutes * 60,
        1,
        f"a request has waited for {settings.alarm_age_minutes} minutes. Look at what is retried and why (the failures "
        "by class); without failures the endpoint is too small for what arrives: give it instances, then raise "
        "concurrent_requests.",
    )
    yield Rule(
        "Backlog",
        metrics.waiting(queues.request_queue, seconds=_PERIOD_SECONDS),
        settings.alarm_backlog,
        3,
        f"{settings.alarm_backlog} requests or more have waited for 15 minutes. If nobody sent a large batch, the "
        "endpoint takes fewer than arrive: give it instances, then raise concurrent_requests.",
    )
    if queues.notifications is not None:
        yield Rule(
            "OldNotifications",
            metrics.age(queues.notifications, seconds=_PERIOD_SECONDS),
            60 * 60,
            1,
            "a topic has not been told of a result or failure for an hour; results are not held up. See the notify "
            "function's log; mend the topic's policy or its key's. What is not told within six days waits on the "
            "NotificationDeadLetterQueue, from which SQS's own redrive sends it back.",
        )


def _of_failures(settings: Settings) -> Iterator[Rule]:
    for name, threshold, periods, text in (
        (
            "ConfigurationFailures",
            1,
            1,
            (
                "an endpoint isn't found, or the function may not call it, or may not use a bucket. Run "
                "`sluice doctor`, and mend the endpoint's name, the role or the key's policy; the requests are retried."
            ),
        ),
        (
            "ModelFailures",
            settings.alarm_failures,
            1,
            (
                "the model fails on what it is given, or takes over its minute. Read its own message with "
                "`sluice dlq ls` and the log that LogStreamArn names; mend the model or the input, then redrive."
            ),
        ),
        (
            "CapacityFailures",
            settings.alarm_failures,
            6,
            (
                "the endpoint has refused calls as too many for half an hour, longer than a scale-out takes. Raise its "
                "maximum of instances, or lower concurrent_requests to what it takes."
            ),
        ),
        (
            "TransientFailures",
            settings.alarm_failures,
            3,
            (
                "AWS or the network has failed calls for 15 minutes; they are retried. See the AWS Health Dashboard "
                "for the region, and the tracebacks of unforeseen errors in the log."
            ),
        ),
        (
            "CrashedFailures",
            1,
            1,
            (
                "requests crashed the function at every try: they are on the dead-letter queue as Crashed. See its log "
                "for time-outs and exhausted memory; raise memory_mb, or lower batch_size."
            ),
        ),
    ):
        yield Rule(name, metrics.own(settings, name, seconds=_PERIOD_SECONDS), threshold, periods, text)
    yield Rule(
        "SlowModel",
        metrics.own(settings, LATENCY, "p99", seconds=_PERIOD_SECONDS),
        _NEAR_TIMEOUT_MS,
        3,
        f"one call in a hundred takes over {_NEAR_TIMEOUT_MS // 1000} of the {CONTAINER_TIMEOUT_SECONDS} s that "
        "SageMaker gives a container; what takes longer fails as ModelTimeout. Send smaller bodies, or give the "
        "endpoint faster instances.",
    )


def _of_functions(functions: Functions) -> Iterator[Rule]:
    for unit in functions.all:
        yield Rule(
            f"{unit.node.id}Errors",
            metrics.of_function(unit, "Errors", seconds=_PERIOD_SECONDS),
            1,
            1,
            f"the {unit.node.id.lower()} function ended without an answer: a crash, its time-out, or too little "
            "memory. Its messages come back by themselves; see its log for the reason.",
        )
    yield Rule(
        "Throttles",
        metrics.of_function(functions.invoke, "Throttles", seconds=_PERIOD_SECONDS),
        1,
        3,
        "Lambda has no room to run the invoke function: the account's concurrency is used up, or it has reserved too "
        "little. Ask for a higher quota (Concurrent executions), or find who uses it.",
    )
