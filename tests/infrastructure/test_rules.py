"""The rules of cdk-nag and CloudFormation Guard. docs/security.md has the violations that remain, with the reason."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import Validations
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks
from cdklabs.cdk_validator_cfnguard import CfnGuardValidator

from infrastructure.settings import Settings
from infrastructure.stack import SluiceStack

DOC = (Path(__file__).parents[2] / "docs/security.md").read_text()
ROWS = re.findall(r"^\| `([\w.-]+)` \| (?:`([\w.]+)`)? ?\| (.+) \|$", DOC, re.MULTILINE)
ACKNOWLEDGED = {rule: (setting, reason) for rule, setting, reason in ROWS}

PLAIN: dict[str, Any] = {"endpoint_names": ["wine"]}
TOPICS = {
    "notifications": {"success_topic": True, "error_topic": True},
    "alarms": {"topic": True},
    "input_location_buckets": ["lake"],
}
STRICT = {
    "kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111",
    "access_logs": True,
    "network": {
        "subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "security_group_ids": ["sg-0123456789abcdef0"],
    },
    "alarms": {"topic": True},
    "retention": {"log_days": 365},
}
Found = set[tuple[str, str]]
"""Rules that are broken, and the constructs that break them."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Found]:
    known: dict[str, Found] = {}

    def find(settings: dict[str, Any]) -> Found:
        key = json.dumps(settings)
        if key not in known:
            known[key] = broken(settings, tmp_path_factory.mktemp("rules"))
        return known[key]

    return find


def broken(settings: dict[str, Any], out: Path) -> Found:
    app = cdk.App(outdir=str(out))
    SluiceStack(app, Settings.model_validate({**PLAIN, **settings}), built_for="host")
    guard: Any = CfnGuardValidator()  # of an interface that is another one for the type checker alone
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), NIST80053R5Checks(app), guard)
    with pytest.raises(RuntimeError, match="ValidationFailed"):  # as long as there is one that is left
        app.synth()
    report = json.loads((out / "validation-report.json").read_text())
    assert len(report["pluginReports"]) == 3
    return {
        (violation["ruleName"].partition("[")[0], construct["constructPath"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }


@pytest.mark.parametrize("settings", [{}, TOPICS, STRICT], ids=["plain", "topics", "strict"])
def test_what_is_found_is_acknowledged_with_its_reason(
    found: Callable[[dict[str, Any]], Found], settings: dict[str, Any]
) -> None:
    assert {rule for rule, _ in found(settings)} <= ACKNOWLEDGED.keys()


def test_nothing_is_acknowledged_that_is_not_found(found: Callable[[dict[str, Any]], Found]) -> None:
    rules = {rule for settings in ({}, TOPICS, STRICT) for rule, _ in found(settings)}
    assert rules == ACKNOWLEDGED.keys()


def test_each_setting_satisfies_its_rules(found: Callable[[dict[str, Any]], Found]) -> None:
    answered = {rule for rule, (setting, _) in ACKNOWLEDGED.items() if setting}
    strict = {f"{key}.{name}" for key, group in STRICT.items() if isinstance(group, dict) for name in group} | {*STRICT}
    assert {setting for setting, _ in ACKNOWLEDGED.values() if setting} <= strict
    left = {construct for rule, construct in found(STRICT) if rule in answered}
    assert all("AccessLogs" in construct for construct in left), left


def test_wildcards_are_where_the_reason_says(found: Callable[[dict[str, Any]], Found]) -> None:
    paths = {construct for rule, construct in found(TOPICS) if rule == "AwsSolutions-IAM5"}
    assert all(path.endswith("/Policy/Resource") for path in paths)
