"""Runs the command line with the environment of `make up`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from click.testing import CliRunner, Result

from cli.lookup.failures import SENT_AGAIN
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


def sluice(
    pipeline: Pipeline, *arguments: str, code: int = 0, credentials: Mapping[str, str] = MappingProxyType({})
) -> Result:
    """Run the command in this process; the result's `stderr` has its standard error."""
    result = CliRunner().invoke(main, arguments, env={**environment(pipeline), **credentials}, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def rows(result: Result) -> list[dict[str, Any]]:
    """The objects that `--json` printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def versions_tagged(pipeline: Pipeline, key: str) -> list[bool]:
    """Whether each version of an `.err`, the oldest first, is tagged: its request has been sent again."""
    bucket = pipeline.engine.results_bucket
    versions = pipeline.s3.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
    tags = [
        pipeline.s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=one["VersionId"])["TagSet"]
        for one in reversed(versions)
    ]
    return [SENT_AGAIN in {tag["Key"] for tag in one} for one in tags]


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
