"""Deployment settings: the object `sluice` in cdk.json's context, typed and checked; what follows from them is derived.

The user states what they know (endpoints, how many requests they may see at once); concurrency and the ladder of times
are derived from it, and every value is checked before anything is synthesized.
"""

import difflib
import json
import re
import string
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from infrastructure import endpoints
from infrastructure.endpoints import Endpoint, EndpointReference
from infrastructure.errors import SettingsError

__all__ = ["Settings", "SettingsError", "TransformDefaults"]

CONTAINER_TIMEOUT_SECONDS = 60  # SageMaker's, for /invocations (InvokeEndpoint API page)
MAX_MESSAGE_BYTES = 1024 * 1024  # SQS: body and attributes together
REASON_BYTES = 8 * 1024  # kept free in a request, so that its dead-letter message has room for the reason
_AROUND_A_CALL_SECONDS = 20  # to connect before it, to store its outcome after it, and some to spare
_SECONDS_A_DAY = 86_400

KeyArn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$")]
EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroupId = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]{8,17}$")]
BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")  # FIFO's end in .fifo
AccountId = Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
OrganizationId = Annotated[str, StringConstraints(pattern=r"^o-[a-z0-9]{10,32}$")]  # Organizations API, Organization
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]


def _topic(given: object) -> bool | str:
    if isinstance(given, bool) or (isinstance(given, str) and _TOPIC_ARN.fullmatch(given)):
        return given
    raise PydanticCustomError(
        "topic", "must be true for a topic of the stack's own, the ARN of a standard SNS topic, or false"
    )


Topic = Annotated[bool | str, PlainValidator(_topic)]


class TransformDefaults(BaseModel):
    """What holds for files under transform/ that don't say otherwise, under Batch Transform's names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    SplitType: Literal["Line", "None"] | None = None
    BatchStrategy: Literal["MultiRecord", "SingleRecord"] | None = None
    MaxPayload: Annotated[int, Field(ge=1, le=25)] | None = None
    AssembleWith: Literal["Line", "None"] | None = None
    InputFilter: Annotated[str, StringConstraints(pattern=r"^\$", max_length=63)] | None = None
    OutputFilter: Annotated[str, StringConstraints(pattern=r"^\$", max_length=63)] | None = None
    JoinSource: Literal["None", "Input"] | None = None
    CsvHeader: bool | None = None


class Settings(BaseModel):
    """The settings. Defaults suit endpoints that answer within a minute; times are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    deployment_name: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] = "Sluice"
    endpoint_names: Annotated[list[EndpointReference], Field(min_length=1)]
    default_endpoint_name: str | None = None
    concurrent_requests: Annotated[int, Field(ge=2, le=10_000)] = 20
    input_location_buckets: list[BucketName] = []
    sender_accounts: list[AccountId] = []
    sender_organization: OrganizationId | None = None
    max_body_bytes: Annotated[int, Field(ge=1, le=26_214_400)] = 6_291_456
    default_content_type: Annotated[
        str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[\x21-\x7e]+$")
    ] = "text/csv"
    custom_attributes_template: str | None = None
    read_timeout_seconds: Annotated[int, Field(gt=CONTAINER_TIMEOUT_SECONDS, le=900 - _AROUND_A_CALL_SECONDS)] = 70
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)] | None = None
    visibility_timeout_seconds: Annotated[int, Field(ge=1, le=43_200)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 10
    batching_window_seconds: Annotated[int, Field(ge=0, le=300)] = 0
    memory_mb: Annotated[int, Field(ge=128, le=10_240)] = 512
    max_receive_count: Annotated[int, Field(ge=2, le=1000)] = 20
    retry_base_seconds: Annotated[int, Field(ge=1, le=43_200)] = 5
    retry_cap_seconds: Annotated[int, Field(ge=1, le=43_200)] = 900
    request_retention_days: Annotated[int, Field(ge=1, le=13)] = 4
    dead_letter_retention_days: Annotated[int, Field(ge=2, le=14)] = 14
    noncurrent_version_days: Annotated[int, Field(ge=1)] = 30
    part_retention_days: Annotated[int, Field(ge=1)] = 7
    log_retention_days: LogDays = 30
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    transport: Literal["lean", "boto3"] = "lean"
    model_messages: bool = True
    transform: TransformDefaults = TransformDefaults()
    success_topic: Topic = False
    error_topic: Topic = False
    results_event_bridge: bool = False
    snap_start: bool = False
    kms_key_arn: KeyArn | None = None
    vpc_subnet_ids: list[SubnetId] = []
    security_group_ids: list[SecurityGroupId] = []
    access_logs: bool = False
    retain_data: bool = True
    alarms: bool = True
    alarm_topic: Topic = False
    alarm_email: EmailAddress | None = None
    alarm_age_minutes: Annotated[int, Field(ge=1)] = 60
    alarm_backlog: Annotated[int, Field(ge=1)] = 10_000
    alarm_failures: Annotated[int, Field(ge=1)] = 10
    health_alarm: bool = False
    dashboard: bool = True

    @classmethod
    def from_context(cls, from_file: dict[str, Any], given: object = None) -> Self:
        """The settings of cdk.json, or of any dict, with those of `-c sluice='{…}'` over them.

        Raises `SettingsError`.
        """
        try:
            over = json.loads(given) if isinstance(given, str) else given or {}
        except json.JSONDecodeError as error:
            raise SettingsError(f"sluice: is not JSON: {error}") from None
        if not isinstance(over, dict):
            raise SettingsError('sluice: must be an object, such as {"endpoint_names": ["my-endpoint"]}')
        try:
            return cls.model_validate({**from_file, **over})
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(detail) for detail in error.errors())) from None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, problem in self._problems():
            msg = f"{key}: {problem}"
            raise ValueError(msg)
        return self

    def _problems(self) -> Any:
        yield from endpoints.problems(self.endpoints)
        names = [endpoint.name for endpoint in self.endpoints]
        if self.default_endpoint_name is not None and self.default_endpoint_name not in names:
            yield "default_endpoint_name", f"must be one of endpoint_names: {', '.join(names)}"
        if bool(self.vpc_subnet_ids) != bool(self.security_group_ids):
            missing = "security_group_ids" if self.vpc_subnet_ids else "vpc_subnet_ids"
            yield missing, "is missing; functions in a VPC need both subnets and security groups"
        if len(set(self.sender_accounts)) < len(self.sender_accounts):
            yield "sender_accounts", "names an account twice; name each once"
        if self.custom_attributes_template is not None:
            yield from _template_problems(self.custom_attributes_template)
        if self.batch_size > 10 and self.batching_window_seconds < 1:
            yield "batching_window_seconds", "must be at least 1 where batch_size is over 10 (a rule of Lambda's)"
        if self.retry_cap_seconds < self.retry_base_seconds:
            yield "retry_cap_seconds", f"must be at least retry_base_seconds, {self.retry_base_seconds}"
        least = self.read_timeout_seconds + _AROUND_A_CALL_SECONDS
        if self.function_timeout < least:
            why = f"read_timeout_seconds + {_AROUND_A_CALL_SECONDS}, so that a call and storing its outcome fit"
            yield "function_timeout_seconds", f"must be at least {least}, which is {why}"
        least = 6 * self.function_timeout + self.batching_window_seconds
        if self.visibility_timeout < least:
            why = "6 × function_timeout_seconds + batching_window_seconds"
            yield "visibility_timeout_seconds", f"must be at least {least}, which is {why}"
        if self.request_retention_days * _SECONDS_A_DAY <= self.visibility_timeout:
            yield "request_retention_days", "must be longer than visibility_timeout_seconds"
        if self.dead_letter_retention_days <= self.request_retention_days:
            yield "dead_letter_retention_days", f"must be over request_retention_days, {self.request_retention_days}"

        yield from self._alarm_problems()

    def _alarm_problems(self) -> Any:
        if isinstance(self.alarm_topic, str) and self.alarm_email is not None:
            yield "alarm_email", "leave it out where alarm_topic is an ARN, and subscribe it to that topic"
        if self.alarms:
            return
        for key in ("alarm_topic", "alarm_email", "health_alarm"):
            if getattr(self, key):
                yield key, "needs alarms, which are off; leave it out, or set alarms to true"

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints that may be called."""
        return [Endpoint.of(reference) for reference in self.endpoint_names]

    @property
    def default_endpoint(self) -> str:
        """The name of the endpoint of messages that name none."""
        return self.default_endpoint_name or self.endpoints[0].name

    @property
    def function_timeout(self) -> int:
        """Seconds: one call, its connection, and the time to store its outcome."""
        return self.function_timeout_seconds or min(900, self.read_timeout_seconds + _AROUND_A_CALL_SECONDS)

    @property
    def visibility_timeout(self) -> int:
        """Seconds: six times the function's, as Lambda recommends, and the batching window."""
        return self.visibility_timeout_seconds or 6 * self.function_timeout + self.batching_window_seconds

    @property
    def threads(self) -> int:
        """Requests that one function calls the endpoint with at once."""
        return min(self.batch_size, self.concurrent_requests // 2)

    @property
    def maximum_concurrency(self) -> int:
        """Functions that run at once. Lambda takes 2 to 1000 for an SQS event source."""
        return min(1000, self.concurrent_requests // self.threads)


def _template_problems(template: str) -> Any:
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        yield "custom_attributes_template", f"is not a template: {error}"
        return
    if "trace_id" not in fields or not fields <= {"trace_id", "custom_attributes"}:
        yield (
            "custom_attributes_template",
            "must hold {trace_id} and may hold {custom_attributes}, as in '{custom_attributes},trace_id={trace_id}'",
        )
    if not (template.isascii() and template.isprintable()):
        yield "custom_attributes_template", "must be visible ASCII, for it is sent as an HTTP header"


def _explain(detail: Any) -> str:
    """One of pydantic's errors as `sluice.key: what is wrong and what to do`."""
    key = ".".join(str(part) for part in detail["loc"] if not str(part).startswith("constrained-"))
    if detail["type"] == "extra_forbidden":
        known = TransformDefaults.model_fields if key.startswith("transform.") else Settings.model_fields
        close = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        return f"sluice.{key}: is not a setting; {hint}"
    if detail["type"] == "missing":
        return f'sluice.{key}: is missing; set it in cdk.json, such as "{key}": ["my-endpoint"]'
    if detail["type"] == "value_error":
        return f"sluice.{detail['ctx']['error']}"
    return f"sluice.{key}: {detail['msg']}, not {json.dumps(detail['input'], default=str)}"
