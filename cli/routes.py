"""Which of a deployment's queues takes what."""

from cli.deployment import Deployment
from sluice.processing.router import Kind

_QUEUES: dict[Kind, str] = {
    "call": "RequestQueueUrl",
    "part": "RequestQueueUrl",
    "file": "SplitQueueUrl",
    "assembly": "AssemblyQueueUrl",
}


def queue_of(kind: Kind, deployment: Deployment) -> str:
    """URL of the queue that takes requests of `kind`. Raises `CliError` when the stack doesn't say."""
    return deployment.output(_QUEUES[kind])
