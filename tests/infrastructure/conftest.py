"""The app, synthesized once as a user would: in a process of its own, without AWS credentials."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

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


@pytest.fixture(scope="session")
def resources(assembly: Path) -> dict[str, list[dict[str, Any]]]:
    """The template's resources by type."""
    by_type: dict[str, list[dict[str, Any]]] = {}
    for logical_id, resource in json.loads((assembly / "Sluice.template.json").read_text())["Resources"].items():
        by_type.setdefault(resource["Type"], []).append({**resource, "LogicalId": logical_id})
    return by_type
