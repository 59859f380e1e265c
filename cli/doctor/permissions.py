"""Checks of the permissions of the invoke function, by the IAM policy simulator."""

from collections.abc import Iterator

from cli.doctor.deployment_state import DEAD_LETTER_QUEUE, DeploymentState
from cli.doctor.finding import Finding, ok, wrong


def check_permissions(state: DeploymentState) -> Iterator[Finding]:
    """The role of the invoke function has all permissions that it needs.

    The simulator evaluates service control policies, but no bucket policies.
    """
    role = state.invoke_function["Role"]
    partition = role.split(":")[1]
    for name, actions, resource in _required(state, partition):
        decisions = state.policy_decisions(role, actions, resource)
        denied = [action for action in actions if decisions.get(action) != "allowed"]
        check = f"permission on the {name}"
        if denied:
            listed = ", ".join(f"{action} ({decisions.get(action, 'no decision')})" for action in denied)
            role_name = role.rpartition("/")[2]
            yield wrong(
                check,
                f"the invoke function may not {listed}",
                f"deploy again; if that does not help, check the policies, the permissions boundary and the service "
                f"control policies of {role_name}",
            )
        else:
            yield ok(check, ", ".join(actions))


def _required(state: DeploymentState, partition: str) -> Iterator[tuple[str, list[str], str]]:
    """Each resource: its name, the actions that the function needs, and its ARN."""
    for name in state.settings.endpoint_names:
        yield f"endpoint {name}", ["sagemaker:InvokeEndpoint"], state.endpoint_arn(name)
    for bucket in (state.settings.input_bucket, *state.settings.input_location_buckets):
        yield f"bucket {bucket}", ["s3:ListBucket"], f"arn:{partition}:s3:::{bucket}"
        yield f"objects of {bucket}", ["s3:GetObject"], f"arn:{partition}:s3:::{bucket}/*"
    results = state.settings.results_bucket
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    yield f"objects of {results}", actions, f"arn:{partition}:s3:::{results}/*"
    receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    yield "request queue", receive, state.queue("request queue").arn
    yield "queue of parts", ["sqs:SendMessage"], state.queue(state.queue_of_parts).arn
    yield "assembly queue", ["sqs:SendMessage"], state.queue("assembly queue").arn
    yield DEAD_LETTER_QUEUE, ["sqs:SendMessage"], state.queue(DEAD_LETTER_QUEUE).arn
