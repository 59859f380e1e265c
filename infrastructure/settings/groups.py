"""The groups of settings: the nested objects of `sluice`. Each checks what it can see by itself."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infrastructure.errors import SettingProblem
from infrastructure.settings.types import (
    AccountId,
    AnswerFormatName,
    EmailAddress,
    ErrorThresholdText,
    JsonPath,
    LogDays,
    ModelStatus,
    OrganizationId,
    SecurityGroupId,
    SubnetId,
    Topic,
    UrlPath,
)
from infrastructure.timeouts import (
    CALL_OVERHEAD_SECONDS,
    CONTAINER_TIMEOUT_SECONDS,
    MAX_FUNCTION_TIMEOUT_SECONDS,
    MAX_VISIBILITY_TIMEOUT_SECONDS,
)

_MAX_PRINCIPALS = 50  # SQS Developer Guide, "Amazon SQS policy quotas"


class Group(BaseModel):
    """What all settings objects have in common: no unknown keys, no conversions between types, no later changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Function(Group):
    """The Lambda functions. `memory_mb` is for those that call endpoints; the other settings hold for all."""

    memory_mb: Annotated[int, Field(ge=128, le=10_240)] = 512
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    transport: Literal["lean", "boto3"] = "lean"
    snap_start: bool = False


class Timeouts(Group):
    """The timeouts, in seconds. None means that the value is derived."""

    read_seconds: Annotated[
        int, Field(gt=CONTAINER_TIMEOUT_SECONDS, le=MAX_FUNCTION_TIMEOUT_SECONDS - CALL_OVERHEAD_SECONDS)
    ] = 70
    function_seconds: Annotated[int, Field(ge=1, le=MAX_FUNCTION_TIMEOUT_SECONDS)] | None = None
    visibility_seconds: Annotated[int, Field(ge=1, le=MAX_VISIBILITY_TIMEOUT_SECONDS)] | None = None


class Retry(Group):
    """How often and after how long a request is retried, when a retry can help."""

    max_receive_count: Annotated[int, Field(ge=2, le=500)] = 20  # SQS: 1000, which is that of the crashed queue
    base_seconds: Annotated[int, Field(ge=1, le=MAX_VISIBILITY_TIMEOUT_SECONDS)] = 5
    cap_seconds: Annotated[int, Field(ge=1, le=MAX_VISIBILITY_TIMEOUT_SECONDS)] = 900

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cap_seconds < self.base_seconds:
            raise SettingProblem("cap_seconds", f"must be at least sluice.retry.base_seconds, {self.base_seconds}")
        return self


class ModelRetry(Group):
    """Which of the model's errors are retried, by the container's status, and after how many receives they are not.

    If `attempts` is None, it is derived.
    """

    statuses: list[ModelStatus] = []
    attempts: Annotated[int, Field(ge=1, le=1000)] | None = None


class Retention(Group):
    """How many days messages, objects and logs are kept."""

    request_days: Annotated[int, Field(ge=1, le=13)] = 13  # SQS deletes a message after it, and says nothing
    dead_letter_days: Annotated[int, Field(ge=2, le=14)] = 14
    noncurrent_version_days: Annotated[int, Field(ge=1)] = 30
    part_days: Annotated[int, Field(ge=1)] = 7
    log_days: LogDays = 30

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.dead_letter_days <= self.request_days:
            raise SettingProblem(
                "dead_letter_days", f"must be greater than sluice.retention.request_days, {self.request_days}"
            )
        return self


class Senders(Group):
    """AWS accounts, or a whole organization, that may send to the request queue."""

    account_ids: list[AccountId] = []
    organization_id: OrganizationId | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.account_ids)) < len(self.account_ids):
            raise SettingProblem("account_ids", "names an account twice; name each once")
        if len(self.account_ids) > _MAX_PRINCIPALS:
            raise SettingProblem(
                "account_ids",
                f"names {len(self.account_ids)} accounts; the policy of a queue holds {_MAX_PRINCIPALS} principals: "
                "write sluice.senders.organization_id",
            )
        return self


class Notifications(Group):
    """What is published when a result or a failure is stored."""

    success_topic: Topic = False
    error_topic: Topic = False
    event_bridge: bool = False

    @property
    def topics(self) -> bool:
        """Whether any topic is set, so that a queue and the notify function are needed."""
        return bool(self.success_topic or self.error_topic)


class Network(Group):
    """The VPC of the functions. Both lists are empty, or neither."""

    subnet_ids: list[SubnetId] = []
    security_group_ids: list[SecurityGroupId] = []

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.subnet_ids) != bool(self.security_group_ids):
            missing = "security_group_ids" if self.subnet_ids else "subnet_ids"
            raise SettingProblem(missing, "is missing; functions in a VPC need both subnets and security groups")
        for key, most in (("subnet_ids", 16), ("security_group_ids", 5)):  # Lambda API Reference, VpcConfig
            if len(getattr(self, key)) > most:
                raise SettingProblem(key, f"names {len(getattr(self, key))}; Lambda takes {most}")
        return self


class Alarms(Group):
    """The CloudWatch alarms: thresholds, and the topic or address that is notified."""

    enabled: bool = True
    topic: Topic = False
    email: EmailAddress | None = None
    age_minutes: Annotated[int, Field(ge=1)] = 60
    backlog: Annotated[int, Field(ge=1)] = 10_000
    failures: Annotated[int, Field(ge=1)] = 10
    composite: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.topic, str) and self.email is not None:
            raise SettingProblem(
                "email", "leave it out where sluice.alarms.topic is an ARN, and subscribe it to that topic"
            )
        for key in ("topic", "email", "composite"):
            if getattr(self, key) and not self.enabled:
                raise SettingProblem(
                    key, "needs alarms, which are off; leave it out, or set sluice.alarms.enabled to true"
                )
        return self


class Transform(Group):
    """Defaults for files under transform/, under the names of Batch Transform. None leaves the functions' default."""

    SplitType: Literal["Line", "None"] | None = None
    BatchStrategy: Literal["MultiRecord", "SingleRecord"] | None = None
    MaxPayload: Annotated[int, Field(ge=1, le=25)] | None = None
    AssembleWith: Literal["Line", "None"] | None = None
    InputFilter: JsonPath | None = None
    OutputFilter: JsonPath | None = None
    JoinSource: Literal["None", "Input"] | None = None
    CsvHeader: Literal["none", "drop", "repeat"] | bool | None = None
    CsvDelimiter: Literal[",", ";", "\t", "tab", "|"] | None = None
    AnswerFormat: AnswerFormatName | None = None
    ErrorThreshold: ErrorThresholdText | None = None
    RecordFormat: Literal["Line", "OpenAIBatch"] | None = None
    RequestUrl: UrlPath | None = None
