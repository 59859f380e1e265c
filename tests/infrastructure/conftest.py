"""The app, synthesized once as a user does it: in its own process, without AWS credentials."""

import contextlib
import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from aws_lambda_powertools import Logger, Metrics

from infrastructure.settings import Settings
from infrastructure.stack import SluiceStack
from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.identity import Identity
from sluice.processing.outcome import Outcome, Status
from sluice.telemetry import Telemetry

ROOT = Path(__file__).parents[2]


class Synth(Protocol):
    def __call__(self, out: Path, settings: Mapping[str, Any] | str | None = None) -> subprocess.CompletedProcess[str]:
        """Run app.py with `settings` as `-c sluice=…`, into `out`."""


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synth:
    home = tmp_path_factory.mktemp("home")

    def run(out: Path, settings: Mapping[str, Any] | str | None = None) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "HOME"))}
        context = {} if settings is None else {"sluice": settings}
        return subprocess.run(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env={**kept, "HOME": str(home), "CDK_OUTDIR": str(out), "CDK_CONTEXT_JSON": json.dumps(context)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def assembly(synth: Synth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud assembly of a deployment with some settings changed."""
    out = tmp_path_factory.mktemp("assembly")
    settings = {
        "endpoint_names": ["Wine-EU", "digits"],
        "input_location_buckets": ["lake"],
        "custom_attributes_template": "{custom_attributes},trace_id={trace_id}",
        "concurrent_requests": 50,
    }
    done = synth(out, settings)
    assert done.returncode == 0, done.stderr
    return out


def synthesized(**settings: Any) -> dict[str, Any]:
    """The template of a deployment with `settings`, from this process: another one loads CDK again."""
    stack = SluiceStack(cdk.App(), Settings.from_context({"endpoint_names": ["wine"]}, settings))
    return dict(Template.from_stack(stack).to_json())


def by_type(template: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """A template's resources by type."""
    found: dict[str, list[dict[str, Any]]] = {}
    for logical_id, resource in template["Resources"].items():
        found.setdefault(resource["Type"], []).append({**resource, "LogicalId": logical_id})
    return found


@pytest.fixture(scope="session")
def resources(assembly: Path) -> dict[str, list[dict[str, Any]]]:
    """The template's resources by type."""
    return by_type(json.loads((assembly / "Sluice.template.json").read_text()))


@dataclass(frozen=True)
class Written:
    """What the functions write: fields and messages of their log lines, names and dimensions of their metrics."""

    fields: frozenset[str]
    messages: frozenset[str]
    metrics: frozenset[str]
    dimensions: frozenset[str]


@pytest.fixture(scope="session")
def written() -> Written:
    """Return the fields and metrics that the functions' code writes for one outcome of each kind."""
    lines = io.StringIO()
    # A name of its own: Powertools keeps one logger for each name, with the stream of the test that made it first.
    logger = Logger(service=f"written-{uuid.uuid4()}", stream=lines, location=None, serialize_stacktrace=False)
    logger.append_keys(function_request_id="1")
    metrics = io.StringIO()
    with contextlib.redirect_stdout(metrics):
        telemetry = Telemetry(logger, Metrics(namespace="Sluice", service="Sluice"), trace_header=lambda: None)
        identity = Identity("messages/1", "messages/1", "1", "1", "1", "1", inference_id="1")
        for status in Status:
            telemetry.record(Outcome("1", status, identity, "wine", model_latency=timedelta(seconds=1), detail="why"))
        for failure_class in FailureClass:
            failure = Failure(failure_class, "Code", "message")
            unforeseen = RuntimeError("unforeseen") if failure_class is FailureClass.TRANSIENT else None
            outcome = Outcome("1", Status.RETRY, identity, failure=failure, retry_after_seconds=1, error=unforeseen)
            telemetry.record(outcome)
        telemetry.flush()
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    (embedded,) = [json.loads(line)["_aws"]["CloudWatchMetrics"][0] for line in metrics.getvalue().splitlines()]
    return Written(
        fields=frozenset(name for line in logged for name in line),
        messages=frozenset(line["message"] for line in logged),
        metrics=frozenset(one["Name"] for one in embedded["Metrics"]),
        dimensions=frozenset(name for one in embedded["Dimensions"] for name in one),
    )
