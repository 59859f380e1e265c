"""Checks of the quotas of AWS: what the deployment may need at once, and what the account or AWS allows."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from cli.doctor.compare import is_resolved
from cli.doctor.deployment_state import DeploymentState
from cli.doctor.finding import Finding, ok, wrong
from cli.quotas import ENVIRONMENT_BYTES, IN_FLIGHT, QUEUE_POLICY_BYTES, ROLE_POLICY_CHARACTERS, Quota

_CLOSE = 0.9  # fraction of a quota
_EXECUTIONS = "quota of concurrent executions"
_IN_FLIGHT = "messages in flight of the {}"


def check_quotas(state: DeploymentState) -> Iterator[Finding]:
    """The functions' concurrency, the messages in flight, and the sizes of policies and environments."""
    yield from state.reporter.guarded(_EXECUTIONS, partial(_check_executions, state))
    yield from state.reporter.each(state.mapped_queues, _IN_FLIGHT, partial(_check_in_flight, state))
    yield from state.reporter.guarded("quotas of sizes", partial(_check_sizes, state))


def _check_executions(state: DeploymentState) -> Iterator[Finding]:
    needed = sum(
        resource.properties.get("ScalingConfig", {}).get("MaximumConcurrency", 0)
        for resource in state.template
        if resource.type == "AWS::Lambda::EventSourceMapping"
    )
    allowed = state.account_concurrency
    if needed > allowed:
        yield wrong(
            _EXECUTIONS,
            f"the functions of this stack may run {needed:,} times at once, and the account has {allowed:,} that are "
            "not reserved, for all its functions: Lambda throttles the others",
            "request a higher quota (Service Quotas, AWS Lambda, Concurrent executions), or lower concurrent_requests",
        )
    else:
        yield ok(_EXECUTIONS, f"the functions of this stack need {needed:,} of {allowed:,} at most")


def _check_in_flight(state: DeploymentState, queue: str) -> Iterator[Finding]:
    in_flight = state.queue(queue).number("ApproximateNumberOfMessagesNotVisible")
    explanation = f"{in_flight:,} of {IN_FLIGHT.value:,}"
    if in_flight > _CLOSE * IN_FLIGHT.value:
        yield wrong(
            _IN_FLIGHT.format(queue),
            f"{explanation}: at the quota, SQS delivers no other message",
            "most wait for their retry: see the reasons with sluice watch, and correct the cause",
        )
    else:
        yield ok(_IN_FLIGHT.format(queue), explanation)


def _check_sizes(state: DeploymentState) -> Iterator[Finding]:
    roles: dict[str, int] = {}
    queues: dict[str, int] = {}
    environments: dict[str, int] = {}
    for resource in state.template:
        properties = resource.properties
        match resource.type:
            case "AWS::IAM::Policy" if is_resolved(properties):
                for role in properties.get("Roles", []):
                    roles[role] = roles.get(role, 0) + _length(properties["PolicyDocument"])
            case "AWS::SQS::QueuePolicy" if is_resolved(properties):
                queues[resource.logical_id] = _length(properties["PolicyDocument"])
            case "AWS::Lambda::Function":
                variables = properties.get("Environment", {}).get("Variables", {})
                environments[resource.physical_id] = sum(len(name) + len(str(one)) for name, one in variables.items())
    shorter = "split endpoint_names and input_location_buckets between two deployments"
    yield from _largest("policies of a role", roles, ROLE_POLICY_CHARACTERS, shorter)
    yield from _largest("policy of a queue", queues, QUEUE_POLICY_BYTES, "use senders.organization_id for accounts")
    yield from _largest("environment of a function", environments, ENVIRONMENT_BYTES, shorter)


def _largest(name: str, sizes: Mapping[str, int], quota: Quota, remedy: str) -> Iterator[Finding]:
    if not sizes:
        return
    largest = max(sizes, key=lambda one: sizes[one])
    explanation = f"{sizes[largest]:,} of {quota.value:,} {quota.of.partition(' ')[0]} ({largest})"
    if sizes[largest] > _CLOSE * quota.value:
        yield wrong(name, f"{explanation}: with some more, a deployment fails", remedy)
    else:
        yield ok(name, explanation)


def _length(document: Any) -> int:
    return len(json.dumps(document, separators=(",", ":")))
