"""Faults on request: which calls go wrong, and how."""

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
_ASKED_FOR = "A fault that was asked for."
_BROKEN: dict[str, type[Response]] = {"hang": Hang, "drop": Drop, "cut": Cut}

# Beside the API's errors: scaled to zero; the container's time is over; no answer ever; the connection closed without
# an answer; closed in the middle of one; an answer that is none; an answer that comes, but late.
Special = Literal["capacity", "timeout", "hang", "drop", "cut", "garbage", "delay"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule looks at: a call as it came."""

    endpoint_name: str
    body: bytes
    parameters: dict[str, str]


class Rule(BaseModel):
    """One kind of fault for some calls: all the criteria that are given must hold. Without any, it is every call."""

    model_config = ConfigDict(extra="forbid")

    fault: str = Field(description="An error code of the API, or capacity, timeout, hang, drop, cut, garbage, delay.")
    message: str | None = None
    original_status_code: int = 500
    garbage_status_code: Literal[200, 500] = 500
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

    def strikes(self, asked: Asked) -> bool:
        """Whether this call goes wrong. Counts it."""
        about = (
            (self.endpoint_name is None or self.endpoint_name == asked.endpoint_name)
            and (self.body_contains is None or self.body_contains.encode() in asked.body)
            and (
                self.custom_attributes_contains is None
                or self.custom_attributes_contains in asked.parameters.get("CustomAttributes", "")
            )
            and (self.inference_id is None or self.inference_id == asked.parameters.get("InferenceId"))
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

    def error(self, endpoint_name: str, model_errors: ModelErrors) -> ServiceFault | None:
        """The API's error that this fault is, if it is one."""
        if self.fault == "capacity":
            return ServiceFault("ValidationError", self.message or _NO_CAPACITY)
        if self.fault == "timeout":
            if self.message is not None:
                return model_errors.worded(endpoint_name, 0, self.message)
            return model_errors.timed_out(endpoint_name)
        if self.fault == "ModelError":
            if self.message is not None:
                return model_errors.worded(endpoint_name, self.original_status_code, self.message)
            return model_errors.refused(endpoint_name, self.original_status_code, _ASKED_FOR)
        if self.fault in ERRORS:
            return ServiceFault(self.fault, self.message or _ASKED_FOR)
        return None

    def answer(self) -> Response | None:
        """What the caller gets in place of an answer; None when it gets the container's after all."""
        if self.fault == "garbage":
            return Garbage(self.garbage_status_code)
        return _BROKEN[self.fault]() if self.fault in _BROKEN else None


class Plan(BaseModel):
    """The rules; the first that strikes decides."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []

    def fault_for(self, asked: Asked) -> Rule | None:
        """The rule that this call falls under, if any."""
        return next((rule for rule in self.rules if rule.strikes(asked)), None)
