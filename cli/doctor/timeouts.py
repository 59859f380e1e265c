"""Checks of timeouts, retention periods and redrive policies."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from cli.doctor.deployment_state import DEAD_LETTER_QUEUE, QUEUES, DeploymentState
from cli.doctor.finding import Finding, ok, wrong
from sluice.settings import CRASHED_RECEIVES
from sluice.timeouts import CONTAINER_SECONDS, invocation_seconds

_VISIBILITY_FACTOR = 6  # times the function timeout (Lambda, "Configuring an Amazon SQS queue to use with Lambda")
_MAX_RETENTION_DAYS = 14  # SQS, "Amazon SQS message quotas"
_DAY_SECONDS = 86_400
_VISIBILITY = "visibility timeout of the {}"
_RETENTION = "retention of the {}"
_REDRIVE = "redrive policy of the {}"


def check_timeouts(state: DeploymentState) -> Iterator[Finding]:
    """Container timeout < read timeout < function timeout < visibility timeout."""
    read_timeout, function_timeout = state.settings.read_timeout_seconds, state.invoke_function["Timeout"]
    if read_timeout > CONTAINER_SECONDS:
        yield ok("read timeout", f"{read_timeout:g} s, over the container's {CONTAINER_SECONDS} s")
    else:
        yield wrong(
            "read timeout",
            f"{read_timeout:g} s, but a container may take {CONTAINER_SECONDS} s: billed answers would be lost",
            f"set timeouts.read_seconds over {CONTAINER_SECONDS}",
        )
    call_seconds = invocation_seconds(read_timeout)
    if function_timeout > call_seconds:
        yield ok("function timeout", f"{function_timeout} s, over the {call_seconds:g} s of a call and its outcome")
    else:
        yield wrong(
            "function timeout",
            f"{function_timeout} s, but a call and storing its outcome may take {call_seconds:g} s: no call is started",
            f"set timeouts.function_seconds over {call_seconds:g}, or to null to derive it",
        )
    yield from state.reporter.each(state.mapped_queues, _VISIBILITY, partial(_check_visibility_timeouts, state))


def _check_visibility_timeouts(state: DeploymentState, queue: str) -> Iterator[Finding]:
    for mapping in state.mappings(queue):
        yield _check_visibility_timeout(state, queue, mapping)


def _check_visibility_timeout(state: DeploymentState, queue: str, mapping: Mapping[str, Any]) -> Finding:
    timeout = state.function(mapping["FunctionArn"])["Timeout"]
    minimum = _VISIBILITY_FACTOR * timeout + mapping.get("MaximumBatchingWindowInSeconds", 0)
    visibility = state.queue(queue).number("VisibilityTimeout")
    name = _VISIBILITY.format(queue)
    if visibility >= minimum:
        return ok(name, f"{visibility} s, at least {_VISIBILITY_FACTOR} × the function's {timeout} s")
    return wrong(
        name,
        f"{visibility} s is under {minimum}, {_VISIBILITY_FACTOR} × the function's {timeout} s and the batching "
        "window: a message may be delivered again while it is processed",
        f"aws sqs set-queue-attributes --queue-url {state.queue(queue).url} --attributes VisibilityTimeout={minimum}",
    )


def check_retention(state: DeploymentState) -> Iterator[Finding]:
    """The dead-letter queue keeps messages longer than the other queues.

    SQS does not reset the age of a message that it moves to another queue.
    """
    return state.reporter.each(QUEUES, _RETENTION, partial(_check_retention, state))


def _check_retention(state: DeploymentState, queue: str) -> Iterator[Finding]:
    dead_letter_retention = state.queue(DEAD_LETTER_QUEUE).number("MessageRetentionPeriod")
    retention = state.queue(queue).number("MessageRetentionPeriod")
    name = _RETENTION.format(queue)
    # The crashed function sends its messages to the dead-letter queue as new ones, so equal periods are enough.
    if retention < dead_letter_retention or (queue == "crashed queue" and retention == dead_letter_retention):
        yield ok(
            name,
            f"{retention / _DAY_SECONDS:g} days; dead letters are kept for {dead_letter_retention / _DAY_SECONDS:g}",
        )
    else:
        yield wrong(
            name,
            f"{retention / _DAY_SECONDS:g} days, and dead letters are kept for "
            f"{dead_letter_retention / _DAY_SECONDS:g}: SQS deletes an old dead letter at once",
            f"aws sqs set-queue-attributes --queue-url {state.queue(DEAD_LETTER_QUEUE).url} "
            f"--attributes MessageRetentionPeriod={_MAX_RETENTION_DAYS * _DAY_SECONDS}",
        )


def check_redrive_policies(state: DeploymentState) -> Iterator[Finding]:
    """The redrive policies have the maxReceiveCount that the functions expect, and the right target."""
    return state.reporter.each(QUEUES, _REDRIVE, partial(_check_redrive_policy, state))


def _check_redrive_policy(state: DeploymentState, queue: str) -> Iterator[Finding]:
    expected = state.settings.max_receive_count * (CRASHED_RECEIVES if queue == "crashed queue" else 1)
    target = DEAD_LETTER_QUEUE if queue == "crashed queue" else "crashed queue"
    policy = state.queue(queue).document("RedrivePolicy")
    name = _REDRIVE.format(queue)
    arn = state.queue(target).arn
    attributes = json.dumps({"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": expected})})
    remedy = f"aws sqs set-queue-attributes --queue-url {state.queue(queue).url} --attributes '{attributes}'"
    if not policy:
        yield wrong(name, "there is none: a message that crashes its function is retried until it expires", remedy)
    elif int(policy["maxReceiveCount"]) != expected:
        yield wrong(
            name,
            f"maxReceiveCount is {policy['maxReceiveCount']}, but the functions expect {expected}: reasons would be "
            "lost",
            remedy,
        )
    elif policy["deadLetterTargetArn"] != arn:
        yield wrong(name, f"its target is {policy['deadLetterTargetArn']}, not the {target}", remedy)
    else:
        yield ok(name, f"after {expected} receives to the {target}")
