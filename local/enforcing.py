"""`python -m local.enforcing`: ministack with corrections where it differs from AWS.

Each correction follows AWS's documentation. If enforcement is on, ministack itself checks signatures, and evaluates the
policies of roles, queues, topics and buckets; it is corrected where that differs. SenderId, CloudFormation and what S3
assumes for an object are always corrected.

If `SLUICE_DECISIONS` names a file, what roles are allowed to do is written there, as one JSON array in a line for each
request: the principal, the Sid of the statement that allowed it, the action, the resource.
"""

import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_actions, iam_evaluator, responses, router

from local import cloudformation, senders

Response = tuple[int, dict[str, str], bytes]

# SQS API reference, AddPermission: permission for SendMessage, DeleteMessage or ChangeMessageVisibility includes the
# batch action.
_BATCH = re.compile(r"(sqs:(?:SendMessage|DeleteMessage|ChangeMessageVisibility))Batch")
_SESSION = re.compile(r"arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/.*")
_ENCRYPTION = "x-amz-server-side-encryption"
_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_INVOCATIONS = re.compile(r"/endpoints/([^/]+)/invocations")

_action_of = iam_actions.extract_iam_action
_resource_of = iam_actions.extract_resource_arn
_value_of = iam_evaluator._resolve_condition_key


def _action(service: str, method: str, path: str, *request: Any) -> str | None:
    if service == "sagemaker":
        return "sagemaker:InvokeEndpoint" if _INVOCATIONS.fullmatch(path) else None
    action: str | None = _action_of(service, method, path, *request)
    return _BATCH.sub(r"\1", action) if action else action


def _resource(service: str, method: str, path: str, *request: Any) -> str:
    if service == "sagemaker" and (found := _INVOCATIONS.fullmatch(path)):
        *_, region, account = request
        # SageMaker's ARNs have the endpoint name in lower case.
        return f"arn:aws:sagemaker:{region}:{account}:endpoint/{unquote(found[1]).lower()}"
    resource: str = _resource_of(service, method, path, *request)
    return resource


def _recorded(evaluate: Callable[..., Any], path: Path) -> Callable[..., Any]:
    """Wrap `evaluate`: append each request to `path` that a policy of a role allows."""

    def recorded(context: Any, *policies: Any) -> Any:
        result = evaluate(context, *policies)
        if result.decision == "Allow" and _SESSION.fullmatch(context.principal_arn):
            decision = [context.principal_arn, result.matched_sid, context.action, context.resource_arn]
            with path.open("a") as file:
                file.write(json.dumps(decision) + "\n")
        return result

    return recorded


def _condition_value(key: str, context: Any) -> Any:
    """The value of a condition key. Of a role's session, aws:PrincipalArn is the ARN of the role.

    Source: the IAM User Guide, "AWS global condition context keys".
    """
    value = _value_of(key, context)
    if key.lower() == "aws:principalarn" and (session := _SESSION.fullmatch(value)):
        partition, account, role = session.groups()
        return f"arn:{partition}:iam::{account}:role/{role}"
    return value


def _hiding_missing_objects(handler: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Wrap S3's `handler`: for a missing object, return 404 only to callers with s3:ListBucket, and 403 to others.

    Source: the API pages of GetObject and HeadObject.
    """

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Response:
        response = await handler(method, path, headers, body, query)
        bucket, _, key = path.strip("/").partition("/")
        if response[0] != 404 or method not in {"GET", "HEAD"} or not key:
            return response
        denied = iam_evaluator.enforce(
            router.extract_access_key_id(headers, query),
            "s3:ListBucket",
            "s3",
            router.extract_region(headers, query),
            resource_arn=f"arn:aws:s3:::{bucket}",
        )
        if not isinstance(denied, iam_evaluator.EvalResult):
            return response
        refused: Response = iam_actions.access_denied_response("s3", "s3:ListBucket", denied.principal_arn, "")
        return refused

    return handle


def _with_defaults(handler: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Wrap S3's `handler`: what an object has if its request says nothing (API page of PutObject).

    The content type is `binary/octet-stream`. If the encryption is `aws:kms` without a key, the key is `aws/s3`.
    """

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Response:
        if method in {"PUT", "POST"}:
            headers = {**headers, "content-type": headers.get("content-type") or "binary/octet-stream"}
            if headers.get(_ENCRYPTION) == "aws:kms":
                key = f"arn:aws:kms:{responses.get_region()}:{responses.get_account_id()}:alias/aws/s3"
                headers.setdefault(_KEY, key)
        return await handler(method, path, headers, body, query)

    return handle


def main() -> None:
    """Serve until SIGTERM."""
    senders.correct()
    cloudformation.correct()
    app.SERVICE_HANDLERS["s3"] = _with_defaults(app.SERVICE_HANDLERS["s3"])
    if app.AUTH:
        _correct_enforcement()
    app.main()


def _correct_enforcement() -> None:
    iam_actions.extract_iam_action = _action
    iam_actions.extract_resource_arn = _resource
    iam_evaluator._resolve_condition_key = _condition_value
    iam_actions.SERVICE_TO_IAM_NAMESPACE["sagemaker"] = "sagemaker"
    # Otherwise it loads botocore's models of all services at the first call, which blocks it for many seconds.
    router._KNOWN_AWS_SERVICE_NAMES = frozenset({"sagemaker"})
    if path := os.environ.get("SLUICE_DECISIONS"):
        iam_evaluator.evaluate = _recorded(iam_evaluator.evaluate, Path(path))
    app.SERVICE_HANDLERS["s3"] = _hiding_missing_objects(app.SERVICE_HANDLERS["s3"])


if __name__ == "__main__":
    main()
