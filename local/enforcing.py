"""ministack, corrected where its enforcement of IAM differs from AWS's; `python -m local.enforcing` takes its place.

Each correction has AWS's own documentation behind it. Who signs, and what the policies of roles, queues, topics and
buckets allow, is ministack's to decide.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_actions, iam_evaluator, router

Response = tuple[int, dict[str, str], bytes]

# AddPermission (SQS API page): who may SendMessage, DeleteMessage or ChangeMessageVisibility may do so in batches.
_BATCH = re.compile(r"(sqs:(?:SendMessage|DeleteMessage|ChangeMessageVisibility))Batch")
_INVOCATIONS = re.compile(r"/endpoints/([^/]+)/invocations")

_action_of = iam_actions.extract_iam_action
_resource_of = iam_actions.extract_resource_arn


def _action(service: str, method: str, path: str, *request: Any) -> str | None:
    if service == "sagemaker":
        return "sagemaker:InvokeEndpoint" if _INVOCATIONS.fullmatch(path) else None
    action: str | None = _action_of(service, method, path, *request)
    return _BATCH.sub(r"\1", action) if action else action


def _resource(service: str, method: str, path: str, *request: Any) -> str:
    if service == "sagemaker" and (found := _INVOCATIONS.fullmatch(path)):
        *_, region, account = request
        # SageMaker's ARNs have the name in lower case.
        return f"arn:aws:sagemaker:{region}:{account}:endpoint/{unquote(found[1]).lower()}"
    resource: str = _resource_of(service, method, path, *request)
    return resource


def _telling_missing_from_forbidden(handler: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """S3's `handler`, which says 404 of an object to those alone who may list its bucket, and 403 to others.

    As the API pages of GetObject and HeadObject have it.
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


def main() -> None:
    """Serve until SIGTERM."""
    iam_actions.extract_iam_action = _action
    iam_actions.extract_resource_arn = _resource
    iam_actions.SERVICE_TO_IAM_NAMESPACE["sagemaker"] = "sagemaker"
    # Else it reads botocore's models of all services at the first call, and answers nothing for many seconds.
    router._KNOWN_AWS_SERVICE_NAMES = frozenset({"sagemaker"})
    app.SERVICE_HANDLERS["s3"] = _telling_missing_from_forbidden(app.SERVICE_HANDLERS["s3"])
    app.main()


if __name__ == "__main__":
    main()
