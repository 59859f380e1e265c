"""The command line, as `make up`'s exports let it find the local run."""

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
    """The command in this process; what it says on standard error is `stderr`."""
    result = CliRunner().invoke(main, arguments, env=environment(pipeline), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def rows(result: Result) -> list[dict[str, Any]]:
    """What `--json` printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def start(pipeline: Pipeline, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "sluice"), *arguments],
        env={**os.environ, **environment(pipeline)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
