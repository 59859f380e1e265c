"""Checks of the permissions of the functions that call endpoints, by the IAM policy simulator."""

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from cli.doctor.deployment_state import DEAD_LETTER_QUEUE, DeploymentState
from cli.doctor.finding import Finding, ok, unknown, wrong

_INVOKE = ["sagemaker:InvokeEndpoint"]
_Required = Iterator[tuple[str, list[str], str]]
"""Each resource: its name, the actions that a function needs, and its ARN."""


def check_permissions(state: DeploymentState) -> Iterator[Finding]:
    """The roles of the functions that call endpoints have all permissions that they need.

    The simulator evaluates service control policies, but no bucket policies.
    """
    buckets = state.settings.input_location_buckets
    yield from _check(state, "invoke", state.invoke_function, _required(state, "request queue", buckets))
    # Datasets without a share of their own are called for by the invoke function.
    callers = {"invoke": state.invoke_function}
    if state.queue_of_parts == "part queue":
        for mapping in state.mappings("part queue"):
            callers["part"] = function = state.function(mapping["FunctionArn"])
            yield from _check(state, "part", function, _required(state, "part queue", ()))
    yield from _check_components(state, callers)


def _check(state: DeploymentState, unit: str, function: Mapping[str, Any], required: _Required) -> Iterator[Finding]:
    role = function["Role"]
    whose = "" if unit == "invoke" else f"of the {unit} function "
    for name, actions, resource in required:
        decisions = state.policy_decisions(role, actions, resource)
        denied = [action for action in actions if decisions.get(action) != "allowed"]
        check = f"permission {whose}on the {name}"
        if denied:
            listed = ", ".join(f"{action} ({decisions.get(action, 'no decision')})" for action in denied)
            role_name = role.rpartition("/")[2]
            yield wrong(
                check,
                f"the {unit} function may not {listed}",
                f"deploy again; if that does not help, check the policies, the permissions boundary and the service "
                f"control policies of {role_name}",
            )
        else:
            yield ok(check, ", ".join(actions))


def _required(state: DeploymentState, queue: str, other_buckets: tuple[str, ...]) -> _Required:
    """What a function needs that receives from `queue`, and reads inputs from `other_buckets`, too."""
    partition = state.queue(queue).arn.split(":")[1]
    for name in state.settings.endpoint_names:
        yield f"endpoint {name}", _INVOKE, state.endpoint_arn(name)
    for bucket in (state.settings.input_bucket, *other_buckets):
        yield f"bucket {bucket}", ["s3:ListBucket"], f"arn:{partition}:s3:::{bucket}"
        yield f"objects of {bucket}", ["s3:GetObject"], f"arn:{partition}:s3:::{bucket}/*"
    results = state.settings.results_bucket
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    yield f"objects of {results}", actions, f"arn:{partition}:s3:::{results}/*"
    receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    yield queue, receive, state.queue(queue).arn
    yield "queue of parts", ["sqs:SendMessage"], state.queue(state.queue_of_parts).arn
    yield "assembly queue", ["sqs:SendMessage"], state.queue("assembly queue").arn
    yield DEAD_LETTER_QUEUE, ["sqs:SendMessage"], state.queue(DEAD_LETTER_QUEUE).arn


def _check_components(state: DeploymentState, callers: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Each endpoint with inference components has some that may be called. The settings may leave out others."""
    for name in state.settings.endpoint_names:
        check = f"permission on the inference components of {name}"
        try:
            components = state.inference_components(name)
        except ClientError as error:
            yield unknown(check, f"ListInferenceComponents: {error.response['Error'].get('Code')}")
            continue
        if not components:
            continue
        denied = {
            component: [
                unit
                for unit, function in callers.items()
                if state.policy_decisions(function["Role"], _INVOKE, arn).get(_INVOKE[0]) != "allowed"
            ]
            for component, arn in components.items()
        }
        allowed = [component for component, units in denied.items() if not units]
        refused = [component for component, units in denied.items() if units]
        if allowed:
            yield ok(check, ", ".join(allowed) + (f"; not on {', '.join(refused)}" if refused else ""))
        else:
            units = sorted({unit for found in denied.values() for unit in found})
            yield wrong(
                check,
                f"it has {', '.join(components)}, of which the {' and the '.join(units)} function may call none",
                f'name those that may be called in endpoint_names, as {{"name": "{name}", "inference_components": '
                f'["{refused[0]}"]}}, and deploy',
            )
