"""Calls the deployed functions with real messages, while permissions of their roles are removed."""

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from sluice.inputs.delivery import Delivery
from sluice.inputs.envelopes import parse
from sluice.inputs.identity import Identity, of
from sluice.settings import Settings
from tests.e2e.conftest import DECISIONS, SETTINGS, Pipeline

LISTED: str = SETTINGS["input_location_buckets"][0]
_SECONDS = 60.0
_STACK = "Sluice"


class Broke(AssertionError):
    """A scenario failed."""


@dataclass(frozen=True, order=True)
class Permission:
    """One action on one resource, of one statement of a function's role."""

    unit: str
    sid: str
    action: str
    resource: str


@dataclass(frozen=True)
class Unit:
    """A function with its queue and the policy of its role; named by its handler's module."""

    name: str
    function_name: str
    environment: dict[str, str]
    role_name: str
    policy_name: str
    policy: dict[str, Any]
    queue_url: str
    mapping: str

    def permissions(self) -> Iterator[Permission]:
        for statement in self.policy["Statement"]:
            for action in _list(statement["Action"]):
                for resource in _list(statement["Resource"]):
                    yield Permission(self.name, statement["Sid"], action, resource)

    def without(self, permission: Permission) -> dict[str, Any]:
        """The policy without one permission."""
        statements: list[dict[str, Any]] = []
        for statement in self.policy["Statement"]:
            if statement["Sid"] != permission.sid:
                statements.append(statement)
                continue
            actions, resources = _list(statement["Action"]), _list(statement["Resource"])
            others = [action for action in actions if action != permission.action]
            elsewhere = [resource for resource in resources if resource != permission.resource]
            if others:
                statements.append({**statement, "Action": others})
            if elsewhere:
                statements.append({**statement, "Sid": "Rest", "Action": permission.action, "Resource": elsewhere})
        return {**self.policy, "Statement": statements}


class Bench:
    """All functions of the stack."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.clients = pipeline.engine.clients
        self.results = pipeline.engine.results_bucket
        self.resources = self.clients.cloudformation.describe_stack_resources(StackName=_STACK)["StackResources"]
        functions = [one for one in self.resources if one["ResourceType"] == "AWS::Lambda::Function"]
        self.units = {unit.name: unit for unit in (self._unit(one["PhysicalResourceId"]) for one in functions)}

    def _unit(self, function_name: str) -> Unit:
        configuration = self.clients.lambda_.get_function_configuration(FunctionName=function_name)
        role = configuration["Role"].rpartition("/")[2]
        (policy,) = self.clients.iam.list_role_policies(RoleName=role)["PolicyNames"]
        document: Any = self.clients.iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        (mapping,) = self.clients.lambda_.list_event_source_mappings(FunctionName=function_name)["EventSourceMappings"]
        queue = mapping["EventSourceArn"].rpartition(":")[2]
        return Unit(
            name=configuration["Handler"].partition(".")[0],
            function_name=function_name,
            environment=configuration["Environment"]["Variables"],
            role_name=role,
            policy_name=policy,
            policy=document,
            queue_url=self.clients.sqs.get_queue_url(QueueName=queue)["QueueUrl"],
            mapping=mapping["UUID"],
        )

    @cached_property
    def settings(self) -> Settings:
        """The functions' settings."""
        return Settings.from_environment(self.units["invoke"].environment)

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Disable the event source mappings in this context. Purge the queues at its end.

        The queue of parts accepts messages of everybody meanwhile, so that `deliver` can send them.
        """
        self._switch(on=False)
        parts = self.units["part"].queue_url
        policy = self.clients.sqs.get_queue_attributes(QueueUrl=parts, AttributeNames=["Policy"])["Attributes"]
        self.clients.sqs.set_queue_attributes(QueueUrl=parts, Attributes={"Policy": ""})
        try:
            yield
        finally:
            self.clients.sqs.set_queue_attributes(QueueUrl=parts, Attributes=policy)
            for unit in self.units.values():
                self.clients.sqs.purge_queue(QueueUrl=unit.queue_url)
            self._switch(on=True)

    def _switch(self, *, on: bool) -> None:
        for unit in self.units.values():
            self.clients.lambda_.update_event_source_mapping(UUID=unit.mapping, Enabled=on)

    @contextlib.contextmanager
    def noting_permissions(self) -> Iterator[set[Permission]]:
        """The permissions that the functions use in this context: the set is filled at its end."""
        path, used = Path(os.environ[DECISIONS]), set[Permission]()
        written = path.stat().st_size if path.exists() else 0
        yield used
        with path.open("rb") as file:
            file.seek(written)
            allowed = {tuple(json.loads(line)) for line in file}
        roles = {unit.role_name: unit for unit in self.units.values()}
        for principal, sid, action, resource in allowed:
            if unit := roles.get(principal.split("/")[1]):
                used |= {
                    one
                    for one in unit.permissions()
                    if (one.sid, one.action) == (sid, action) and fnmatchcase(resource, one.resource)
                }

    @contextlib.contextmanager
    def lacking(self, permission: Permission) -> Iterator[None]:
        """Remove one permission from a function's role in this context."""
        unit = self.units[permission.unit]
        self._put(unit, unit.policy_name, unit.without(permission))
        try:
            yield
        finally:
            self._put(unit, unit.policy_name, unit.policy)
            self._renew(unit)

    @contextlib.contextmanager
    def forbidden(self, unit: Unit, action: str) -> Iterator[None]:
        """Deny an action to a function's role in this context."""
        denial = {"Effect": "Deny", "Action": action, "Resource": "*"}
        self._put(unit, "Forbidden", {"Version": "2012-10-17", "Statement": [denial]})
        try:
            yield
        finally:
            self.clients.iam.delete_role_policy(RoleName=unit.role_name, PolicyName="Forbidden")
            self._renew(unit)

    def _renew(self, unit: Unit) -> None:
        """Have the next invocation run in a new process: one whose results were refused makes no calls for a while."""
        self.clients.lambda_.update_function_configuration(
            FunctionName=unit.function_name, Environment={"Variables": unit.environment}
        )

    def _put(self, unit: Unit, name: str, document: dict[str, Any]) -> None:
        self.clients.iam.put_role_policy(RoleName=unit.role_name, PolicyName=name, PolicyDocument=json.dumps(document))

    def deliver(self, unit: Unit, body: object, *, is_last_receive: bool = False) -> bool:
        """Send a message, receive it, and call the function with it, like the event source mapping.

        A message between the functions is received as if a function had sent it. With `is_last_receive`, the message
        says that it was received as often as the queue allows.

        Returns whether the message was acknowledged; if so, it is deleted. Raises `Broke` if the invocation failed.
        """
        text = body if isinstance(body, str) else json.dumps(body)
        sent = self.clients.sqs.send_message(QueueUrl=unit.queue_url, MessageBody=text)["MessageId"]
        (message,) = self.receive(unit.queue_url, lambda one: one["MessageId"] == sent, _SECONDS)
        record = {
            "messageId": sent,
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }
        if text.startswith('{"Transform'):
            function = self.clients.lambda_.get_function_configuration(FunctionName=unit.function_name)
            senders = function["Environment"]["Variables"]["SLUICE_INTERNAL_SENDERS"]
            record["attributes"] = {**message["Attributes"], "SenderId": f"{senders.split(',')[0]}:invoke"}
        if is_last_receive:
            count = str(self.settings.max_receive_count)
            record["attributes"] = {**record["attributes"], "ApproximateReceiveCount": count}
        response = self.clients.lambda_.invoke(
            FunctionName=unit.function_name, Payload=json.dumps({"Records": [record]}).encode()
        )
        answer = response["Payload"].read()
        if response.get("FunctionError"):
            raise Broke(answer.decode())
        if json.loads(answer)["batchItemFailures"]:
            return False
        self.clients.sqs.delete_message(QueueUrl=unit.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return True

    def receive(self, queue_url: str, wanted: Any, seconds: float) -> list[Any]:
        """Receive until a message is `wanted`, and return it; all others are deleted. Empty after `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            received = self.clients.sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=min(20, round(left)),
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            found = [message for message in received if wanted(message)]
            for message in received:
                if message not in found:
                    self.clients.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            if found:
                return found
        return []

    def holds(self, queue_url: str, part: str, seconds: float = 1) -> bool:
        """Whether a queue gets a message with `part` in its body within `seconds`. The message is deleted."""
        found = self.receive(queue_url, lambda one: part in one["Body"], seconds)
        for message in found:
            self.clients.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return bool(found)

    def stored(self, key: str) -> bytes | None:
        """The content of an object in the results bucket, or None."""
        try:
            return self.clients.s3.get_object(Bucket=self.results, Key=key)["Body"].read()
        except self.clients.s3.exceptions.NoSuchKey:
            return None

    def store(self, key: str, body: bytes, **options: Any) -> None:
        self.clients.s3.put_object(Bucket=self.results, Key=key, Body=body, **options)

    def uploads(self, prefix: str) -> Sequence[Any]:
        """The multipart uploads that were neither completed nor aborted."""
        listed = self.clients.s3.list_multipart_uploads(Bucket=self.results, Prefix=prefix)
        return listed.get("Uploads", [])

    def dropped(self, bucket: str, key: str, body: bytes = b"1\n", **options: Any) -> dict[str, Any]:
        """Store an object, and return its EventBridge event."""
        put = self.clients.s3.put_object(Bucket=bucket, Key=key, Body=body, **options)
        details = {"key": key, "size": len(body), "etag": put["ETag"].strip('"'), "sequencer": f"{time.time_ns():016X}"}
        if "VersionId" in put:
            details["version-id"] = put["VersionId"]
        return {
            "version": "0",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "detail": {"bucket": {"name": bucket}, "object": details},
        }

    def identity(self, event: dict[str, Any]) -> Identity:
        """The identity of an event's object."""
        one: Any = next(iter(parse(json.dumps(event))))
        no_delivery: Any = Delivery.from_record(
            {
                "messageId": "-",
                "receiptHandle": "-",
                "body": "-",
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
            }
        )
        return of(one, self.settings, no_delivery)

    def label(self, arn: str) -> str:
        """A resource's name in the stack, without the parts of the ARN that vary by deployment."""
        name, _, objects = arn.rpartition(":")[2].partition("/")
        if ":endpoint/" in arn:
            return f"endpoint {objects}"
        if name == LISTED:
            return "a bucket of `input_location_buckets`"
        for one in self.resources:
            if one["PhysicalResourceId"].rstrip("/").rpartition("/")[2].rpartition(":")[2] == name or (
                ":log-group:" in arn and one["PhysicalResourceId"] in arn
            ):
                logical = re.sub(r"[0-9A-F]{8}$", "", one["LogicalResourceId"])
                words = re.findall("[A-Z][a-z]+", logical)
                return " ".join(words[1:]).lower()
        return arn


def fresh() -> str:
    """A unique name."""
    return uuid.uuid4().hex


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
