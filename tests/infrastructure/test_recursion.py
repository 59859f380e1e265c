"""Lambda's recursive loop detection: off for the functions whose messages come back to them, on for all others."""

from collections.abc import Iterator
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from infrastructure.settings import Settings
from infrastructure.stack import SluiceStack

Resources = dict[str, dict[str, Any]]
DATASETS_ALONE: dict[str, Any] = {}
SHARED = {"concurrent_dataset_requests": 0}


def synthesized(given: dict[str, Any]) -> Resources:
    template = Template.from_stack(SluiceStack(cdk.App(), Settings.from_context({"endpoint_names": ["wine"]}, given)))
    found: Resources = template.to_json()["Resources"]
    return found


def referred(value: Any) -> Iterator[str]:
    """The logical IDs that a value refers to, at any depth."""
    if isinstance(value, dict):
        if "Ref" in value:
            yield value["Ref"]
        elif "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0]
        else:
            for one in value.values():
                yield from referred(one)
    elif isinstance(value, list):
        for one in value:
            yield from referred(one)


def of_type(resources: Resources, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, one["Properties"]) for name, one in resources.items() if one["Type"] == kind)


def allowed(resources: Resources, role: str, action: str) -> Iterator[str]:
    """The resources on which a role's policies allow an action."""
    for _, policy in of_type(resources, "AWS::IAM::Policy"):
        if role in referred(policy["Roles"]):
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                if statement["Effect"] == "Allow" and action in actions:
                    yield from referred(statement["Resource"])


def invokes(resources: Resources) -> dict[str, set[str]]:
    """By function, the functions that are invoked with what it sends to a queue, or with what S3 sends when it stores.

    What SQS moves to a dead-letter queue is not sent anew, and the crashed function sends no message of that kind.
    """
    aliases = {name: next(referred(one["FunctionName"])) for name, one in of_type(resources, "AWS::Lambda::Alias")}
    of_queue: dict[str, set[str]] = {}
    for _, mapping in of_type(resources, "AWS::Lambda::EventSourceMapping"):
        (queue,), (target,) = set(referred(mapping["EventSourceArn"])), set(referred(mapping["FunctionName"]))
        of_queue.setdefault(queue, set()).add(aliases.get(target, target))
    of_bucket = {
        name: {queue for one in configured for queue in referred(one["Queue"])}
        for name, bucket in of_type(resources, "AWS::S3::Bucket")
        if (configured := bucket.get("NotificationConfiguration", {}).get("QueueConfigurations"))
    }
    found: dict[str, set[str]] = {}
    for name, function in of_type(resources, "AWS::Lambda::Function"):
        (role,) = set(referred(function["Role"]))
        queues = set(allowed(resources, role, "sqs:SendMessage"))
        for bucket in allowed(resources, role, "s3:PutObject"):
            queues |= of_bucket.get(bucket, set())
        found[name] = {invoked for queue in queues for invoked in of_queue.get(queue, ())}
    return found


def in_a_cycle(graph: dict[str, set[str]]) -> set[str]:
    """The functions that are invoked, directly or through others, with what they send."""

    def reached(function: str) -> set[str]:
        seen: set[str] = set()
        waiting = [*graph[function]]
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += graph[one]
        return seen

    return {function for function in graph if function in reached(function)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (DATASETS_ALONE, {"Part"}),
        (SHARED, {"Invoke"}),
        ({"notifications": {"success_topic": True}, "function": {"snap_start": True}}, {"Part"}),
    ],
    ids=["datasets alone", "shared", "notifications and SnapStart"],
)
def test_recursion_is_allowed_for_the_functions_in_a_cycle_and_no_others(
    given: dict[str, Any], expected: set[str]
) -> None:
    resources = synthesized(given)
    graph = invokes(resources)
    assert sum(map(len, graph.values())) >= 5, "the messages of parts and of assemblies"
    cycle = in_a_cycle(graph)
    assert {name.removeprefix("Functions").partition("Function")[0] for name in cycle} == expected
    for name, function in of_type(resources, "AWS::Lambda::Function"):
        assert function.get("RecursiveLoop") == ("Allow" if name in cycle else None), name
