"""`sluice dlq` on the local run: from a failure to a result, and a redrive that is killed."""

import json
import signal
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.e2e.commands import rows, sluice, start, versions_tagged
from tests.e2e.conftest import Pipeline
from tests.e2e.test_pipeline import ROW, WINE

_SECONDS = 120.0


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def wait_for_dead_letters(pipeline: Pipeline, count: int, *filters: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        found = rows(sluice(pipeline, "dlq", "ls", "--each", "--json", *filters))
        if len(found) == count:
            return found
    raise AssertionError(f"{count} dead letters did not come; there are {found}")


def test_from_a_failure_to_a_result(pipeline: Pipeline, name: str) -> None:
    message = json.dumps({**WINE, "EndpointName": "wime", "InferenceId": name})
    team: Any = {"Team": {"DataType": "String", "StringValue": "blue"}}
    pipeline.send(message, MessageAttributes=team)
    (dead_letter,) = wait_for_dead_letters(pipeline, 1, "--inference-id", name)
    assert dead_letter.items() >= {"ErrorCode": "InvalidMessage", "EndpointName": "wime", "TraceId": name}.items()
    groups = rows(sluice(pipeline, "dlq", "ls", "--json", "--reason", "InvalidMessage", "--endpoint-name", "wime"))
    assert groups[0]["Count"] == 1
    assert groups[0]["Example"] == "EndpointName: is not one of this deployment's: wine, digits, chat"
    assert sluice(pipeline, "dlq", "show", "--inference-id", name, "--body-only").stdout == message + "\n"
    shown = sluice(pipeline, "dlq", "show", "--inference-id", name).stdout
    assert "ErrorMessage: EndpointName: is not one of" in shown
    assert message in shown

    dry = sluice(pipeline, "dlq", "redrive", "--inference-id", name, "--set", "EndpointName=wine", "--dry-run")
    assert "1 would be sent." in dry.stderr
    sluice(pipeline, "dlq", "redrive", "--inference-id", name)
    wait_for_dead_letters(pipeline, 1, "--inference-id", name)
    document = json.loads(pipeline.wait(f"messages/{name}.err").body)
    assert document["MessageAttributes"] == {"InferenceId": name, "TraceId": name, "Team": "blue"}

    sluice(pipeline, "dlq", "redrive", "--inference-id", name, "--set", "EndpointName=wine")
    assert pipeline.wait(f"messages/{name}.out").metadata["trace-id"] == name
    assert rows(sluice(pipeline, "dlq", "ls", "--json", "--trace-id", name)) == []
    sluice(pipeline, "dlq", "show", "--trace-id", name, code=4)


@pytest.mark.parametrize(("parameter", "code", "state"), [("EndpointName=wine", 0, "done"), ("", 3, "failed")])
def test_a_redriven_request_is_waited_for_from_the_first_moment(
    pipeline: Pipeline, name: str, parameter: str, code: int, state: str
) -> None:
    """Its `.err` is there until it is answered, or fails again."""
    body = WINE if parameter else {"Body": "1,2"}
    pipeline.send({**body, "EndpointName": "wime" if parameter else "wine", "InferenceId": name})
    assert rows(sluice(pipeline, "wait", name, "--json", code=3))[0]["State"] == "failed"
    wait_for_dead_letters(pipeline, 1, "--inference-id", name)
    pipeline.faults({"fault": "delay", "delay_seconds": 10, "inference_id": name})
    change = ["--set", parameter] if parameter else []
    sluice(pipeline, "dlq", "redrive", "--inference-id", name, *change)
    status = rows(sluice(pipeline, "status", name, "--json", code=5))[0]
    assert (status["State"], status["Detail"]) == ("pending", "it failed, was sent again, and is not answered yet")
    before = json.loads(
        pipeline.s3.get_object(Bucket=pipeline.engine.results_bucket, Key=f"messages/{name}.err")["Body"].read()
    )
    assert rows(sluice(pipeline, "wait", name, "--json", code=code))[0]["State"] == state
    if code:
        again = rows(sluice(pipeline, "status", name, "--json", code=3))[0]
        assert again["MessageId"] != before["MessageId"], "the reason is that of the second attempt"
    sluice(pipeline, "dlq", "purge", "--inference-id", name, "--yes")


_PERMISSIONS = {
    "cloudformation:DescribeStacks",
    "lambda:GetFunctionConfiguration",
    "sqs:*",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:GetObjectTagging",
    "s3:PutObjectTagging",
}


@pytest.mark.parametrize("missing", ["", "s3:PutObjectTagging", "s3:GetObjectTagging"])
def test_a_redrive_needs_no_permission_to_write_results_and_does_without_tags(
    pipeline: Pipeline, name: str, missing: str
) -> None:
    iam, user = pipeline.engine.clients.iam, f"operator-{name}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    statement = {"Effect": "Allow", "Action": sorted(_PERMISSIONS - {missing}), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="Redrive", PolicyDocument=document)
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    pipeline.send({"Body": "1,2", "EndpointName": "wine", "InferenceId": name})
    wait_for_dead_letters(pipeline, 1, "--inference-id", name)
    redriven = sluice(pipeline, "dlq", "redrive", "--inference-id", name, credentials=credentials)
    assert "Sent: 1" in redriven.stdout
    assert ("look failed until they are answered" in " ".join(redriven.stderr.split())) is bool(missing)
    wait_for_dead_letters(pipeline, 1, "--inference-id", name)
    assert versions_tagged(pipeline, f"messages/{name}.err") == [not missing, False]
    sluice(pipeline, "dlq", "purge", "--inference-id", name, "--yes")


def test_purge_deletes_only_what_it_listed_and_only_with_consent(pipeline: Pipeline, name: str) -> None:
    for number in range(3):
        pipeline.send({"Body": "x", "TraceId": name, "InferenceId": f"{name}-{number}", "Unknown": 1})
    wait_for_dead_letters(pipeline, 3, "--trace-id", name)
    refused = sluice(pipeline, "dlq", "purge", "--trace-id", name, code=2)
    assert "give --yes" in refused.stderr
    assert "3 would be deleted" in sluice(pipeline, "dlq", "purge", "--trace-id", name, "--dry-run").stderr
    purged = sluice(pipeline, "dlq", "purge", "--inference-id", f"{name}-1", "--yes")
    assert "Deleted 1 of 1." in purged.stderr
    left = wait_for_dead_letters(pipeline, 2, "--trace-id", name)
    assert {one["InferenceId"] for one in left} == {f"{name}-0", f"{name}-2"}
    assert "Deleted 2 of 2." in sluice(pipeline, "dlq", "purge", "--trace-id", name, "--yes").stderr


def test_a_redrive_killed_three_times_ends_with_each_answered_exactly_once(pipeline: Pipeline, name: str) -> None:
    count = 600
    ids = [f"{name}-{number}" for number in range(count)]
    fill(pipeline, name, ids)
    command = ("dlq", "redrive", "--trace-id", name, "--visibility-timeout", "3s")
    kills = 0
    deadline = time.monotonic() + _SECONDS
    while (left := in_queue(pipeline)) and time.monotonic() < deadline:
        redrive = start(pipeline, *command)
        if kills < 3:
            while in_queue(pipeline) > left - count // 5:
                assert redrive.poll() is None, redrive.communicate()
                time.sleep(0.02)
            redrive.send_signal(signal.SIGKILL)
            kills += redrive.wait() == -signal.SIGKILL
        else:
            assert redrive.wait() == 0
        redrive.communicate()
    assert kills == 3
    assert in_queue(pipeline) == 0
    while len(keys := answered(pipeline, name)) < count and time.monotonic() < deadline:
        time.sleep(0.2)
    assert keys == {f"messages/{one}.out" for one in ids}
    calls = httpx2.get(f"{pipeline.engine.sagemaker_runtime_url}/_calls", trust_env=False).json()["Calls"]
    billed = Counter(
        call["InferenceId"] for call in calls if call["Billed"] and call.get("InferenceId", "").startswith(name)
    )
    assert billed == Counter(ids)


def fill(pipeline: Pipeline, trace_id: str, ids: list[str]) -> None:
    """Empty the dead-letter queue, and send messages to it as the functions do."""
    pipeline.sqs.purge_queue(QueueUrl=pipeline.engine.dead_letter_queue_url)
    body = json.dumps({"EndpointName": "wine", "Body": {"instances": [ROW]}})

    def put(batch: list[str]) -> None:
        entries: Any = [
            {
                "Id": str(number),
                "MessageBody": body,
                "MessageAttributes": {
                    key: {"DataType": "String", "StringValue": value}
                    for key, value in {"ErrorCode": "ModelError", "TraceId": trace_id, "InferenceId": one}.items()
                },
            }
            for number, one in enumerate(batch)
        ]
        pipeline.sqs.send_message_batch(QueueUrl=pipeline.engine.dead_letter_queue_url, Entries=entries)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(put, [ids[start : start + 10] for start in range(0, len(ids), 10)]))


def in_queue(pipeline: Pipeline) -> int:
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    got = pipeline.sqs.get_queue_attributes(QueueUrl=pipeline.engine.dead_letter_queue_url, AttributeNames=names)
    return sum(int(value) for value in got["Attributes"].values())


def answered(pipeline: Pipeline, name: str) -> set[str]:
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(
        Bucket=pipeline.engine.results_bucket, Prefix=f"messages/{name}"
    )
    return {one["Key"] for page in pages for one in page.get("Contents", [])}
