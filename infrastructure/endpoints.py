"""Endpoints as the settings name them: by name or by ARN."""

from dataclasses import dataclass
from typing import Annotated, Self

from infrastructure.errors import SettingProblem
from infrastructure.validation import matching

MAX_NAME = 63  # InvokeEndpoint API page, EndpointName
EndpointReference = Annotated[
    str,
    matching(
        r"(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:endpoint/)?[a-zA-Z0-9](-*[a-zA-Z0-9])*",
        "the name or the ARN of an endpoint: letters and digits, with hyphens between them, such as my-endpoint",
    ),
]
"""The name of an endpoint, or its ARN."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: its name, and its ARN if the settings give one."""

    name: str
    arn: str | None = None

    @classmethod
    def of(cls, reference: str) -> Self:
        """Return the endpoint of a checked name or ARN."""
        arn, _, name = reference.rpartition("/")
        return cls(name, reference if arn else None)

    @property
    def region_and_account(self) -> tuple[str, str] | None:
        """The region and the account in the ARN, if there is one."""
        return (parts[3], parts[4]) if self.arn and (parts := self.arn.split(":")) else None


def check_endpoints(references: list[str]) -> list[str]:
    """Return `references` as they are. Raises `SettingProblem` when they can't belong to one deployment."""
    if not references:
        raise SettingProblem("", 'must name at least one endpoint, such as ["my-endpoint"]')
    endpoints = [Endpoint.of(reference) for reference in references]
    if len({endpoint.name.lower() for endpoint in endpoints}) < len(endpoints):
        raise SettingProblem("", "names an endpoint twice; name each once")
    for endpoint in endpoints:
        if len(endpoint.name) > MAX_NAME:
            raise SettingProblem(
                "", f"{endpoint.name} has {len(endpoint.name)} characters; SageMaker allows {MAX_NAME}"
            )
    if len({endpoint.region_and_account for endpoint in endpoints} - {None}) > 1:
        raise SettingProblem("", "are in several regions or accounts; deploy a pipeline for each")
    return references
