"""How errors of AWS become findings: one place, for every call that a check makes."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from cli.deployment import is_denied
from cli.doctor.finding import Finding, unknown, wrong
from cli.errors import CliError

ACTIONS = {
    "DescribeAlarms": "cloudwatch:DescribeAlarms",
    "DescribeEndpoint": "sagemaker:DescribeEndpoint",
    "DescribeLogGroups": "logs:DescribeLogGroups",
    "DescribeRule": "events:DescribeRule",
    "DescribeStacks": "cloudformation:DescribeStacks",
    "GetAccountSettings": "lambda:GetAccountSettings",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "GetBucketPolicy": "s3:GetBucketPolicy",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetDashboard": "cloudwatch:GetDashboard",
    "GetEventSourceMapping": "lambda:GetEventSourceMapping",
    "GetFunctionConcurrency": "lambda:GetFunctionConcurrency",
    "GetFunctionConfiguration": "lambda:GetFunctionConfiguration",
    "GetLayerVersionByArn": "lambda:GetLayerVersion",
    "GetMetricStatistics": "cloudwatch:GetMetricStatistics",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "GetRole": "iam:GetRole",
    "GetRolePolicy": "iam:GetRolePolicy",
    "GetTemplate": "cloudformation:GetTemplate",
    "GetTopicAttributes": "sns:GetTopicAttributes",
    "HeadBucket": "s3:ListBucket",
    "ListEventSourceMappings": "lambda:ListEventSourceMappings",
    "ListInferenceComponents": "sagemaker:ListInferenceComponents",
    "ListStackResources": "cloudformation:ListStackResources",
    "SimulatePrincipalPolicy": "iam:SimulatePrincipalPolicy",
}
"""The operations that the checks call, and the permission that each needs (Service Authorization Reference)."""

_PERFORM = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")
_NOT_FOUND = re.compile(r"NotFound|NotExist|NonExistent|NoSuch|^404$")
_THROTTLED = re.compile(r"Throttl|TooManyRequests|RequestLimitExceeded|SlowDown")


class MissingResourceError(Exception):
    """A resource does not exist. `str` of it names the resource, such as `queue Sluice-Requests`."""


AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError, CliError, MissingResourceError)
"""What a check may raise: an error of AWS or of the connection, or a resource or an output that is missing."""


def is_missing(error: ClientError) -> bool:
    """Whether AWS answered that what was asked for does not exist."""
    return bool(_NOT_FOUND.search(error.response["Error"].get("Code", "")))


def explain(error: Exception) -> str:
    """Why a check was not made: for the user, in one line."""
    if isinstance(error, ClientError):
        return _explain_client_error(error)
    if isinstance(error, CliError):
        return error.message
    return " ".join(str(error).split())


def _explain_client_error(error: ClientError) -> str:
    details = error.response["Error"]
    code, message = details.get("Code", ""), details.get("Message", "")
    if is_denied(error):
        named = _PERFORM.search(message)
        action = named[1] if named else ACTIONS.get(error.operation_name, error.operation_name)
        return f"{action} is not allowed"
    if _THROTTLED.search(code):
        return f"AWS throttled {error.operation_name}"
    return f"{error.operation_name}: {code}: {message}"


def _advice(error: Exception) -> str | None:
    if isinstance(error, ClientError):
        if is_denied(error):
            return "allow it for the credentials that run this command, and check again"
        return "check again later" if _THROTTLED.search(error.response["Error"].get("Code", "")) else None
    if isinstance(error, BotoCoreError):
        return "check the network, the region, and AWS_ENDPOINT_URL if it is set"
    return None


class Reporter:
    """Turns errors into findings. Each missing resource is wrong once; what depends on it can't be checked.

    `reported` has the missing resources for which there is a finding.
    """

    def __init__(self) -> None:
        self.reported: set[str] = set()

    def finding(self, check: str, error: Exception) -> Finding:
        """The finding for an error that ended `check`."""
        if isinstance(error, MissingResourceError):
            if str(error) not in self.reported:
                self.reported.add(str(error))
                return wrong(
                    str(error), "it does not exist", "it is not part of this stack: create it again, then check again"
                )
            return unknown(check, f"not checked: the {error} does not exist", "restore it first")
        if isinstance(error, ClientError) and is_missing(error):
            return wrong(check, f"it does not exist: {explain(error)}", "create it again, then check again")
        return unknown(check, f"not checked: {explain(error)}", _advice(error))

    def guarded(self, check: str, findings: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
        """The findings of a check; an error of AWS ends it with a finding, and not the other checks."""
        try:
            yield from findings()
        except AWS_ERRORS as error:
            yield self.finding(check, error)

    def each(self, items: Iterable[str], name: str, check: Callable[[str], Iterable[Finding]]) -> Iterator[Finding]:
        """The findings of `check` for each of `items`, guarded. `name` has `{}` for the item."""
        for item in items:
            yield from self.guarded(name.format(item), functools.partial(check, item))
