"""The rules of the alarms: the metric, the threshold, and what to do. docs/operations.md says more about each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aws_cdk import aws_sqs as sqs

from infrastructure.lambda_constants import MODEL_LATENCY, NOTIFICATIONS_FAILED
from infrastructure.metrics import Metric, custom_metric, function_metric, oldest_message_age, visible_messages
from infrastructure.queue_function import QueueFunction
from infrastructure.queues import Queues
from infrastructure.settings import Settings
from infrastructure.timeouts import CONTAINER_TIMEOUT_SECONDS

_PERIOD_SECONDS = 300
# Longer than the visibility timeout of the notification queue: a notification that fails counts in each such period.
_NOTIFICATION_PERIOD_SECONDS = 900
_SLOW_MODEL_MS = CONTAINER_TIMEOUT_SECONDS * 1000 * 8 // 10  # p99 at four fifths of the container's timeout


@dataclass(frozen=True)
class AlarmRule:
    """An alarm goes off when `metric` is at least `threshold` in each of `periods` consecutive periods.

    `text` says what it means and what to do.
    """

    name: str
    metric: Metric
    threshold: float
    periods: int
    text: str


def alarm_rules(
    settings: Settings, queues: Queues, functions: Sequence[QueueFunction], invoke: QueueFunction
) -> Iterator[AlarmRule]:
    """Yield the rules for a pipeline."""
    yield from _queue_rules(settings, queues)
    yield from _failure_rules(settings)
    yield _slow_model(settings)
    yield from _function_rules(functions, invoke)


def _queue_rules(settings: Settings, queues: Queues) -> Iterator[AlarmRule]:
    yield AlarmRule(
        "DeadLetters",
        visible_messages(queues.dead_letter_queue, seconds=60),
        1,
        1,
        "requests have failed permanently. See why with `sluice dlq ls`. When the cause is fixed, send them again with "
        "`sluice dlq redrive`.",
    )
    yield AlarmRule(
        "OldRequests",
        oldest_message_age(queues.request_queue, seconds=_PERIOD_SECONDS),
        settings.alarms.age_minutes * 60,
        1,
        f"a request has waited for {settings.alarms.age_minutes} minutes, and was hardly tried. If there are failures "
        "(by class), endpoints reject calls, so that others wait. If there are none, the endpoint is too small for the "
        "load: add instances, then raise concurrent_requests.",
    )
    yield AlarmRule(
        "Backlog",
        visible_messages(queues.request_queue, seconds=_PERIOD_SECONDS),
        settings.alarms.backlog,
        3,
        f"{settings.alarms.backlog} requests or more have waited for 15 minutes. Unless a large batch was sent, the "
        "endpoint handles fewer requests than arrive: add instances, then raise concurrent_requests.",
    )
    yield AlarmRule(
        "OldParts",
        oldest_message_age(queues.part_queue, seconds=_PERIOD_SECONDS),
        settings.retention.request_days * 24 * 60 * 60 // 2,
        1,
        f"a part of a dataset has waited for half of retention.request_days, {settings.retention.request_days}; after "
        "that time SQS deletes it. If there are failures (by class), endpoints reject calls. If there are none, "
        "raise concurrent_dataset_requests, or drop large datasets one after another.",
    )
    for name, queue, what, function in (
        ("OldFiles", queues.split_queue, "a file under transform/ has waited to be split", "split"),
        ("OldAssemblies", queues.assembly_queue, "the parts of a file have waited to be assembled", "assemble"),
        ("OldCrashes", queues.crashed_queue, "a request that crashed has waited to be dead-lettered", "crashed"),
    ):
        yield AlarmRule(
            name,
            oldest_message_age(queue, seconds=_PERIOD_SECONDS),
            settings.retention.request_days * 24 * 60 * 60 // 2,
            1,
            f"{what} for half of retention.request_days, {settings.retention.request_days}; later SQS deletes it. See "
            f"the log of the {function} function and its throttles, and whether its event source mapping is enabled.",
        )
    if queues.notification_queue is not None:
        yield from _notification_rules(settings, queues.notification_queue)


def _notification_rules(settings: Settings, queue: sqs.IQueue) -> Iterator[AlarmRule]:
    # Two rules: SQS leaves a message that was received three times out of the age of its queue's oldest message (SQS
    # Developer Guide, "Available CloudWatch metrics for Amazon SQS"), so a notification that fails never becomes old.
    yield AlarmRule(
        "FailedNotifications",
        custom_metric(settings, NOTIFICATIONS_FAILED, seconds=_NOTIFICATION_PERIOD_SECONDS),
        1,
        60 * 60 // _NOTIFICATION_PERIOD_SECONDS,
        "notifications have failed for an hour; results are not delayed. See the log of the notify function, and fix "
        "the policy of the topic or of its key. After six days a notification moves to the "
        "NotificationDeadLetterQueue; a DLQ redrive in SQS sends it back.",
    )
    yield AlarmRule(
        "OldNotifications",
        oldest_message_age(queue, seconds=_PERIOD_SECONDS),
        60 * 60,
        1,
        "a notification has waited for an hour to be published; results are not delayed. See the log of the notify "
        "function and its throttles, and whether its event source mapping is enabled.",
    )


def _failure_rules(settings: Settings) -> Iterator[AlarmRule]:
    for failure_class, threshold, periods, text in (
        (
            "Configuration",
            1,
            1,
            (
                "an endpoint is not found, or the function may not call it or may not use a bucket. Run "
                "`sluice doctor`, and fix the name of the endpoint, the role or the key's policy. The requests are "
                "retried."
            ),
        ),
        (
            "Model",
            settings.alarms.failures,
            1,
            (
                "the model fails on its inputs, or takes more than a minute. Read its messages with `sluice dlq ls` "
                "and the log that LogStreamArn names. Fix the model or the inputs, then redrive."
            ),
        ),
        (
            "Capacity",
            settings.alarms.failures,
            6,
            (
                "the endpoint has rejected calls for lack of capacity for half an hour, longer than a scale-out takes. "
                "Raise its maximum number of instances, or lower concurrent_requests."
            ),
        ),
        (
            "Transient",
            settings.alarms.failures,
            3,
            (
                "calls have failed for 15 minutes because of AWS or the network; they are retried. See the AWS Health "
                "Dashboard for the region, and the tracebacks of unforeseen errors in the log."
            ),
        ),
        (
            "Crashed",
            1,
            1,
            (
                "requests crashed the function at each receive. They are on the dead-letter queue as Crashed. Look for "
                "timeouts and exhausted memory in its log. Raise function.memory_mb, or lower batch_size."
            ),
        ),
    ):
        name = f"{failure_class}Failures"
        yield AlarmRule(name, custom_metric(settings, name, seconds=_PERIOD_SECONDS), threshold, periods, text)


def _slow_model(settings: Settings) -> AlarmRule:
    return AlarmRule(
        "SlowModel",
        custom_metric(settings, MODEL_LATENCY, "p99", seconds=_PERIOD_SECONDS),
        _SLOW_MODEL_MS,
        3,
        f"one call in a hundred takes more than {_SLOW_MODEL_MS // 1000} of the {CONTAINER_TIMEOUT_SECONDS} s that "
        "SageMaker allows a container. A call that takes longer than that fails as ModelTimeout. Send smaller bodies, "
        "or use faster instances.",
    )


def _function_rules(functions: Sequence[QueueFunction], invoke: QueueFunction) -> Iterator[AlarmRule]:
    for function in functions:
        yield AlarmRule(
            f"{function.node.id}Errors",
            function_metric(function, "Errors", seconds=_PERIOD_SECONDS),
            1,
            1,
            f"the {function.node.id.lower()} function ended without a response: a crash, a timeout, or too little "
            "memory. Its messages are received again. See its log for the reason.",
        )
        yield AlarmRule(
            f"{function.node.id}Recursion",
            function_metric(function, "RecursiveInvocationsDropped", seconds=_PERIOD_SECONDS),
            1,
            1,
            f"Lambda has refused to run the {function.node.id.lower()} function for a message at the end of a chain of "
            f"about 16 invocations; its messages end as Crashed. {_end_of_recursion(function)} Then redrive them.",
        )
    yield AlarmRule(
        "Throttles",
        function_metric(invoke, "Throttles", seconds=_PERIOD_SECONDS),
        1,
        3,
        "Lambda can't run the invoke function: the account's concurrency is used up, or too little of it is reserved. "
        "Ask for a higher quota (Concurrent executions), or find the functions that use it.",
    )


def _end_of_recursion(function: QueueFunction) -> str:
    if function.is_recursive:
        return "Its RecursiveLoop, which must be Allow, was changed by hand: set it to Allow again."
    return "Find what makes new requests out of its results or notifications, and end that loop."
