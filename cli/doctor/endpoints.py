"""Checks of the endpoints: they exist, are in service, and take as many concurrent requests as are sent."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cli.doctor.deployment_state import DeploymentState
from cli.doctor.finding import Finding, ok, unknown, wrong

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef, ProductionVariantSummaryTypeDef

_SERVERLESS_MAX_BODY = 4 * 1024 * 1024  # bytes (SageMaker, "Serverless Inference", quotas)
_ENDPOINT = "endpoint {}"
_TRANSITIONAL_STATUSES = {"Creating", "Updating", "SystemUpdating", "RollingBack"}


def check_endpoints(state: DeploymentState) -> Iterator[Finding]:
    """Each endpoint of the deployment, and its variants."""
    return state.reporter.each(state.settings.endpoint_names, _ENDPOINT, partial(_check_endpoint, state))


def _check_endpoint(state: DeploymentState, name: str) -> Iterator[Finding]:
    check = _ENDPOINT.format(name)
    try:
        description = state.endpoint(name)
    except ClientError as error:
        if "Could not find endpoint" not in error.response["Error"].get("Message", ""):
            raise
        yield wrong(
            check,
            "it does not exist in this account and region: requests for it are retried and then dead-lettered",
            "create it, or remove it from endpoint_names and deploy",
        )
        return
    own_name = description.get("EndpointName", name)
    if own_name != name:
        yield wrong(
            check,
            f"its name is {own_name}: InvokeEndpoint does not find it in another upper and lower case, although "
            "DescribeEndpoint does",
            f"write {own_name} in endpoint_names and deploy",
        )
    yield _check_status(check, description)
    for variant in description.get("ProductionVariants", []):
        yield from _check_variant(f"{check}, variant {variant['VariantName']}", variant, state)


def _check_status(check: str, description: "DescribeEndpointOutputTypeDef") -> Finding:
    status = description["EndpointStatus"]
    if status == "InService":
        return ok(check, status)
    if status in _TRANSITIONAL_STATUSES:
        return unknown(check, f"it is {status}", "check again when it is InService")
    reason = description.get("FailureReason", "it does not answer requests")
    return wrong(check, f"it is {status}: {reason}", "create it again; requests stay on the queue until then")


def _check_variant(check: str, variant: "ProductionVariantSummaryTypeDef", state: DeploymentState) -> Iterator[Finding]:
    concurrency = state.concurrency()
    serverless = variant.get("CurrentServerlessConfig")
    if serverless:
        yield from _check_serverless(check, serverless["MaxConcurrency"], concurrency, state)
        return
    instances = variant.get("CurrentInstanceCount")
    if instances is None:
        yield unknown(check, "DescribeEndpoint returns no number of instances")
    elif instances == 0:
        yield ok(
            check,
            f"scaled to zero: the first requests are retried until an instance is in service, then up to {concurrency} "
            "are sent at once",
        )
    elif concurrency < instances:
        yield wrong(
            check,
            f"{instances} instances get at most {concurrency} requests at once: some are idle",
            f"set concurrent_requests to {instances} or more, or run fewer instances",
        )
    else:
        noun = "instance" if instances == 1 else "instances"
        yield ok(
            check, f"{instances} {noun}, up to {concurrency} requests at once: {concurrency / instances:g} per instance"
        )


def _check_serverless(check: str, maximum: int, concurrency: int, state: DeploymentState) -> Iterator[Finding]:
    if concurrency > maximum:
        yield wrong(
            check,
            f"serverless with MaxConcurrency {maximum}, but up to {concurrency} requests are sent at once",
            f"set concurrent_requests to {maximum}, or raise MaxConcurrency",
        )
    else:
        yield ok(check, f"serverless with MaxConcurrency {maximum}, up to {concurrency} requests at once")
    if state.settings.max_body_bytes > _SERVERLESS_MAX_BODY:
        yield wrong(
            check,
            f"serverless endpoints take {_SERVERLESS_MAX_BODY} bytes, but max_body_bytes is "
            f"{state.settings.max_body_bytes}: larger bodies are sent and rejected",
            f"set max_body_bytes to {_SERVERLESS_MAX_BODY}; use another deployment for endpoints that take more",
        )
