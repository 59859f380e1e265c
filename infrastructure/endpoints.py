"""Endpoints as the settings name them: by name, or by ARN."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import StringConstraints

MAX_NAME = 63
EndpointReference = Annotated[
    str,
    StringConstraints(
        pattern=r"^(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:endpoint/)?[a-zA-Z0-9](-*[a-zA-Z0-9])*$"
    ),
]
"""An endpoint's name, or its ARN."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: its name, and its ARN where that is stated."""

    name: str
    stated_arn: str | None = None

    @classmethod
    def of(cls, reference: str) -> Self:
        """The endpoint of a checked name or ARN."""
        arn, _, name = reference.rpartition("/")
        return cls(name, reference if arn else None)

    @property
    def place(self) -> tuple[str, str] | None:
        """Region and account of the ARN that is stated."""
        return (parts[3], parts[4]) if self.stated_arn and (parts := self.stated_arn.split(":")) else None


def problems(endpoints: Sequence[Endpoint]) -> Iterator[tuple[str, str]]:
    """What is wrong with them together, as pairs of key and problem."""
    if len({endpoint.name.lower() for endpoint in endpoints}) < len(endpoints):
        yield "endpoint_names", "names an endpoint twice; name each once"
    for endpoint in endpoints:
        if len(endpoint.name) > MAX_NAME:
            yield "endpoint_names", f"{endpoint.name} has {len(endpoint.name)} characters; SageMaker allows {MAX_NAME}"
    if len({endpoint.place for endpoint in endpoints} - {None}) > 1:
        yield "endpoint_names", "are in several regions or accounts; deploy a pipeline for each"
