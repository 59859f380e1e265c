"""What the invoke function may do, as IAM would decide."""

from collections.abc import Iterator

from cli.doctor.facts import DEAD_LETTERS, Facts
from cli.doctor.finding import Finding, ok, wrong


def check_permissions(facts: Facts) -> Iterator[Finding]:
    """The role of the invoke function has what it needs. A service control policy counts, a bucket policy does not."""
    role = facts.invoke["Role"]
    partition = role.split(":")[1]
    for name, actions, resource in _needed(facts, partition):
        decided = facts.allowed(role, actions, resource)
        denied = [action for action in actions if decided.get(action) != "allowed"]
        check = f"permission on the {name}"
        if denied:
            how = ", ".join(f"{action} ({decided.get(action, 'not decided')})" for action in denied)
            role_name = role.rpartition("/")[2]
            yield wrong(
                check,
                f"the invoke function may not {how}",
                f"deploy again; else look at the policies, boundary and service control policies of {role_name}",
            )
        else:
            yield ok(check, ", ".join(actions))


def _needed(facts: Facts, partition: str) -> Iterator[tuple[str, list[str], str]]:
    for name in facts.settings.endpoint_names:
        yield f"endpoint {name}", ["sagemaker:InvokeEndpoint"], facts.endpoint_arn(name)
    for bucket in (facts.settings.input_bucket, *facts.settings.input_location_buckets):
        yield f"bucket {bucket}", ["s3:ListBucket"], f"arn:{partition}:s3:::{bucket}"
        yield f"objects of {bucket}", ["s3:GetObject"], f"arn:{partition}:s3:::{bucket}/*"
    results = facts.settings.results_bucket
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    yield f"objects of {results}", actions, f"arn:{partition}:s3:::{results}/*"
    receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage"]
    yield "request queue", receive, facts.queue("request queue").arn
    yield "assembly queue", ["sqs:SendMessage"], facts.queue("assembly queue").arn
    yield DEAD_LETTERS, ["sqs:SendMessage"], facts.queue(DEAD_LETTERS).arn
