"""`sluice doctor` on the local run: a new deployment is healthy, and changes by hand are found."""

import json
from typing import Any

from tests.e2e.commands import rows, sluice
from tests.e2e.conftest import Pipeline


def states(findings: list[dict[str, Any]]) -> dict[str, str]:
    # Messages of earlier tests may still be on these queues.
    return {
        one["Check"]: one["State"]
        for one in findings
        if not one["Check"].startswith("oldest message") and one["Check"] != "dead-letter queue"
    }


def test_a_new_deployment_is_healthy_and_changes_by_hand_are_found(pipeline: Pipeline) -> None:
    pipeline.sqs.purge_queue(QueueUrl=pipeline.engine.dead_letter_queue_url)
    healthy = states(rows(sluice(pipeline, "doctor", "--json")))
    assert set(healthy.values()) == {"ok"}, healthy
    assert {"endpoint wine", "permission on the endpoint digits", "notification of transform/"} <= set(healthy)

    url = pipeline.engine.request_queue_url
    names: Any = ["VisibilityTimeout", "RedrivePolicy"]
    before: Any = pipeline.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    policy = {**json.loads(before["RedrivePolicy"]), "maxReceiveCount": 9}
    broken: Any = {"VisibilityTimeout": "30", "RedrivePolicy": json.dumps(policy)}
    pipeline.sqs.set_queue_attributes(QueueUrl=url, Attributes=broken)
    try:
        findings = rows(sluice(pipeline, "doctor", "--json", code=1))
    finally:
        pipeline.sqs.set_queue_attributes(QueueUrl=url, Attributes=before)
    wrong = {check for check, state in states(findings).items() if state == "wrong"}
    queue = f"queue {url.rpartition('/')[2]}"
    assert wrong == {queue, "visibility timeout of the request queue", "redrive policy of the request queue"}
    assert all(one["WhatToDo"] for one in findings if one["State"] == "wrong")


def test_what_the_credentials_do_not_permit_is_not_checked(pipeline: Pipeline) -> None:
    """One finding for each check, which names the permission; the others are made."""
    iam, name = pipeline.engine.clients.iam, "viewer-without-simulation"
    denied = ["iam:SimulatePrincipalPolicy", "sqs:GetQueueAttributes"]
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": denied, "Resource": "*"},
    ]
    iam.create_user(UserName=name)
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="View", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    findings = {one["Check"]: one for one in rows(sluice(pipeline, "doctor", "--json", credentials=credentials))}
    unread = {name: one["Finding"] for name, one in findings.items() if one["State"] == "can't tell"}
    assert unread["permissions"] in {f"not checked: {action} is not allowed" for action in denied}
    assert unread["redrive policy of the request queue"] == "not checked: sqs:GetQueueAttributes is not allowed"
    assert {"stack", "settings", "quota of concurrent executions"} <= findings.keys() - unread.keys()


def test_without_a_stack_nothing_is_checked(pipeline: Pipeline) -> None:
    assert "there is no stack Nosuch" in sluice(pipeline, "doctor", "--stack", "Nosuch", code=4).stderr
