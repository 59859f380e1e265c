"""Checks of the S3 event notifications: the configuration of the input bucket, and the policies of the queues."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from cli.doctor.deployment_state import DeploymentState
from cli.doctor.finding import Finding, ok, unknown, wrong
from cli.doctor.remedies import REVERT
from sluice.keys import INVOKE_PREFIX, TRANSFORM_PREFIX

_SUBSCRIBERS = {INVOKE_PREFIX: "request queue", TRANSFORM_PREFIX: "split queue"}
_S3 = "s3.amazonaws.com"
_EVENTBRIDGE = "events.amazonaws.com"
_NOTIFICATION = "notification of {}"
_POLICY = "policy of the {}"


def check_notifications(state: DeploymentState) -> Iterator[Finding]:
    """The bucket notifies the queue of each prefix when an object is created."""
    return state.reporter.each(_SUBSCRIBERS, _NOTIFICATION, partial(_check_notification, state))


def _check_notification(state: DeploymentState, prefix: str) -> Iterator[Finding]:
    configuration = state.notifications()
    name, queue = _NOTIFICATION.format(prefix), _SUBSCRIBERS[prefix]
    arn = state.queue(queue).arn
    if any(_is_subscribed(item, prefix, arn) for item in configuration.get("QueueConfigurations", [])):
        yield ok(name, f"to the {queue}")
    elif "EventBridgeConfiguration" in configuration:
        yield unknown(
            name,
            "the bucket sends events only to EventBridge",
            f"make sure that a rule sends its events to the {queue}",
        )
    else:
        yield wrong(name, f"the input bucket does not notify the {queue}: dropped objects are not processed", REVERT)


def check_queue_policies(state: DeploymentState) -> Iterator[Finding]:
    """The policies of the queues allow S3 to send messages, or EventBridge, if the bucket sends its events there."""
    return state.reporter.each(_SUBSCRIBERS.values(), _POLICY, partial(_check_queue_policy, state))


def _check_queue_policy(state: DeploymentState, queue: str) -> Iterator[Finding]:
    configuration = state.notifications()
    by_event_bridge = "EventBridgeConfiguration" in configuration and not configuration.get("QueueConfigurations")
    service, sender = (_EVENTBRIDGE, "EventBridge") if by_event_bridge else (_S3, "S3")
    known = {"aws:sourceaccount": state.account}
    if not by_event_bridge:  # otherwise it is the ARN of a rule, which is not known here
        known["aws:sourcearn"] = f"arn:{state.queue(queue).arn.split(':')[1]}:s3:::{state.settings.input_bucket}"
    statements = _as_list(state.queue(queue).document("Policy").get("Statement", []))
    results = [
        _evaluate(statement.get("Condition", {}), known)
        for statement in statements
        if statement.get("Effect") == "Allow" and _applies_to(service, statement)
    ]
    name = _POLICY.format(queue)
    if any(results):
        yield ok(name, f"{sender} may send")
    elif None in results:
        yield unknown(name, f"{sender} may send on conditions that this check can't evaluate")
    else:
        yield wrong(name, f"{sender} may not send to it: dropped objects are not processed", REVERT)


def _is_subscribed(configuration: Mapping[str, Any], prefix: str, arn: str) -> bool:
    """Whether a QueueConfiguration sends an event to the queue for each object created under `prefix`."""
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    by_name = {rule["Name"].lower(): rule["Value"] for rule in rules}
    return (
        configuration["QueueArn"] == arn
        and "s3:ObjectCreated:*" in configuration["Events"]
        and prefix.startswith(by_name.get("prefix", ""))
        and not by_name.get("suffix")
    )


def _applies_to(service: str, statement: Mapping[str, Any]) -> bool:
    """Whether a statement is about SendMessage by a service."""
    principal = statement.get("Principal", {})
    if principal == "*":
        services = ["*"]
    else:
        services = _as_list(principal.get("Service", [])) + _as_list(principal.get("AWS", []))
    actions = [action.lower() for action in _as_list(statement.get("Action", []))]
    return bool({service, "*"} & set(services)) and any(fnmatchcase("sqs:sendmessage", action) for action in actions)


def _evaluate(condition: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> bool | None:
    """Whether a condition is met by `values`, condition keys in lower case; None when it can't be evaluated here."""
    results: list[bool] = []
    for operator, keys in condition.items():
        for key, patterns in keys.items():
            value = values.get(key.lower())
            if value is None or not operator.lower().removesuffix("ifexists").endswith(("equals", "like")):
                return None
            if "not" in operator.lower():
                return None
            results.append(any(fnmatchcase(value, pattern) for pattern in _as_list(patterns)))
    return all(results)


def _as_list(value: Any) -> list[Any]:
    """An element of a policy that is a value or a list of values, as a list."""
    return value if isinstance(value, list) else [value]
