"""Alarms and dashboard: they use existing metrics, say what to do, and cost little."""

import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import jsonschema
import pytest
from aws_cdk.assertions import Template

from infrastructure.lambda_constants import FAILURES, MODEL_LATENCY, OUTCOMES
from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import Settings
from infrastructure.stack import SluiceStack
from tests.infrastructure.conftest import Written

HALF_OF_THE_RETENTION = Settings.from_context({"endpoint_names": ["wine"]}).retention.request_days * 43_200  # seconds
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
# The metrics of SQS and Lambda in use, with their dimension (SQS and Lambda Developer Guides, CloudWatch metrics).
AWS = {
    "AWS/SQS": (
        "QueueName",
        {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
        },
    ),
    "AWS/Lambda": (
        "FunctionName",
        {"ConcurrentExecutions", "Duration", "Errors", "RecursiveInvocationsDropped", "Throttles"},
    ),
}


def stack(app: cdk.App | None = None, **given: Any) -> SluiceStack:
    return SluiceStack(app or cdk.App(), Settings.from_context({"endpoint_names": ["wine"]}, given))


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """The alarms' properties by name, without CDK's hash."""
    return {
        name.removeprefix("Alarms")[:-8]: one["Properties"]
        for name, one in template.find_resources("AWS::CloudWatch::Alarm").items()
    }


@pytest.fixture(scope="module")
def plain() -> Template:
    return Template.from_stack(stack())


@pytest.fixture(scope="module")
def dashboard(plain: Template) -> dict[str, Any]:
    """The dashboard's body, each reference as its logical ID."""
    (one,) = plain.find_resources("AWS::CloudWatch::Dashboard").values()
    assert "DashboardName" not in one["Properties"], "a physical name would collide with another deployment"

    def text(part: Any) -> str:
        return part if isinstance(part, str) else part["Ref"] if "Ref" in part else part["Fn::GetAtt"][0]

    body: dict[str, Any] = json.loads("".join(text(part) for part in one["Properties"]["DashboardBody"]["Fn::Join"][1]))
    return body


def check_metric(written: Written, namespace: str, name: str, dimensions: set[str]) -> None:
    if namespace == "Sluice":
        assert name in written.metrics
        assert dimensions == {"service"}
    else:
        dimension, names = AWS[namespace]
        assert name in names
        assert dimensions == {dimension}


def test_the_metrics_are_those_that_the_functions_write(written: Written) -> None:
    assert {*OUTCOMES, *FAILURES, MODEL_LATENCY} == written.metrics
    assert written.dimensions == {"service"}, "each combination of dimensions is billed as a metric"


def test_each_alarm_is_on_one_existing_metric(plain: Template, written: Written) -> None:
    for alarm in alarms(plain).values():
        assert "Metrics" not in alarm, "metric math is billed by the metric"
        check_metric(written, alarm["Namespace"], alarm["MetricName"], {one["Name"] for one in alarm["Dimensions"]})
        assert alarm["TreatMissingData"] == "notBreaching", "no data is no failure"
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["Period"] % 60 == 0, "a period under a minute costs more"
        assert "AlarmName" not in alarm
        assert "AlarmActions" not in alarm


def test_each_alarm_says_what_it_means_and_what_to_do(plain: Template) -> None:
    for name, alarm in alarms(plain).items():
        text = alarm["AlarmDescription"]
        assert text.startswith("Sluice: "), name
        assert len(text) <= 1024
        assert len(re.findall(r"\.(?: |$)", text)) >= 2, "what it means, and what to do"


@pytest.mark.parametrize(
    ("name", "watches", "threshold", "minutes"),
    [
        ("DeadLetters", "QueuesDeadLetterQueue", 1, 1),
        ("OldRequests", "QueuesRequestQueue", 3600, 5),
        ("Backlog", "QueuesRequestQueue", 10_000, 15),
        ("OldParts", "QueuesPartQueue", HALF_OF_THE_RETENTION, 5),
        ("OldFiles", "QueuesSplitQueue", HALF_OF_THE_RETENTION, 5),
        ("OldAssemblies", "QueuesAssemblyQueue", HALF_OF_THE_RETENTION, 5),
        ("OldCrashes", "QueuesCrashedQueue", HALF_OF_THE_RETENTION, 5),
        ("ConfigurationFailures", None, 1, 5),
        ("ModelFailures", None, 10, 5),
        ("CapacityFailures", None, 10, 30),
        ("TransientFailures", None, 10, 15),
        ("CrashedFailures", None, 1, 5),
        ("SlowModel", None, 48_000, 15),
        ("InvokeErrors", "FunctionsInvokeFunction", 1, 5),
        ("PartErrors", "FunctionsPartFunction", 1, 5),
        ("SplitErrors", "FunctionsSplitFunction", 1, 5),
        ("AssembleErrors", "FunctionsAssembleFunction", 1, 5),
        ("CrashedErrors", "FunctionsCrashedFunction", 1, 5),
        ("InvokeRecursion", "FunctionsInvokeFunction", 1, 5),
        ("PartRecursion", "FunctionsPartFunction", 1, 5),
        ("SplitRecursion", "FunctionsSplitFunction", 1, 5),
        ("AssembleRecursion", "FunctionsAssembleFunction", 1, 5),
        ("CrashedRecursion", "FunctionsCrashedFunction", 1, 5),
        ("Throttles", "FunctionsInvokeFunction", 1, 15),
    ],
)
def test_metric_threshold_and_duration_of_each_alarm(
    plain: Template, name: str, watches: str | None, threshold: int, minutes: int
) -> None:
    alarm = alarms(plain)[name]
    (dimension,) = alarm["Dimensions"]
    assert (watches or '"Sluice"') in json.dumps(dimension["Value"])
    assert alarm["Threshold"] == threshold
    assert alarm["Period"] * alarm["EvaluationPeriods"] == minutes * 60
    assert "DatapointsToAlarm" not in alarm, "in each of the periods"


def test_thresholds_are_settings() -> None:
    tuned = alarms(Template.from_stack(stack(alarms={"age_minutes": 5, "backlog": 7, "failures": 3})))
    assert tuned["OldRequests"]["Threshold"] == 300
    assert "5 minutes" in tuned["OldRequests"]["AlarmDescription"]
    assert tuned["Backlog"]["Threshold"] == 7
    assert {tuned[f"{one}Failures"]["Threshold"] for one in ("Model", "Capacity", "Transient")} == {3}


def test_without_alarms_and_dashboard_there_are_none() -> None:
    found = Template.from_stack(stack(alarms={"enabled": False}, dashboard=False))
    assert "CloudWatch" not in json.dumps(found.to_json())


@pytest.mark.parametrize(("given", "topics", "mails"), [({"topic": True}, 1, 0), ({"email": "a@b.c"}, 1, 1)])
def test_a_new_topic_is_notified_when_an_alarm_goes_off_and_is_ok_again(
    given: dict[str, Any], topics: int, mails: int
) -> None:
    found = Template.from_stack(stack(alarms=given))
    found.resource_count_is("AWS::SNS::Topic", topics)
    found.resource_count_is("AWS::SNS::Subscription", mails)
    (topic,) = found.find_resources("AWS::SNS::Topic")
    (policy,) = found.find_resources("AWS::SNS::TopicPolicy").values()
    (allowed,) = [one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    for alarm in alarms(found).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]


def test_an_existing_topic_is_notified() -> None:
    found = Template.from_stack(stack(alarms={"topic": TOPIC}))
    found.resource_count_is("AWS::SNS::Topic", 0)
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms(found).values()} == {(TOPIC,)}


def test_the_composite_alarm_is_over_all_alarms() -> None:
    found = Template.from_stack(stack(alarms={"topic": TOPIC, "composite": True}))
    assert not [alarm for alarm in alarms(found).values() if "AlarmActions" in alarm], "one cause, one notification"
    ((composite),) = found.find_resources("AWS::CloudWatch::CompositeAlarm").values()
    rule = json.dumps(composite["Properties"]["AlarmRule"])
    assert rule.count("ALARM(") == len(alarms(found))
    assert {name for name in alarms(found) if f"Alarms{name}" in rule} == set(alarms(found))
    assert composite["Properties"]["AlarmActions"] == composite["Properties"]["OKActions"] == [TOPIC]


@pytest.mark.parametrize(
    "given", [{}, {"alarms": {"composite": True, "topic": True}, "notifications": {"error_topic": True}}]
)
def test_no_stack_imports_from_another(given: dict[str, Any], tmp_path: Path) -> None:
    """CloudFormation deletes no export that is imported, so a change with fewer alarms could not be deployed."""
    app = cdk.App(outdir=str(tmp_path))
    stack(app, **given)
    app.synth()
    (template,) = tmp_path.glob("*.template.json")
    assert "ImportValue" not in template.read_text()
    assert "Export" not in json.dumps(list(json.loads(template.read_text())["Outputs"].values()))


def test_a_construct_with_a_composite_alarm_notifies() -> None:
    team = cdk.Stack(cdk.App(), "Team")
    given = {"deployment_name": "Wine", "endpoint_names": ["wine"], "alarms": {"composite": True, "topic": TOPIC}}
    SluicePipeline(team, "Wine", settings=Settings.from_context(given))
    (composite,) = Template.from_stack(team).find_resources("AWS::CloudWatch::CompositeAlarm").values()
    assert composite["Properties"]["AlarmActions"] == [TOPIC]


BODY = {
    "type": "object",
    "required": ["widgets"],
    "additionalProperties": False,
    "properties": {
        "start": {"type": "string", "pattern": "^-P"},
        "widgets": {
            "type": "array",
            "maxItems": 500,
            "items": {
                "type": "object",
                "required": ["type", "x", "y", "width", "height", "properties"],
                "additionalProperties": False,
                "properties": {
                    "type": {"enum": ["metric", "alarm"]},
                    "x": {"type": "integer", "minimum": 0, "maximum": 23},
                    "y": {"type": "integer", "minimum": 0},
                    "width": {"type": "integer", "minimum": 1, "maximum": 24},
                    "height": {"type": "integer", "minimum": 1, "maximum": 1000},
                    "properties": {"type": "object"},
                },
            },
        },
    },
}
GRAPH = {
    "type": "object",
    "required": ["title", "metrics", "region", "view"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string"},
        "region": {"const": "AWS::Region"},
        "view": {"enum": ["timeSeries", "singleValue", "bar", "pie", "gauge"]},
        "metrics": {"type": "array", "minItems": 1, "maxItems": 500, "items": {"type": "array", "minItems": 1}},
        "yAxis": {"type": "object", "properties": {"left": {"type": "object"}, "right": {"type": "object"}}},
        "annotations": {
            "type": "object",
            "properties": {"horizontal": {"type": "array", "items": {"required": ["value"]}}},
        },
    },
}
OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "label": {"type": "string"},
        "stat": {"type": "string", "pattern": "^(Sum|Maximum|Average|Minimum|SampleCount|p[0-9.]+)$"},
        "period": {"type": "integer", "multipleOf": 60},
        "yAxis": {"enum": ["left", "right"]},
        "id": {"type": "string", "pattern": "^[a-z][a-zA-Z0-9_]*$"},
        "visible": {"type": "boolean"},
        "expression": {"type": "string"},
    },
}


def test_the_dashboard_body_is_valid(dashboard: dict[str, Any], written: Written) -> None:
    """The rules are on the page 'Dashboard body structure and syntax' of the CloudWatch API reference."""
    jsonschema.validate(dashboard, BODY)
    taken: set[tuple[int, int]] = set()
    metrics = 0
    for widget in dashboard["widgets"]:
        assert widget["x"] + widget["width"] <= 24
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken, "no widget over another"
        taken |= cells
        if widget["type"] == "alarm":
            continue
        jsonschema.validate(widget["properties"], GRAPH)
        split = [
            (metric[:-1], metric[-1]) if isinstance(metric[-1], dict) else (metric, {})
            for metric in widget["properties"]["metrics"]
        ]
        ids = {options["id"] for _, options in split if "id" in options}
        for metric, options in split:
            jsonschema.validate(options, OPTIONS)
            if "expression" in options:
                assert not metric
                assert set(re.findall(r"[a-z]\w*", options["expression"])) <= ids
            else:
                namespace, name, *dimensions = metric
                check_metric(written, namespace, name, set(dimensions[::2]))
                metrics += 1
    assert metrics <= 50, "more would cost"


def test_the_dashboard_shows_every_alarm(plain: Template, dashboard: dict[str, Any]) -> None:
    (widget,) = [one for one in dashboard["widgets"] if one["type"] == "alarm"]
    assert set(widget["properties"]["alarms"]) == set(plain.find_resources("AWS::CloudWatch::Alarm"))
