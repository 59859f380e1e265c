"""Deploys a synthesized stack to the local AWS from its cloud assembly, as the CDK CLI does to a real one."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.aws import ACCOUNT, REGION, Clients, environment
from local.process import LocalRunError

_ROOT = Path(__file__).parent.parent
_DEPLOY_SECONDS = 60.0
_BOOTSTRAP_VERSION = "/cdk-bootstrap/hnb659fds/version"  # created by `cdk bootstrap`, and checked by stacks


def synthesize(settings: Mapping[str, Any], directory: Path) -> Path:
    """Synthesize the app into `directory`, with `settings` overriding those of cdk.json, and return `directory`.

    The template is that of a real deployment; only the dependency layer has this machine's wheels instead of Lambda's.
    Raises `LocalRunError` if synthesis fails.
    """
    context = {"sluice": json.dumps(settings), "sluice:built-for": "host"}
    process = subprocess.run(
        [sys.executable, "app.py"],
        cwd=_ROOT,
        env={**environment(), "CDK_OUTDIR": str(directory), "CDK_CONTEXT_JSON": json.dumps(context)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        msg = f"The stack can't be synthesized: {process.stderr.strip()}"
        raise LocalRunError(msg)
    return directory


def deploy(clients: Clients, assembly: Path) -> dict[str, str]:
    """Deploy the pipeline's stack of `assembly`, and return its outputs.

    Raises `LocalRunError` if CloudFormation rejects it or does not finish within a minute.
    """
    stack, artifact = pipeline_stack(json.loads((assembly / "manifest.json").read_text()))
    clients.ssm.put_parameter(Name=_BOOTSTRAP_VERSION, Value="30", Type="String", Overwrite=True)
    _publish(clients, assembly, f"{stack}.assets.json")
    name = artifact["properties"].get("stackName", stack)
    template = artifact["properties"]["stackTemplateAssetObjectUrl"]
    clients.cloudformation.create_stack(
        StackName=name,
        # By URL, like the CDK CLI: a template in the request itself is limited to 51,200 bytes.
        TemplateURL=f"{clients.s3.meta.endpoint_url}/{_local(template).removeprefix('s3://')}",
        Capabilities=["CAPABILITY_IAM"],
    )
    return _outputs(clients, name)


def pipeline_stack(manifest: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The ID and artifact of the pipeline's stack in an assembly's manifest: the one that depends on no other stack."""
    stacks = {
        name: artifact
        for name, artifact in manifest["artifacts"].items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    (found,) = [one for one in stacks.items() if stacks.keys().isdisjoint(one[1]["dependencies"])]
    return found


def _publish(clients: Clients, assembly: Path, manifest: str) -> None:
    """Upload the stack's file assets to their destinations in the manifest."""
    created = set()
    for asset in json.loads((assembly / manifest).read_text())["files"].values():
        source = assembly / asset["source"]["path"]
        content = zipped(source) if asset["source"]["packaging"] == "zip" else source.read_bytes()
        for destination in asset["destinations"].values():
            bucket = _local(destination["bucketName"])
            if bucket not in created:
                with contextlib.suppress(clients.s3.exceptions.BucketAlreadyOwnedByYou):  # by an earlier deployment
                    clients.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
                created.add(bucket)
            clients.s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=content)


def _local(text: str) -> str:
    """`text` with CDK's placeholders for account and region replaced."""
    return text.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION)


def zipped(source: Path) -> bytes:
    """A folder as a zip file, or the content of an existing zip file."""
    if source.is_file():
        return source.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for folder, _, files in os.walk(source):
            for file in files:
                path = Path(folder, file)
                archive.write(path, path.relative_to(source))
    return buffer.getvalue()


def _outputs(clients: Clients, stack_name: str) -> dict[str, str]:
    deadline = time.monotonic() + _DEPLOY_SECONDS
    status = "unknown"
    while time.monotonic() < deadline:
        stack = clients.cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        status = stack["StackStatus"]
        if status == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        if not status.endswith("_IN_PROGRESS") or status.startswith("ROLLBACK"):
            break
        time.sleep(0.05)
    reasons = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in clients.cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
        if event.get("ResourceStatusReason") and "FAILED" in event["ResourceStatus"]
    ]
    msg = f"The local stack is {status}. {' '.join(reasons)}"
    raise LocalRunError(msg)
