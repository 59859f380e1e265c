"""What the functions of a deployment are told, for tools that must decide as they do."""

from pydantic import ValidationError

from cli.deployment import Deployment
from cli.errors import CliError
from sluice.router import Kind
from sluice.settings import Settings

_QUEUES: dict[Kind, str] = {
    "call": "RequestQueueUrl",
    "part": "RequestQueueUrl",
    "file": "SplitQueueUrl",
    "assembly": "AssemblyQueueUrl",
}


def settings_of(deployment: Deployment) -> Settings:
    """The functions' settings. Raises `CliError` when their environment isn't of this version."""
    try:
        return Settings.from_environment(deployment.environment)
    except ValidationError as error:
        names = ", ".join(str(detail["loc"][0]) for detail in error.errors())
        raise CliError(
            f"--stack: the invoke function's environment lacks, or has wrong: {names}; is it of this version of Sluice?"
        ) from None


def queue_of(kind: Kind, deployment: Deployment) -> str:
    """URL of the queue that takes requests of `kind`. Raises `CliError` when the stack doesn't say."""
    return deployment.output(_QUEUES[kind])
