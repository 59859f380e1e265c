"""Fault injection: which calls fail, and how."""

import random
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from starlette.responses import Response

from local.endpoint.api import ERRORS, ServiceFault
from local.endpoint.broken import Cut, Drop, Garbage, Hang
from local.endpoint.model_error import ModelErrors

_NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
_INJECTED = "An injected fault."
_BROKEN: dict[str, type[Response]] = {"hang": Hang, "drop": Drop, "cut": Cut}

# In addition to the API's errors: scaled to zero; the container timed out; no response; the connection closed without a
# response; closed during the response; a response that is not the API's; a delayed response; a response that the rule
# states, such as one of AWS's own.
Special = Literal["capacity", "timeout", "hang", "drop", "cut", "garbage", "delay", "response"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call as it was received, which rules are matched against."""

    endpoint_name: str
    body: bytes
    parameters: dict[str, str]


class Rule(BaseModel):
    """One fault for the calls that meet all given criteria. Without criteria, it is injected into every call."""

    model_config = ConfigDict(extra="forbid")

    fault: str = Field(
        description="An error code of the API, or capacity, timeout, hang, drop, cut, garbage, delay, response."
    )
    message: str | None = None
    original_status_code: int = 500
    garbage_status_code: Literal[200, 500] = 500
    status: Annotated[int, Field(ge=200, le=599)] = 500
    headers: dict[str, str] = {}
    body: str = ""
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    nth: list[int] | None = Field(None, description="The numbers, from 1, of the matching calls to fail.")
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int = 0
    times: int | None = Field(None, description="Stop after this number of faults.")
    endpoint_name: str | None = None
    body_contains: str | None = None
    custom_attributes_contains: str | None = None
    inference_id: str | None = None

    _matched: int = PrivateAttr(0)
    _injected: int = PrivateAttr(0)
    _random: random.Random = PrivateAttr()

    def model_post_init(self, _context: Any) -> None:
        """Seed the random numbers."""
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible faults, not secrets

    @model_validator(mode="after")
    def _check_fault(self) -> Self:
        known = {*ERRORS, *Special.__args__}  # type: ignore[attr-defined]
        if self.fault not in known:
            msg = f"must be one of {', '.join(sorted(known))}"
            raise ValueError(msg)
        return self

    def applies(self, call: Invocation) -> bool:
        """Whether the fault is injected into this call. Counts the call."""
        matches = (
            (self.endpoint_name is None or self.endpoint_name == call.endpoint_name)
            and (self.body_contains is None or self.body_contains.encode() in call.body)
            and (
                self.custom_attributes_contains is None
                or self.custom_attributes_contains in call.parameters.get("CustomAttributes", "")
            )
            and (self.inference_id is None or self.inference_id == call.parameters.get("InferenceId"))
        )
        if not matches or (self.times is not None and self._injected >= self.times):
            return False
        self._matched += 1
        if (self.nth is not None and self._matched not in self.nth) or (
            self.share is not None and self._random.random() >= self.share
        ):
            return False
        self._injected += 1
        return True

    def error(self, endpoint_name: str, model_errors: ModelErrors) -> ServiceFault | None:
        """The API error of this fault, or None if it is not an API error."""
        if self.fault == "capacity":
            return ServiceFault("ValidationError", self.message or _NO_CAPACITY)
        if self.fault == "timeout":
            if self.message is not None:
                return model_errors.with_message(endpoint_name, 0, self.message)
            return model_errors.timed_out(endpoint_name)
        if self.fault == "ModelError":
            if self.message is not None:
                return model_errors.with_message(endpoint_name, self.original_status_code, self.message)
            return model_errors.rejected(endpoint_name, self.original_status_code, _INJECTED)
        if self.fault in ERRORS:
            return ServiceFault(self.fault, self.message or _INJECTED)
        return None

    def response(self) -> Response | None:
        """The broken response that replaces the container's, or None if the container is called."""
        if self.fault == "response":
            return Response(self.body, self.status, self.headers)
        if self.fault == "garbage":
            return Garbage(self.garbage_status_code)
        return _BROKEN[self.fault]() if self.fault in _BROKEN else None


class Plan(BaseModel):
    """The rules. The first rule that applies determines the fault."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []

    def fault_for(self, call: Invocation) -> Rule | None:
        """The rule that applies to this call, if any."""
        return next((rule for rule in self.rules if rule.applies(call)), None)
