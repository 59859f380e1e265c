"""Completion notifications in the template: off by default, with the least permissions."""

import inspect
from typing import Any

from infrastructure import lambda_constants
from sluice.notify import function
from tests.infrastructure.conftest import by_type, synthesized
from tests.infrastructure.test_template import Resources, actions, of, statements, text
from tests.infrastructure.test_wiring import targets

ARN = "arn:aws:sns:eu-west-1:111122223333:finished"


def template(**settings: Any) -> tuple[Resources, dict[str, Any]]:
    """Resources by type, and outputs, of a deployment with such settings."""
    found = synthesized(**settings)
    return by_type(found), found["Outputs"]


def notification_configuration(resources: Resources) -> Any:
    return of(resources, "AWS::S3::Bucket", "ResultsBucket").get("NotificationConfiguration")


def test_off_by_default(resources: Resources) -> None:
    assert "AWS::SNS::Topic" not in resources
    assert notification_configuration(resources) is None


def test_both_topics() -> None:
    resources, outputs = template(notifications={"success_topic": True, "error_topic": True})
    assert targets(outputs["SuccessTopicArn"]["Value"]) == {"NotificationsSuccessTopic"}
    assert targets(outputs["ErrorTopicArn"]["Value"]) == {"NotificationsErrorTopic"}
    assert len(resources["AWS::SNS::Topic"]) == 2
    for topic in resources["AWS::SNS::Topic"]:
        assert "alias/aws/sns" in text(topic["Properties"]["KmsMasterKeyId"])
    for policy in resources["AWS::SNS::TopicPolicy"]:
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    configuration = notification_configuration(resources)
    assert "EventBridgeConfiguration" not in configuration
    filters = [
        tuple(rule["Value"] for rule in one["Filter"]["S3Key"]["Rules"]) for one in configuration["QueueConfigurations"]
    ]
    assert sorted(filters) == [
        (prefix, suffix)
        for prefix in ("buckets/", "files/", "invoke/", "messages/", "transform/")
        for suffix in (".err", ".out")
    ]
    (bucket,) = [one for one in resources["AWS::S3::Bucket"] if "ResultsBucket" in one["LogicalId"]]
    assert any("NotificationQueuePolicy" in name for name in bucket["DependsOn"]), "S3 checks the policy at once"

    queue = of(resources, "AWS::SQS::Queue", "NotificationQueue")
    function = of(resources, "AWS::Lambda::Function", "Notify")
    assert "NotificationDeadLetterQueue" in text(queue["RedrivePolicy"]["deadLetterTargetArn"])
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    days = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] / 86_400
    assert 6 < days < 14 == queue["MessageRetentionPeriod"] / 86_400, "tried for days, dead-lettered before it expires"
    assert function["Handler"] == "notify.handler"
    mapping = of(resources, "AWS::Lambda::EventSourceMapping", "Notify")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert targets(mapping["EventSourceArn"]) == {"QueuesNotificationQueue"}

    allowed = statements(resources, "Notify")
    assert {sid: actions(one) for sid, one in allowed.items()} == {
        "ReadResults": {"s3:GetObjectVersion"},
        "TellMissingFromForbidden": {"s3:ListBucket"},
        "PublishNotifications": {"sns:Publish"},
        "TakeEvents": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
        "WriteLogs": {"logs:CreateLogStream", "logs:PutLogEvents"},
        "WriteTraces": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"},
    }
    on = {sid: targets(one["Resource"]) for sid, one in allowed.items()}
    assert on["ReadResults"] == on["TellMissingFromForbidden"] == {"StorageResultsBucket"}
    assert on["PublishNotifications"] == {"NotificationsSuccessTopic", "NotificationsErrorTopic"}
    assert on["TakeEvents"] == {"QueuesNotificationQueue"}
    assert "InputBucket" not in text(allowed)

    from sluice.settings import NotifySettings

    variables = function["Environment"]["Variables"]
    read = {f"SLUICE_{name.upper()}" for name in NotifySettings.model_fields}
    assert read == {name for name in variables if name.startswith("SLUICE_")}
    assert targets(variables["SLUICE_ERROR_TOPIC_ARN"]) == {"NotificationsErrorTopic"}
    assert targets(variables["SLUICE_SUCCESS_TOPIC_ARN"]) == {"NotificationsSuccessTopic"}


def test_one_existing_topic_and_event_bridge() -> None:
    resources, outputs = template(notifications={"error_topic": ARN, "event_bridge": True})
    assert "AWS::SNS::Topic" not in resources
    assert outputs["ErrorTopicArn"]["Value"] == ARN
    assert "SuccessTopicArn" not in outputs
    assert statements(resources, "Notify")["PublishNotifications"]["Resource"] == ARN
    configuration = notification_configuration(resources)
    assert configuration["EventBridgeConfiguration"] == {"EventBridgeEnabled": True}
    suffixes = {one["Filter"]["S3Key"]["Rules"][1]["Value"] for one in configuration["QueueConfigurations"]}
    assert suffixes == {".err"}
    assert (
        "SLUICE_SUCCESS_TOPIC_ARN" not in of(resources, "AWS::Lambda::Function", "Notify")["Environment"]["Variables"]
    )


def test_event_bridge_alone_needs_nothing_else(resources: Resources) -> None:
    made, _ = template(notifications={"event_bridge": True})
    assert notification_configuration(made) == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert {kind: len(found) for kind, found in made.items()} == {kind: len(found) for kind, found in resources.items()}


def test_an_alarm_goes_off_however_often_a_notification_was_tried() -> None:
    """SQS leaves a message that was received three times out of the age of its queue's oldest message."""
    resources, _ = template(notifications={"error_topic": True})
    alarm = of(resources, "AWS::CloudWatch::Alarm", "AlarmsFailedNotifications")
    queue = of(resources, "AWS::SQS::Queue", "QueuesNotificationQueue")
    assert (alarm["MetricName"], alarm["Threshold"]) == (lambda_constants.NOTIFICATIONS_FAILED, 1)
    assert alarm["Period"] > queue["VisibilityTimeout"], "one notification is tried in each period"
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 3600
    assert inspect.getsource(function).count(f'"{lambda_constants.NOTIFICATIONS_FAILED}"') == 1
