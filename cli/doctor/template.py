"""The resources of a stack as its template declares them, with references resolved to what was deployed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.deployment import Deployment
from cli.doctor.errors import AWS_ERRORS
from cli.errors import CliError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef


class Unresolved:
    """A value of the template that only CloudFormation can resolve. It is not compared."""


UNRESOLVED = Unresolved()


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the stack: its type, its IDs, and the properties of its template."""

    type: str
    logical_id: str
    physical_id: str
    properties: Mapping[str, Any]


class StackTemplate:
    """The template of a deployed stack and the physical IDs of its resources.

    Raises botocore's errors: ListStackResources and GetTemplate must be allowed.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        name = deployment.stack_name
        pages = deployment.cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        self._deployed: dict[str, StackResourceSummaryTypeDef] = {
            one["LogicalResourceId"]: one for page in pages for one in page["StackResourceSummaries"]
        }
        body: Any = deployment.cloudformation.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
        self._declared: Mapping[str, Any] = _parsed(body).get("Resources", {})
        self._role_ids: dict[str, Any] = {}
        stack_id = deployment.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
        _, self._partition, _, self._region, self._account, _ = stack_id.split(":", 5)
        self._pseudo = {
            "AWS::AccountId": self._account,
            "AWS::Partition": self._partition,
            "AWS::Region": self._region,
            "AWS::StackId": stack_id,
            "AWS::StackName": name,
            "AWS::URLSuffix": "amazonaws.com.cn" if self._partition == "aws-cn" else "amazonaws.com",
        }

    def __iter__(self) -> Iterator[Resource]:
        """The resources that were deployed and not deleted by CloudFormation since."""
        for logical_id, one in self._deployed.items():
            if one["ResourceStatus"].startswith("DELETE_") or not one.get("PhysicalResourceId"):
                continue
            properties = self._declared.get(logical_id, {}).get("Properties", {})
            yield Resource(one["ResourceType"], logical_id, one["PhysicalResourceId"], self._resolve(properties))

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolve(one) for one in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return self._reference(argument)
            if name == "Fn::GetAtt":
                logical_id, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                return self._attribute(logical_id, attribute)
            if name == "Fn::Join":
                separator, parts = argument[0], self._resolve(argument[1])
                if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
                    return separator.join(parts)
                return UNRESOLVED
            if name.startswith("Fn::") or name == "Condition":
                return UNRESOLVED
        return {name: self._resolve(one) for name, one in value.items()}

    def _reference(self, name: str) -> Any:
        if name in self._deployed:
            return self._deployed[name]["PhysicalResourceId"]
        return self._pseudo.get(name, UNRESOLVED)

    def _attribute(self, logical_id: str, attribute: str) -> Any:
        """The return value of Fn::GetAtt, for the attributes that the stack uses."""
        one = self._deployed.get(logical_id)
        if one is None:
            return UNRESOLVED
        physical_id, kind = one["PhysicalResourceId"], one["ResourceType"]
        match kind, attribute:
            case "AWS::SQS::Queue", "QueueName":
                return physical_id.rpartition("/")[2]
            case "AWS::SQS::Queue", "Arn":
                return self._arn("sqs", physical_id.rpartition("/")[2])
            case "AWS::SNS::Topic", "TopicName":
                return physical_id.rpartition(":")[2]
            case "AWS::S3::Bucket", "Arn":
                return f"arn:{self._partition}:s3:::{physical_id}"
            case "AWS::Lambda::Function", "Arn":
                return self._arn("lambda", f"function:{physical_id}")
            case "AWS::Logs::LogGroup", "Arn":
                return self._arn("logs", f"log-group:{physical_id}:*")
            case "AWS::IAM::Role", "Arn":
                return f"arn:{self._partition}:iam::{self._account}:role/{physical_id}"
            case "AWS::IAM::Role", "RoleId":
                return self._role_id(physical_id)
        return UNRESOLVED

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self._partition}:{service}:{self._region}:{self._account}:{resource}"

    def _role_id(self, role: str) -> Any:
        if role not in self._role_ids:
            try:
                self._role_ids[role] = self._deployment.iam.get_role(RoleName=role)["Role"]["RoleId"]
            except AWS_ERRORS:
                self._role_ids[role] = UNRESOLVED  # the check of the role itself says why
        return self._role_ids[role]


def _parsed(body: Any) -> Any:
    """A template as a dict. botocore parses one in JSON, which CDK uploads; one in YAML stays a string."""
    try:
        return json.loads(body) if isinstance(body, str) else body
    except ValueError:
        raise CliError("the template of the stack is not JSON, as CDK writes it") from None
