"""A deployment for the tests of the command line: S3 and SQS by moto, and logs that a test writes."""

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import boto3
from aws_lambda_powertools import Metrics
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from cli.deployment import Deployment, DeploymentRef
from sluice.settings import PREFIX, Settings
from tests.support.fakes import SETTINGS

INVOKE_LOGS, SPLIT_LOGS = "invoke-logs", "split-logs"


def denied(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)


class Logs:
    """FilterLogEvents without a filter: one event per page, with empty pages between them."""

    def __init__(self) -> None:
        self.written: list[tuple[str, datetime, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.is_denied = False
        self.is_retention_denied = False
        self.created = datetime(2026, 1, 1, tzinfo=UTC)
        self.retention_days: int | None = None

    def line(self, status: str, at: datetime, *, group: str = INVOKE_LOGS, **fields: Any) -> None:
        fields = {"level": "INFO", "message": status, "service": "Sluice", "message_id": "m", **fields}
        self.written.append((group, at, json.dumps(fields)))

    def counts(self, at: datetime, *, group: str = INVOKE_LOGS, **counts: int) -> None:
        # As the functions write them: Powertools' format, one sum for each batch.
        metrics = {name: {"Unit": "Count", "Value": [float(count)]} for name, count in counts.items()}
        embedded = Metrics(namespace="Sluice", service="Sluice").serialize_metric_set(metrics=metrics)
        self.written.append((group, at, json.dumps(embedded)))

    def describe_log_groups(self, logGroupNamePrefix: str) -> Any:  # noqa: N803 - boto3's name
        if self.is_retention_denied:
            raise denied("DescribeLogGroups")
        group: dict[str, Any] = {
            "logGroupName": logGroupNamePrefix,
            "creationTime": round(self.created.timestamp() * 1000),
        }
        if self.retention_days is not None:
            group["retentionInDays"] = self.retention_days
        return {"logGroups": [group, {"logGroupName": f"{logGroupNamePrefix}-other", "creationTime": 2**42}]}

    def get_paginator(self, operation: str) -> "Logs":
        assert operation == "filter_log_events"
        return self

    def paginate(self, **parameters: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(parameters)
        if self.is_denied:
            raise denied("FilterLogEvents")
        if parameters["logGroupName"] == "missing-logs":
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "FilterLogEvents")
        for number, (group, at, message) in enumerate(self.written):
            milliseconds = round(at.timestamp() * 1000)
            yield {"events": []}
            if group == parameters["logGroupName"] and milliseconds >= parameters["startTime"]:
                yield {"events": [{"eventId": str(number), "timestamp": milliseconds, "message": message}]}


@functools.cache
def _client(service: str) -> Any:
    """A client for all tests: creating one takes longer than most tests."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
        # The environment may have the endpoint URL of a local run.
        config=Config(ignore_configured_endpoint_urls=True),  # type: ignore[call-arg]  # the stubs lack it
    )


class FakeDeployment(Deployment):
    """Creates its buckets and queues in moto. `can_read_settings` is whether Lambda returns the settings."""

    def __init__(self) -> None:
        super().__init__(DeploymentRef("Sluice"))
        self.fake_logs = Logs()
        self.can_read_settings = True
        for bucket in ("input", "results", "lake"):
            self.s3.create_bucket(Bucket=bucket)
        for bucket in ("input", "lake"):
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        queues = ("Request", "DeadLetter", "Part", "Split", "Assembly", "Crashed")
        self._urls = {f"{name}QueueUrl": self.sqs.create_queue(QueueName=name)["QueueUrl"] for name in queues}

    def _client(self, service: str, **config: Any) -> Any:
        return _client(service)

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        return {
            **self._urls,
            "InputBucketName": "input",
            "ResultsBucketName": "results",
            "LogGroupNames": f"{INVOKE_LOGS},{SPLIT_LOGS},missing-logs",
            "InvokeFunctionName": "invoke",
        }

    @cached_property
    def logs(self) -> Any:
        return self.fake_logs

    @cached_property
    def environment(self) -> Mapping[str, str]:
        if not self.can_read_settings:
            raise denied("GetFunctionConfiguration")
        values = SETTINGS.model_dump()
        return {
            PREFIX + name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
            if value is not None and name in Settings.model_fields and name != "transform_defaults"
        }


@contextmanager
def fake_deployment() -> Iterator[FakeDeployment]:
    """A deployment with empty buckets and queues."""
    with mock_aws():
        yield FakeDeployment()
