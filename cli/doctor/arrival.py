"""How dropped objects come: the input bucket tells the queues, and the queues let it."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from cli.doctor.facts import Facts
from cli.doctor.finding import Finding, ok, unknown, wrong
from sluice.keys import INVOKE_PREFIX, TRANSFORM_PREFIX

_TAKERS = {INVOKE_PREFIX: "request queue", TRANSFORM_PREFIX: "split queue"}
_S3 = "s3.amazonaws.com"
_DEPLOY = "it was changed by hand; deploy again: cdk deploy"


def check_notifications(facts: Facts) -> Iterator[Finding]:
    """Objects created under each prefix are told to its queue."""
    configured = facts.notifications()
    for prefix, queue in _TAKERS.items():
        name = f"notification of {prefix}"
        arn = facts.queue(queue).arn
        if any(_tells(one, prefix, arn) for one in configured.get("QueueConfigurations", [])):
            yield ok(name, f"to the {queue}")
        elif "EventBridgeConfiguration" in configured:
            yield unknown(
                name, "the bucket tells EventBridge alone", f"see that a rule sends its events to the {queue}"
            )
        else:
            yield wrong(name, f"the input bucket does not tell the {queue}: dropped objects lie there", _DEPLOY)


def check_queue_policies(facts: Facts) -> Iterator[Finding]:
    """The queues' policies let S3 send."""
    bucket = f"arn:{facts.queue('request queue').arn.split(':')[1]}:s3:::{facts.settings.input_bucket}"
    for queue in _TAKERS.values():
        statements = _list(facts.queue(queue).document("Policy").get("Statement", []))
        allowing = [one for one in statements if one.get("Effect") == "Allow" and _is_s3_sending(one)]
        name = f"policy of the {queue}"
        if any(_holds(one.get("Condition", {}), facts.account, bucket) for one in allowing):
            yield ok(name, "S3 may send")
        elif any(_holds(one.get("Condition", {}), facts.account, bucket) is None for one in allowing):
            yield unknown(name, "S3 may send on conditions that are not known here")
        else:
            yield wrong(name, "S3 may not send to it: dropped objects lie there", _DEPLOY)


def _tells(configuration: Mapping[str, Any], prefix: str, arn: str) -> bool:
    """Whether a QueueConfiguration tells the queue of everything created under `prefix`."""
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    by_name = {rule["Name"].lower(): rule["Value"] for rule in rules}
    return (
        configuration["QueueArn"] == arn
        and "s3:ObjectCreated:*" in configuration["Events"]
        and prefix.startswith(by_name.get("prefix", ""))
        and not by_name.get("suffix")
    )


def _is_s3_sending(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal", {})
    services = ["*"] if principal == "*" else _list(principal.get("Service", [])) + _list(principal.get("AWS", []))
    actions = [action.lower() for action in _list(statement.get("Action", []))]
    return bool({_S3, "*"} & set(services)) and any(fnmatchcase("sqs:sendmessage", action) for action in actions)


def _holds(condition: Mapping[str, Mapping[str, Any]], account: str, bucket: str) -> bool | None:
    """Whether the conditions hold for the bucket's notifications; None where one is of another kind."""
    values = {"aws:sourceaccount": account, "aws:sourcearn": bucket}
    verdicts: list[bool] = []
    for operator, keys in condition.items():
        for key, patterns in keys.items():
            value = values.get(key.lower())
            if value is None or not operator.lower().removesuffix("ifexists").endswith(("equals", "like")):
                return None
            if "not" in operator.lower():
                return None
            verdicts.append(any(fnmatchcase(value, pattern) for pattern in _list(patterns)))
    return all(verdicts)


def _list(value: Any) -> list[Any]:
    """A policy's one or many."""
    return value if isinstance(value, list) else [value]
