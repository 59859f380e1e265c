"""Requests and their outcomes in the buckets of a `FakeDeployment`, as the functions write them."""

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestStatus
from sluice.inputs.identity import key_of_version
from sluice.processing.result import IDENTITY, INFERENCE_ID, MESSAGE_ID, SOURCE_VERSION, TRACE_ID, metadata
from tests.support.cli import FakeDeployment


def find(deployment: FakeDeployment, text: str) -> RequestStatus:
    """The status of the one request that `text` identifies."""
    lookup = RequestLookup(deployment)
    (status,) = lookup.find(lookup.query(text))
    return status


def drop(deployment: FakeDeployment, key: str, bucket: str = "input", body: bytes = b"1,2") -> tuple[str, datetime]:
    """Upload an object, and return the identity of its request and the time of the upload."""
    put = deployment.s3.put_object(Bucket=bucket, Key=key, Body=body)
    uploaded = deployment.s3.head_object(Bucket=bucket, Key=key)["LastModified"]
    return key_of_version(bucket, key, put.get("VersionId")), uploaded


def answer(
    deployment: FakeDeployment,
    name: str,
    owner: str,
    body: bytes = b"{}",
    described: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Store the `.out` called `name`, with the metadata `described` besides that of its owner."""
    stored = metadata([(IDENTITY, owner), (TRACE_ID, owner), (INFERENCE_ID, owner)])
    deployment.s3.put_object(Bucket="results", Key=f"{name}.out", Body=body, Metadata={**stored, **described})


def fail(
    deployment: FakeDeployment,
    name: str,
    owner: str,
    *,
    message_id: str = "first",
    source_version: str | None = None,
    **fields: Any,
) -> None:
    """Store the `.err` called `name`, of the SQS message `message_id`."""
    document = {
        "InferenceId": owner,
        "TraceId": owner,
        "ErrorCode": "ModelError",
        "ErrorMessage": "it failed",
        "FailureClass": "model",
        "MessageId": message_id,
        **fields,
    }
    stored = metadata([(IDENTITY, owner), (MESSAGE_ID, message_id), (SOURCE_VERSION, source_version)])
    deployment.s3.put_object(Bucket="results", Key=f"{name}.err", Body=json.dumps(document).encode(), Metadata=stored)
