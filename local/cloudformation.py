"""Corrects ministack's CloudFormation where it differs from AWS's (CloudFormation Template Reference).

AWS has the resource type of composite alarms, applies the encryption and the access logs of a bucket, fails to delete a
bucket that is not empty, and puts functions into their VPC.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as Xml

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, lambda_svc, s3
from ministack.services.cloudformation import provisioners

COMPOSITE_ALARM = "AWS::CloudWatch::CompositeAlarm"
_PROPERTIES = (
    "AlarmRule",
    "AlarmDescription",
    "ActionsEnabled",
    "AlarmActions",
    "OKActions",
    "InsufficientDataActions",
    "Tags",
)


_delete_empty_bucket = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]["delete"]


def _put(name: str, properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Create or update an alarm by the action of the API, which checks its rule. Raises `ValueError` if it refuses."""
    request = {"AlarmName": name, **{key: properties[key] for key in _PROPERTIES if key in properties}}
    status, _, body = cloudwatch._put_composite_alarm({}, request, is_cbor=False, is_json=True)
    if status >= 400:
        raise ValueError(json.loads(body).get("message", body.decode()))
    # Ref returns the name, Fn::GetAtt the ARN (CloudFormation Template Reference).
    return name, {"Arn": f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"}


def _create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    name = properties.get("AlarmName") or provisioners._physical_name(stack_name, logical_id, max_len=255)
    return _put(name, properties)


def _update(
    physical_id: str, _old: dict[str, Any], properties: dict[str, Any], _stack_name: str
) -> tuple[str, dict[str, str]]:
    return _put(physical_id, properties)


def _delete(physical_id: str, _properties: dict[str, Any]) -> None:
    cloudwatch._composite_alarms.pop(physical_id, None)


def _encryption_document(properties: dict[str, Any]) -> bytes:
    root = Xml.Element("ServerSideEncryptionConfiguration", xmlns=s3.S3_NS)
    for rule in properties["ServerSideEncryptionConfiguration"]:
        element = Xml.SubElement(root, "Rule")
        default = Xml.SubElement(element, "ApplyServerSideEncryptionByDefault")
        for name, value in rule["ServerSideEncryptionByDefault"].items():
            Xml.SubElement(default, name).text = value
        Xml.SubElement(element, "BucketKeyEnabled").text = str(rule.get("BucketKeyEnabled", False)).lower()
    return Xml.tostring(root)


def _logging_document(properties: dict[str, Any]) -> bytes:
    root = Xml.Element("BucketLoggingStatus", xmlns=s3.S3_NS)
    enabled = Xml.SubElement(root, "LoggingEnabled")
    Xml.SubElement(enabled, "TargetBucket").text = properties["DestinationBucketName"]
    Xml.SubElement(enabled, "TargetPrefix").text = properties.get("LogFilePrefix", "")
    return Xml.tostring(root)


def _delete_logging(bucket: str) -> None:
    s3._bucket_logging_config.pop(bucket, None)


def _delete_bucket(physical_id: str, properties: dict[str, Any]) -> None:
    status, _, body = s3._delete_bucket(physical_id)
    if status == 409:
        message = re.search(r"<Message>(.*?)</Message>", body.decode() if isinstance(body, bytes) else body)
        raise ValueError(message[1] if message else f"{physical_id}: BucketNotEmpty")
    _delete_empty_bucket(physical_id, properties)


def _in_network(provision: Callable[..., tuple[str, dict[str, str]]], position: int) -> Callable[..., Any]:
    """Wrap the creation or update of a function, whose properties are the argument at `position`."""

    def provisioned(*arguments: Any, **keywords: Any) -> tuple[str, dict[str, str]]:
        name, attributes = provision(*arguments, **keywords)
        network = arguments[position].get("VpcConfig")
        config = lambda_svc._functions[name]["config"]
        config["VpcConfig"] = lambda_svc._vpc_config_with_id(network)
        if network and not config["VpcConfig"]["VpcId"]:
            raise ValueError(f"The subnets {network['SubnetIds']} do not exist in one VPC")
        return name, attributes

    return provisioned


def correct() -> None:
    """Correct ministack in this process."""
    functions = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    functions["create"] = _in_network(functions["create"], 1)
    functions["update"] = _in_network(functions["update"], 2)
    provisioners._RESOURCE_HANDLERS[COMPOSITE_ALARM] = {"create": _create, "update": _update, "delete": _delete}
    provisioners._S3_BUCKET_CONFIGURATIONS += (
        ("BucketEncryption", _encryption_document, s3._put_bucket_encryption, s3._delete_bucket_encryption),
        ("LoggingConfiguration", _logging_document, s3._put_bucket_logging, _delete_logging),
    )
    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]["delete"] = _delete_bucket
