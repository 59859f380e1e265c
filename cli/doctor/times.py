"""The ladder of times, and how often a message is received: each rung must be above the one before."""

from collections.abc import Iterator

from cli.doctor.facts import DEAD_LETTERS, QUEUES, Facts
from cli.doctor.finding import Finding, ok, wrong
from sluice.timeouts import CONTAINER_SECONDS, invocation_seconds

_VISIBILITY = 6  # times the function's timeout (Lambda, "Configuring an Amazon SQS queue to use with Lambda")
_DAY = 86_400
_NOT_BY_HAND = "it was changed by hand; deploy again: cdk deploy"


def check_timeouts(facts: Facts) -> Iterator[Finding]:
    """Container < read timeout < function < visibility."""
    read, function = facts.settings.read_timeout_seconds, facts.invoke["Timeout"]
    if read > CONTAINER_SECONDS:
        yield ok("read timeout", f"{read:g} s, over the container's {CONTAINER_SECONDS} s")
    else:
        yield wrong(
            "read timeout",
            f"{read:g} s, but a container may take {CONTAINER_SECONDS} s: answers that are paid for would be lost",
            f"set timeouts.read_seconds over {CONTAINER_SECONDS}",
        )
    least = invocation_seconds(read)
    if function > least:
        yield ok("function timeout", f"{function} s, over the {least:g} s of a call and its outcome")
    else:
        yield wrong(
            "function timeout",
            f"{function} s, but a call and storing its outcome may take {least:g} s: no call would be begun",
            f"set timeouts.function_seconds over {least:g}, or null to have it derived",
        )
    for queue in QUEUES:
        for mapping in facts.mappings(queue):
            timeout = facts.function(mapping["FunctionArn"])["Timeout"]
            least = _VISIBILITY * timeout + mapping.get("MaximumBatchingWindowInSeconds", 0)
            visibility = facts.queue(queue).number("VisibilityTimeout")
            name = f"visibility timeout of the {queue}"
            if visibility >= least:
                yield ok(name, f"{visibility} s, at least {_VISIBILITY} × the function's {timeout} s")
            else:
                yield wrong(
                    name,
                    f"{visibility} s is under {least}, {_VISIBILITY} × the function's {timeout} s and the batching "
                    "window: a message may be delivered again while it is worked on",
                    "set timeouts.visibility_seconds to null to have it derived, and deploy",
                )


def check_retention(facts: Facts) -> Iterator[Finding]:
    """A dead letter keeps the age of its message, so its queue must keep messages longer than the others."""
    kept = facts.queue(DEAD_LETTERS).number("MessageRetentionPeriod")
    for queue in QUEUES:
        source = facts.queue(queue).number("MessageRetentionPeriod")
        name = f"retention of the {queue}"
        # The crashed queue's messages are sent on as new ones, or moved on with their age.
        if source < kept or (queue == "crashed queue" and source == kept):
            yield ok(name, f"{source / _DAY:g} days; dead letters are kept for {kept / _DAY:g}")
        else:
            yield wrong(
                name,
                f"{source / _DAY:g} days, and dead letters are kept for {kept / _DAY:g}: an old one is gone at once",
                "set retention.dead_letter_days over retention.request_days, and deploy",
            )


def check_receives(facts: Facts) -> Iterator[Finding]:
    """The functions and SQS agree which receive is the last, and where messages go then."""
    expected = facts.settings.max_receive_count
    for queue in QUEUES:
        target = DEAD_LETTERS if queue == "crashed queue" else "crashed queue"
        policy = facts.queue(queue).document("RedrivePolicy")
        name = f"redrive policy of the {queue}"
        if not policy:
            yield wrong(name, "there is none: what crashes its function comes back until it expires", _NOT_BY_HAND)
        elif int(policy["maxReceiveCount"]) != expected:
            yield wrong(
                name,
                f"maxReceiveCount is {policy['maxReceiveCount']}, but the functions take {expected} for the last: "
                "reasons would be lost",
                _NOT_BY_HAND,
            )
        elif policy["deadLetterTargetArn"] != facts.queue(target).arn:
            yield wrong(name, f"it leads to {policy['deadLetterTargetArn']}, not to the {target}", _NOT_BY_HAND)
        else:
            yield ok(name, f"after {expected} receives to the {target}")
