"""Every permission is needed: the functions use it, and when it is removed, one of the function's scenarios fails.

`make permissions` removes each of them, and writes the table in docs/security.md. `make test` removes one of each
function, and fails if the table lacks a permission.
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


def every(bench: Bench) -> list[tuple[Permission, list[str]]]:
    """All permissions, with the cells of the table that name them."""
    return [
        (one, [unit.name, one.sid, f"`{one.action}`", bench.label(one.resource)])
        for unit in bench.units.values()
        for one in unit.permissions()
    ]


def test_every_permission_is_used(bench: Bench) -> None:
    assert set(SCENARIOS) == set(bench.units), "each function needs scenarios"
    with bench.noting_permissions() as used:
        for name, scenarios in SCENARIOS.items():
            for scenario in scenarios:
                scenario.run(bench, bench.units[name])
    unused = [row for one, row in every(bench) if one not in used and one.action not in DOCUMENTED]
    assert unused == [], "these permissions are not needed: remove them from infrastructure/permissions.py"


def test_without_a_permission_a_scenario_fails(bench: Bench) -> None:
    known, tried, rows = expected(), set(), []
    for one, row in every(bench):
        why = DOCUMENTED.get(one.action)
        if why is None and (os.environ.get(WRITE) or one.unit not in tried):
            tried.add(one.unit)
            why = first_failing(bench, one, known.get(tuple(row)))
            assert why is not None, f"{row} is not needed: remove it from infrastructure/permissions.py"
        rows.append([*row, why or known.get(tuple(row), "not in the table")])
    assert tried == set(SCENARIOS)
    for unit in bench.units.values():
        (policy,) = bench.clients.iam.list_role_policies(RoleName=unit.role_name)["PolicyNames"]
        found = bench.clients.iam.get_role_policy(RoleName=unit.role_name, PolicyName=policy)
        assert found["PolicyDocument"] == unit.policy, "the policies are restored"
    found_table = table(sorted(rows))
    if os.environ.get(WRITE):
        _write(DOCUMENT, found_table)
    assert section().strip().endswith(found_table), "docs/security.md is out of date: make permissions"
    names = {scenario.name for scenarios in SCENARIOS.values() for scenario in scenarios}
    assert {row[-1] for row in rows} <= names | set(DOCUMENTED.values()), "make permissions"


def _write(document: Path, found: str) -> None:
    text = document.read_text() if document.exists() else f"# Security\n\n{HEADING}\n\n"
    before, _, after = text.partition(HEADING)
    old, separator, rest = after.partition("\n## ")
    prose = re.sub(r"\n\|.*", "", old, flags=re.DOTALL).rstrip()
    document.write_text(f"{before}{HEADING}{prose}\n\n{found}\n{separator}{rest}")
