"""docs/walkthrough.md shows the actual output. With SLUICE_WRITE_DOCS=1 in the environment, it is rewritten instead."""

import os
import re
import subprocess
import sys
from pathlib import Path

from local.aws import CREDENTIALS
from tests.e2e.conftest import ROOT, Pipeline

_DOC = ROOT / "docs/walkthrough.md"
_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n", re.MULTILINE)
_OTHER_EACH_TIME = (
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?",
    r"\d+(\.\d+)? ?(ms|s)\b( ago)?",
    r"(?<=ModelLatencyMs: )\d+",
    r"\bsluice-storage\w+bucket[0-9a-f-]+",
)


def environment(pipeline: Pipeline) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLUICE_"))}
    return {
        **kept,
        **CREDENTIALS,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "AWS_ENDPOINT_URL": pipeline.engine.url,
        "AWS_ENDPOINT_URL_SAGEMAKER": pipeline.engine.sagemaker_runtime_url,
        "INPUT_BUCKET": pipeline.engine.input_bucket,
        "RESULTS_BUCKET": pipeline.engine.results_bucket,
        "REQUEST_QUEUE_URL": pipeline.engine.request_queue_url,
        "NO_PROXY": "127.0.0.1",
        **pipeline.trust(),
    }


def typed(block: str, variables: dict[str, str]) -> str:
    """A block with the current output of its commands."""
    shown = ""
    for command in _COMMAND.findall(block):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        ended = "" if done.stdout.endswith("\n") or not done.stdout else "\n"  # ends like the response
        shown += f"$ {command}\n{done.stdout}{ended}"
    return shown


def usual(text: str) -> str:
    """`text` without values that differ in each run, and without the column widths that depend on them."""
    text = re.sub(r"[ \t]+", " ", text)
    for pattern in _OTHER_EACH_TIME:
        text = re.sub(pattern, "…", text)
    return text


def test_the_walkthrough_is_up_to_date(pipeline: Pipeline) -> None:
    pipeline.sqs.purge_queue(QueueUrl=pipeline.engine.dead_letter_queue_url)
    variables = environment(pipeline)
    written = _DOC.read_text()
    now = _BLOCK.sub(lambda block: typed(block[0], variables), written)
    if "SLUICE_WRITE_DOCS" in os.environ:
        _DOC.write_text(now)
    else:
        assert usual(now) == usual(written)
