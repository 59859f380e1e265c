"""The endpoints: are they there, in service, and large enough for what is sent to them at once."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cli.doctor.facts import Facts
from cli.doctor.finding import Finding, ok, unknown, wrong

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef, ProductionVariantSummaryTypeDef

_SERVERLESS_MAX_BODY = 4 * 1024 * 1024  # bytes (SageMaker, "Serverless Inference", quotas)
_GETTING_THERE = {"Creating", "Updating", "SystemUpdating", "RollingBack"}


def check_endpoints(facts: Facts) -> Iterator[Finding]:
    """Each endpoint of the deployment, and its variants."""
    for name in facts.settings.endpoint_names:
        check = f"endpoint {name}"
        try:
            described = facts.endpoint(name)
        except ClientError as error:
            if "Could not find endpoint" not in error.response["Error"].get("Message", ""):
                yield unknown(check, f"DescribeEndpoint: {error.response['Error'].get('Code')}")
                continue
            yield wrong(
                check,
                "it does not exist in this account and region: requests for it are retried, and then dead-lettered",
                "create it, or take it out of endpoint_names, and deploy",
            )
            continue
        yield _status(check, described)
        for variant in described.get("ProductionVariants", []):
            yield from _variant(f"{check}, variant {variant['VariantName']}", variant, facts)


def _status(check: str, described: "DescribeEndpointOutputTypeDef") -> Finding:
    status = described["EndpointStatus"]
    if status == "InService":
        return ok(check, status)
    if status in _GETTING_THERE:
        return unknown(check, f"it is {status}", "look again when it is InService")
    why = described.get("FailureReason", "it answers nothing")
    return wrong(check, f"it is {status}: {why}", "create it anew; what is on the queue waits meanwhile")


def _variant(check: str, variant: "ProductionVariantSummaryTypeDef", facts: Facts) -> Iterator[Finding]:
    at_once = facts.concurrency()
    serverless = variant.get("CurrentServerlessConfig")
    if serverless:
        yield from _serverless(check, serverless["MaxConcurrency"], at_once, facts)
        return
    instances = variant.get("CurrentInstanceCount")
    if instances is None:
        yield unknown(check, "it says no number of instances")
    elif instances == 0:
        yield ok(check, f"scaled to zero: the first requests are retried until an instance is there; then {at_once}")
    elif at_once < instances:
        yield wrong(
            check,
            f"{instances} instances see at most {at_once} requests at once: some have nothing to do",
            f"set concurrent_requests to {instances} or more, or run fewer instances",
        )
    else:
        noun = "instance" if instances == 1 else "instances"
        yield ok(check, f"{instances} {noun}, up to {at_once} requests at once: {at_once / instances:g} for each")


def _serverless(check: str, maximum: int, at_once: int, facts: Facts) -> Iterator[Finding]:
    if at_once > maximum:
        yield wrong(
            check,
            f"serverless with MaxConcurrency {maximum}, but up to {at_once} requests are sent at once: it throttles",
            f"set concurrent_requests to {maximum}, or raise MaxConcurrency",
        )
    else:
        yield ok(check, f"serverless with MaxConcurrency {maximum}, up to {at_once} requests at once")
    if facts.settings.max_body_bytes > _SERVERLESS_MAX_BODY:
        yield wrong(
            check,
            f"serverless endpoints take {_SERVERLESS_MAX_BODY} bytes, but max_body_bytes is "
            f"{facts.settings.max_body_bytes}: larger bodies are sent in vain",
            f"set max_body_bytes to {_SERVERLESS_MAX_BODY}; endpoints that take more go into a deployment of their own",
        )
