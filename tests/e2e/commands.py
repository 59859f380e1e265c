"""Runs the command line with the environment of `make up`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cli.main import main
from local.aws import CREDENTIALS
from tests.e2e.conftest import Pipeline


def environment(pipeline: Pipeline) -> dict[str, str]:
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": pipeline.engine.url,
        "AWS_ENDPOINT_URL_SAGEMAKER": pipeline.engine.sagemaker_runtime_url,
        "NO_PROXY": "127.0.0.1",
        **pipeline.trust(),
    }


def sluice(pipeline: Pipeline, *arguments: str, code: int = 0) -> Result:
    """Run the command in this process; the result's `stderr` has its standard error."""
    result = CliRunner().invoke(main, arguments, env=environment(pipeline), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def rows(result: Result) -> list[dict[str, Any]]:
    """The objects that `--json` printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def start(pipeline: Pipeline, *arguments: str) -> subprocess.Popen[str]:
    """Start the command in a separate process."""
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "sluice"), *arguments],
        env={**os.environ, **environment(pipeline)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
