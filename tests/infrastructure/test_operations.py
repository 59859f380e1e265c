"""The alarms, graphs and queries in docs/operations.md agree with the template and the functions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infrastructure.settings import Settings
from infrastructure.settings.names import fields
from tests.infrastructure.conftest import Written, by_type, synthesized
from tests.infrastructure.test_template import Resources

DOC = (Path(__file__).parents[2] / "docs/operations.md").read_text()
QUOTAS = (Path(__file__).parents[2] / "docs/quotas.md").read_text()
QUERIES = re.findall(r"```\n(.*?)\n```", DOC.partition("## Log queries")[2], re.DOTALL)
COMMANDS = {"fields", "filter", "stats", "sort", "limit"}
FUNCTIONS = {"avg", "bin", "count", "count_distinct", "ispresent", "latest", "max", "pct", "sum"}
WORDS = {"as", "asc", "by", "desc", "like"}
# Discovered by Logs Insights in every event, and in the REPORT lines of Lambda.
DISCOVERED = {"@timestamp", "@message", "@log", "@requestId", "@type"} | {
    "@initDuration", "@billedDuration", "@memorySize", "@maxMemoryUsed"
}  # fmt: skip


def first_cells(heading: str) -> list[str]:
    section = DOC.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][2:]


def alarms(resources: Resources) -> set[str]:
    return {one["LogicalId"].removeprefix("Alarms")[:-8] for one in resources["AWS::CloudWatch::Alarm"]}


def test_every_alarm_is_explained(resources: Resources) -> None:
    explained = re.findall(r"`(\w+)`", " ".join(first_cells("Alarms")))
    default, every = alarms(resources), alarms(by_type(synthesized(notifications={"error_topic": True})))
    assert sorted(explained) == sorted(every)
    assert f"${len(default) * 0.10:.2f} for all; with topics in `notifications`, four more" in DOC
    assert len(every) == len(default) + 4
    assert f"a deployment has\nup to {len(every)})" in QUOTAS


def test_every_setting_that_it_names_exists() -> None:
    named = set(
        re.findall(r"`((?:alarms|retry|function)\.\w+|alarm\w*|dashboard|max_\w+|concurrent_\w+|batch_size)`", DOC)
    )
    assert named
    assert named <= set(fields(Settings))


def test_every_graph_is_explained(resources: Resources) -> None:
    (dashboard,) = resources["AWS::CloudWatch::Dashboard"]
    parts: list[Any] = dashboard["Properties"]["DashboardBody"]["Fn::Join"][1]
    body = json.loads("".join(part if isinstance(part, str) else "token" for part in parts))
    titles = [one["properties"]["title"] for one in body["widgets"] if one["type"] == "metric"]
    assert first_cells("Dashboard") == titles


def test_the_functions_metrics_are_as_many_as_it_says(written: Written) -> None:
    (most,) = re.findall(r"at most (\d+), because each has one dimension", DOC)
    assert int(most) == len(written.metrics)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.partition("\n")[0])
def test_a_query_asks_for_what_the_functions_write(query: str, written: Written) -> None:
    aliases = set(re.findall(r"\bas (\w+)", query))
    for stage in query.split("\n| "):
        command, _, rest = stage.partition(" ")
        assert command in COMMANDS
        for said in re.findall(r'message = "([^"]+)"', rest):
            assert said in written.messages
        bare = re.sub(r'"[^"]*"|/[^/\n]+\|[^/\n]+/', "", rest)  # without strings and expressions
        assert bare.count("(") == bare.count(")")
        assert '"' not in bare
        called = set(re.findall(r"(\w+)\(", bare))
        assert called <= FUNCTIONS
        names = set(re.findall(r"(?<![\w.])@?[a-z]\w*", re.sub(r"\d+m\b", "", bare)))
        assert names - called - WORDS - aliases <= written.fields | DISCOVERED


def test_there_are_queries() -> None:
    assert len(QUERIES) >= 10
