"""Allows a role to send requests to Sluice, drop files, and read results. For use in your own CDK app."""

from aws_cdk import Fn, Stack
from aws_cdk import aws_iam as iam


def allow_sending(role: iam.IRole, outputs: dict[str, str], kms_key_arn: str | None = None) -> None:
    """Extend the role's policy. `outputs` are those of Sluice's stack; `kms_key_arn` is its own key, if any."""
    stack = Stack.of(role)
    queue_name = Fn.select(4, Fn.split("/", outputs["RequestQueueUrl"]))
    inputs = f"arn:{stack.partition}:s3:::{outputs['InputBucketName']}"
    results = f"arn:{stack.partition}:s3:::{outputs['ResultsBucketName']}"
    allowed = {
        "sqs:SendMessage": [stack.format_arn(service="sqs", resource=queue_name)],
        "s3:PutObject": [f"{inputs}/invoke/*", f"{inputs}/transform/*"],
        "s3:GetObject": [f"{results}/*"],
        # Without it, S3 returns 403 instead of 404 for a result that does not exist yet.
        "s3:ListBucket": [results],
    }
    if kms_key_arn:
        allowed |= {"kms:GenerateDataKey": [kms_key_arn], "kms:Decrypt": [kms_key_arn]}
    for action, resources in allowed.items():
        role.add_to_principal_policy(iam.PolicyStatement(actions=[action], resources=resources))
