"""Every permission is needed: when one is removed from its role, one of the function's scenarios fails.

The table in docs/security.md has the results. `make permissions` rewrites it; the test fails if it is out of date.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bench import LISTED, Bench, Broke, Permission
from tests.e2e.conftest import ROOT, Pipeline
from tests.e2e.scenarios import SCENARIOS, Scenario

DOCUMENT = ROOT / "docs/security.md"
HEADING = "## Each permission, and what fails without it"
WRITE = "SLUICE_WRITE_PERMISSIONS"  # what `make permissions` sets

_MAPPING = (
    "Lambda polls the queue with the function's role "
    "([AWS](https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html))"
)
_LOGS = (
    "Lambda writes the function's log with its role "
    "([AWS](https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html))"
)
_TRACES = (
    "Lambda sends its traces with the function's role; the actions do not support resource-level permissions "
    "([AWS](https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html))"
)
# Permissions that the Lambda service itself uses, which the local AWS does not check. All others are tested.
DOCUMENTED = {
    "sqs:ReceiveMessage": _MAPPING,
    "sqs:DeleteMessage": _MAPPING,
    "sqs:GetQueueAttributes": _MAPPING,
    "logs:CreateLogStream": _LOGS,
    "logs:PutLogEvents": _LOGS,
    "xray:PutTraceSegments": _TRACES,
    "xray:PutTelemetryRecords": _TRACES,
}


@pytest.fixture
def bench(pipeline: Pipeline) -> Iterator[Bench]:
    with contextlib.suppress(pipeline.s3.exceptions.BucketAlreadyOwnedByYou):
        location = pipeline.s3.meta.region_name
        pipeline.s3.create_bucket(Bucket=LISTED, CreateBucketConfiguration={"LocationConstraint": location})  # type: ignore[typeddict-item]
    made = Bench(pipeline)
    with made.idle():
        yield made


def fails(bench: Bench, scenario: Scenario, unit: str) -> bool:
    try:
        scenario.run(bench, bench.units[unit])
    except Broke:
        return True
    return False


def first_failing(bench: Bench, permission: Permission, expected: str | None) -> str | None:
    """The name of a scenario that fails without a permission; the expected one is tried first."""
    with bench.lacking(permission):
        for scenario in sorted(SCENARIOS[permission.unit], key=lambda one: one.name != expected):
            if fails(bench, scenario, permission.unit):
                return scenario.name
    return None


def table(rows: list[list[str]]) -> str:
    head = ["function", "statement", "action", "on", "without it, this fails"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def section() -> str:
    """The text under the heading in docs/security.md."""
    text = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    return text.partition(HEADING)[2].partition("\n## ")[0]


def expected() -> dict[tuple[str, ...], str]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section().splitlines() if line[:1] == "|"
    ]
    return {tuple(row[:4]): row[4] for row in cells}


def test_every_permission_is_needed(bench: Bench) -> None:
    assert set(SCENARIOS) == set(bench.units), "each function needs scenarios"
    for name, scenarios in SCENARIOS.items():
        for scenario in scenarios:
            scenario.run(bench, bench.units[name])
    known, rows, unneeded = expected(), [], []
    for unit in bench.units.values():
        for permission in unit.permissions():
            row = [unit.name, permission.sid, f"`{permission.action}`", bench.label(permission.resource)]
            why = DOCUMENTED.get(permission.action) or first_failing(bench, permission, known.get(tuple(row)))
            rows.append([*row, why or "nothing"])
            if why is None:
                unneeded.append(row)
    assert unneeded == [], "these permissions are not needed: remove them from infrastructure/permissions.py"
    for unit in bench.units.values():
        (policy,) = bench.clients.iam.list_role_policies(RoleName=unit.role_name)["PolicyNames"]
        found = bench.clients.iam.get_role_policy(RoleName=unit.role_name, PolicyName=policy)
        assert found["PolicyDocument"] == unit.policy, "the policies are restored"
    found_table = table(sorted(rows))
    if os.environ.get(WRITE):
        _write(DOCUMENT, found_table)
    assert section().strip().endswith(found_table), "docs/security.md is out of date: make permissions"


def _write(document: Path, found: str) -> None:
    text = document.read_text() if document.exists() else f"# Security\n\n{HEADING}\n\n"
    before, _, after = text.partition(HEADING)
    old, separator, rest = after.partition("\n## ")
    prose = re.sub(r"\n\|.*", "", old, flags=re.DOTALL).rstrip()
    document.write_text(f"{before}{HEADING}{prose}\n\n{found}\n{separator}{rest}")
