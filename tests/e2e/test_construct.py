"""The pipeline in a team's own stack on the local AWS: in addition to the other stack, with existing resources."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import Settings
from local.aws import REGION
from local.deploy import deploy
from tests.e2e.conftest import EXAMPLES, Pipeline

SETTINGS = {"deployment_name": "Team", "endpoint_names": ["wine"], "alarms": {"email": "ops@example.com"}}


def test_drops_in_an_existing_bucket_are_answered(pipeline: Pipeline, tmp_path: Path) -> None:
    storage, queues = pipeline.s3, pipeline.sqs
    storage.create_bucket(Bucket="lake-of-the-team", CreateBucketConfiguration={"LocationConstraint": REGION})
    storage.put_bucket_notification_configuration(
        Bucket="lake-of-the-team", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    url = queues.create_queue(QueueName="dead-of-the-team")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    app = cdk.App(outdir=str(tmp_path))
    stack = cdk.Stack(app, "Team")
    SluicePipeline(
        stack,
        "Scoring",
        settings=Settings.from_context(SETTINGS),
        input_bucket=s3.Bucket.from_bucket_name(stack, "Lake", "lake-of-the-team"),
        dead_letter_queue=sqs.Queue.from_queue_arn(stack, "Dead", arn),
        built_for="host",
    ).outputs("Scoring")
    app.synth()
    outputs = deploy(pipeline.engine.clients, tmp_path)

    storage.put_object(
        Bucket="lake-of-the-team", Key="invoke/wine/3.csv", Body=(EXAMPLES / "wine/three.csv").read_bytes()
    )
    storage.put_object(Bucket="lake-of-the-team", Key="invoke/wine/bad.csv", Body=b"1,2")
    own = {name.removeprefix("Scoring"): value for name, value in outputs.items()}
    team = Pipeline(dataclasses.replace(pipeline.engine, outputs=own))
    assert json.loads(team.wait("invoke/wine/3.csv.out").body)["predictions"][0]["label"] == "class_2"
    assert json.loads(team.wait("invoke/wine/bad.csv.err").body)["ErrorCode"] == "ModelError"
    assert own["DeadLetterQueueUrl"].endswith("/dead-of-the-team")


def test_alarms_and_the_dashboard_are_deployed(pipeline: Pipeline) -> None:
    cloudwatch: Any = boto3.client(
        "cloudwatch",
        endpoint_url=pipeline.engine.url,
        verify=pipeline.trust()["AWS_CA_BUNDLE"],
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="Sluice-")["MetricAlarms"]
    assert {"DeadLetters", "SlowModel"} <= {
        name for alarm in alarms for name in ("DeadLetters", "SlowModel") if name in alarm["AlarmName"]
    }
    (page,) = [
        one for one in cloudwatch.list_dashboards()["DashboardEntries"] if one["DashboardName"].startswith("Sluice-")
    ]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=page["DashboardName"])["DashboardBody"])
    (status,) = [one for one in body["widgets"] if one["type"] == "alarm"]
    assert sorted(status["properties"]["alarms"]) == sorted(alarm["AlarmArn"] for alarm in alarms)
