"""Endpoints as the settings name them: by name, with or without their ARN and their inference components."""

import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from infrastructure.errors import SettingProblem
from infrastructure.validation import matching

MAX_NAME = 63  # InvokeEndpoint API page, EndpointName
_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_ARN = r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:endpoint/" + _NAME
_HYPHENS = "letters and digits, with hyphens between them, such as my-endpoint"
_KEYS = ("name", "arn", "inference_components")

EndpointName = Annotated[str, matching(_NAME, "the name of an endpoint: " + _HYPHENS)]
EndpointArn = Annotated[
    str,
    matching(_ARN, "the ARN of an endpoint, such as arn:aws:sagemaker:eu-west-1:111122223333:endpoint/my-endpoint"),
]
ComponentName = Annotated[
    str,
    matching(
        r"[a-zA-Z0-9*]([a-zA-Z0-9*-]{0,61}[a-zA-Z0-9*])?",
        "the name of an inference component, such as my-adapter, or a pattern of names, such as my-*",
    ),
]


class Endpoint(BaseModel):
    """An endpoint. In the settings, its name alone is enough.

    InvokeEndpoint takes the name in its own upper and lower case (CreateEndpoint API page, EndpointName), while
    SageMaker writes ARNs in lower case. So the name can't be taken from an ARN.

    `inference_components` are the names of those that may be called, each of which may have `*` for any characters.
    IAM does not know which endpoint a component belongs to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: EndpointName
    arn: EndpointArn | None = None
    inference_components: tuple[ComponentName, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_reference(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return _fields(value)
        return value if isinstance(value, cls) else _referred(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.name) > MAX_NAME:
            raise SettingProblem("", f"{self.name} has {len(self.name)} characters; SageMaker allows {MAX_NAME}")
        if self.arn is not None and self.arn.rpartition("/")[2].lower() != self.name.lower():
            raise SettingProblem("arn", f"{self.arn} is not the ARN of {self.name}")
        return self

    @property
    def iam_arn(self) -> str | None:
        """The ARN as IAM compares it, with the name in lower case; None if the settings give none."""
        return self.arn and f"{self.arn.rpartition('/')[0]}/{self.name.lower()}"

    @property
    def region_and_account(self) -> tuple[str, str] | None:
        """The region and the account in the ARN, if there is one."""
        return (parts[3], parts[4]) if self.arn and (parts := self.arn.split(":")) else None


def _referred(reference: object) -> dict[str, Any]:
    """The fields of an endpoint of which the settings give only the name, or only the ARN."""
    if isinstance(reference, str) and re.fullmatch(_NAME, reference, re.ASCII):
        return {"name": reference}
    if not isinstance(reference, str) or not re.fullmatch(_ARN, reference, re.ASCII):
        raise PydanticCustomError("matching", "must be the name or the ARN of an endpoint: " + _HYPHENS)
    name = reference.rpartition("/")[2]
    if name == name.lower() != name.upper():
        raise SettingProblem(
            "",
            f"{reference} is not enough: SageMaker writes ARNs in lower case, and calls an endpoint by its name only, "
            f'which may be {name.capitalize()}; write the name alone, or {{"name": "…", "arn": "{reference}"}}',
        )
    return {"name": name, "arn": reference}


def _fields(value: dict[str, Any]) -> dict[str, Any]:
    """The fields of an endpoint in the settings, with JSON's list as the sequence that a frozen model holds."""
    for key in value:
        if key not in _KEYS:
            raise SettingProblem(key, f"is no key of an endpoint; known are {', '.join(_KEYS)}")
    if "name" not in value:
        raise SettingProblem("name", "is missing: the name of the endpoint, in its own upper and lower case")
    components = value.get("inference_components", ())
    return {**value, "inference_components": tuple(components) if isinstance(components, list) else components}


def check_endpoints(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Return `endpoints` as they are. Raises `SettingProblem` when they can't belong to one deployment."""
    if not endpoints:
        raise SettingProblem("", 'must name at least one endpoint, such as ["my-endpoint"]')
    if len({endpoint.name.lower() for endpoint in endpoints}) < len(endpoints):
        raise SettingProblem("", "names an endpoint twice; name each once")
    if len({endpoint.region_and_account for endpoint in endpoints} - {None}) > 1:
        raise SettingProblem("", "are in several regions or accounts; deploy a pipeline for each")
    return endpoints
