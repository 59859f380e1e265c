"""Faults on request: which calls go wrong, and how."""

import random
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from local.endpoint.api import ERRORS, ServiceFault

NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
TIMED_OUT = (
    'Received server error (0) from primary with message "Your invocation timed out while waiting for a response '
    "from container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, "
    'and try again.".'
)

# Beside the API's errors: scaled to zero; the container's time is over; no answer ever; an answer cut off in the
# middle; an answer that is none; an answer that comes, but late.
Special = Literal["capacity", "timeout", "hang", "drop", "garbage", "delay"]


@dataclass(frozen=True, slots=True)
class Call:
    """What a rule looks at."""

    endpoint_name: str
    body: bytes
    parameters: dict[str, str]


class Rule(BaseModel):
    """One kind of fault for some calls: all the criteria that are given must hold. Without any, it is every call."""

    model_config = ConfigDict(extra="forbid")

    fault: str = Field(description="An error code of the API, or capacity, timeout, hang, drop, garbage, delay.")
    message: str | None = None
    original_status_code: int = 500
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    nth: list[int] | None = Field(None, description="Which of the calls that this rule looks at; the first is 1.")
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int = 0
    times: int | None = Field(None, description="Stop after so many.")
    endpoint_name: str | None = None
    body_contains: str | None = None
    custom_attributes_contains: str | None = None
    inference_id: str | None = None

    _seen: int = PrivateAttr(0)
    _done: int = PrivateAttr(0)
    _random: random.Random = PrivateAttr()

    def model_post_init(self, _context: Any) -> None:
        """Seed the dice."""
        self._random = random.Random(self.seed)  # noqa: S311 - faults that can be repeated, not secrets

    @model_validator(mode="after")
    def _check_fault(self) -> Self:
        known = {*ERRORS, *Special.__args__}  # type: ignore[attr-defined]
        if self.fault not in known:
            msg = f"must be one of {', '.join(sorted(known))}"
            raise ValueError(msg)
        return self

    def strikes(self, call: Call) -> bool:
        """Whether this call goes wrong. Counts it."""
        about = (
            (self.endpoint_name is None or self.endpoint_name == call.endpoint_name)
            and (self.body_contains is None or self.body_contains.encode() in call.body)
            and (
                self.custom_attributes_contains is None
                or self.custom_attributes_contains in call.parameters.get("CustomAttributes", "")
            )
            and (self.inference_id is None or self.inference_id == call.parameters.get("InferenceId"))
        )
        if not about or (self.times is not None and self._done >= self.times):
            return False
        self._seen += 1
        if (self.nth is not None and self._seen not in self.nth) or (
            self.share is not None and self._random.random() >= self.share
        ):
            return False
        self._done += 1
        return True

    def error(self) -> ServiceFault | None:
        """The API's error that this fault is, if it is one."""
        if self.fault == "capacity":
            return ServiceFault("ValidationError", self.message or NO_CAPACITY)
        if self.fault == "timeout":
            return ServiceFault("ModelError", self.message or TIMED_OUT, OriginalStatusCode=0)
        if self.fault == "ModelError":
            return ServiceFault(
                self.fault,
                self.message or f"Received server error ({self.original_status_code}) from primary",
                OriginalStatusCode=self.original_status_code,
                OriginalMessage=self.message or "a fault that was asked for",
            )
        if self.fault in ERRORS:
            return ServiceFault(self.fault, self.message or "A fault that was asked for.")
        return None


class Plan(BaseModel):
    """The rules; the first that strikes decides."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []

    def fault_for(self, call: Call) -> Rule | None:
        """The rule that this call falls under, if any."""
        return next((rule for rule in self.rules if rule.strikes(call)), None)
