"""Senders in other accounts: accounts in the settings may send, and nothing else; others may not send."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.aws import REGION, Clients
from tests.e2e.conftest import SETTINGS, Pipeline
from tests.e2e.test_pipeline import WINE

NAMED: str = SETTINGS["senders"]["account_ids"][0]
STRANGER = "444455556666"
MEMBER = "777788889999"


def clients_of(pipeline: Pipeline, access_key_id: str, secret_access_key: str = "test") -> Clients:
    """A client of another account's root user, whose key is the account's ID, or of the user with the given keys."""
    engine = pipeline.engine
    keys = {"access_key_id": access_key_id, "secret_access_key": secret_access_key}
    return Clients(engine.url, engine.sagemaker_runtime_url, tls=engine.tls, **keys)


def refused(call: Callable[..., Any], **arguments: Any) -> None:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    assert raised.value.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}


def message(name: str) -> str:
    return json.dumps({**WINE, "InferenceId": name})


def test_a_named_account_may_send_and_do_nothing_else(pipeline: Pipeline) -> None:
    name, url = uuid.uuid4().hex, pipeline.engine.request_queue_url
    theirs = clients_of(pipeline, NAMED)
    theirs.sqs.send_message(QueueUrl=url, MessageBody=message(name))
    theirs.sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": message(f"{name}-batch")}])
    pipeline.wait(f"messages/{name}.out")
    pipeline.wait(f"messages/{name}-batch.out")
    refused(theirs.sqs.receive_message, QueueUrl=url)
    refused(theirs.sqs.purge_queue, QueueUrl=url)
    refused(theirs.sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": ""})
    refused(theirs.sqs.send_message, QueueUrl=pipeline.engine.dead_letter_queue_url, MessageBody="{}")
    refused(theirs.s3.get_object, Bucket=pipeline.engine.results_bucket, Key=f"messages/{name}.out")


def test_a_sender_also_needs_the_permission_of_its_own_account(pipeline: Pipeline) -> None:
    name, url = uuid.uuid4().hex, pipeline.engine.request_queue_url
    root = clients_of(pipeline, NAMED)
    root.iam.create_user(UserName=name)
    key = root.iam.create_access_key(UserName=name)["AccessKey"]
    user = clients_of(pipeline, key["AccessKeyId"], key["SecretAccessKey"])
    refused(user.sqs.send_message, QueueUrl=url, MessageBody=message(name))
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    root.iam.put_user_policy(UserName=name, PolicyName="Send", PolicyDocument=document)
    user.sqs.send_message(QueueUrl=url, MessageBody=message(name))
    pipeline.wait(f"messages/{name}.out")


def test_an_account_that_is_not_named_may_not_send(pipeline: Pipeline) -> None:
    url = pipeline.engine.request_queue_url
    refused(clients_of(pipeline, STRANGER).sqs.send_message, QueueUrl=url, MessageBody=message("stranger"))


def test_an_account_of_the_organization_may_send(pipeline: Pipeline) -> None:
    name, url = uuid.uuid4().hex, pipeline.engine.request_queue_url
    organizations: Any = boto3.client(
        "organizations",
        endpoint_url=pipeline.engine.url,
        verify=pipeline.trust()["AWS_CA_BUNDLE"],
        region_name=REGION,
        aws_access_key_id=MEMBER,
        aws_secret_access_key="test",
    )
    organization = organizations.describe_organization()["Organization"]["Id"]
    theirs = clients_of(pipeline, MEMBER)
    refused(theirs.sqs.send_message, QueueUrl=url, MessageBody=message(name))
    # The local AWS chooses the organization's ID, so the test uses the deployed policy with that ID.
    deployed = pipeline.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    named = deployed.replace(str(SETTINGS["senders"]["organization_id"]), organization)
    assert named != deployed
    pipeline.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": named})
    try:
        theirs.sqs.send_message(QueueUrl=url, MessageBody=message(name))
        refused(theirs.sqs.receive_message, QueueUrl=url)
        refused(clients_of(pipeline, STRANGER).sqs.send_message, QueueUrl=url, MessageBody=message("stranger"))
    finally:
        pipeline.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": deployed})
    pipeline.wait(f"messages/{name}.out")
