"""`sluice audit` on the state after a run.

The audit of this package knows each request that was sent; `sluice audit` knows only what a deployment shows.
"""

import json
import subprocess
import sys

from local import aws

_NO_VIOLATION, _VIOLATIONS = 0, 3  # exit codes


def second_audit(aws_url: str) -> list[str]:
    """One line for each violation that `sluice audit` finds on the local AWS at `aws_url`.

    The workers do not write to CloudWatch Logs, so the dead letters on the queue count. Raises `RuntimeError` when the
    command fails.
    """
    command = [sys.executable, "-m", "cli", "audit", "--grace", "0s", "--every-owner", "--read-dead-letters", "--json"]
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        env={**aws.environment(), "AWS_ENDPOINT_URL": aws_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {_NO_VIOLATION, _VIOLATIONS}:
        raise RuntimeError(f"sluice audit: {done.stderr}")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        f"sluice audit: {document['Key']}: {document['Reason']}"
        for document in documents
        if document["State"] == "violated" and "Key" in document
    ]
