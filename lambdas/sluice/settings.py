"""The settings of the functions, which the deployment puts in their environment."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PREFIX = "SLUICE_"

CRASHED_RECEIVES = 2
"""The maxReceiveCount of the crashed queue, as a multiple of `max_receive_count`, the one of the queues before it.

SQS counts a message's receives. It is not documented whether the count begins anew when SQS moves the message to
another queue. If it does not, a message arrives with the count of the queue before, and must be received nevertheless.
"""


def _split(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part in value.split(",") if part) if isinstance(value, str) else value


def _loaded(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class _Environment(BaseModel):
    """Settings. `infrastructure` derives and checks them; this only parses them."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The settings in `environment`, each with its name in capitals after `SLUICE_`.

        Raises pydantic's `ValidationError` when one is missing or wrong.
        """
        return cls.model_validate(
            {
                name: environment[variable]
                for name in cls.model_fields
                if (variable := PREFIX + name.upper()) in environment
            }
        )


class NotifySettings(_Environment):
    """The notify function's settings. A topic that is None gets no notifications."""

    input_bucket: str
    results_bucket: str
    success_topic_arn: str | None = None
    error_topic_arn: str | None = None


class Settings(_Environment):
    """The other functions' settings."""

    endpoint_names: Names = Field(min_length=1)
    default_endpoint_name: str
    input_bucket: str
    input_location_buckets: Names = ()
    results_bucket: str
    source_queue_url: str
    dead_letter_queue_url: str
    request_queue_url: str
    assembly_queue_url: str
    internal_senders: Names = ()  # role IDs of the functions that send messages to each other; nobody, if empty
    max_receive_count: int = Field(ge=1)
    retry_base_seconds: float = Field(gt=0)
    retry_cap_seconds: float = Field(gt=0, le=43200)
    max_body_bytes: int = Field(gt=0)
    default_content_type: str
    custom_attributes_template: str | None = None
    read_timeout_seconds: float = Field(gt=0)
    concurrent_calls: int = Field(ge=1)
    concurrent_functions: int = Field(default=1, ge=1)  # that process parts
    transport: Literal["lean", "boto3"] = "lean"
    model_messages: bool = True
    transform_defaults: Annotated[dict[str, Any], BeforeValidator(_loaded)] = Field(default_factory=dict)

    def may_read(self, bucket: str) -> bool:
        """Whether inputs may be read from `bucket`."""
        return bucket == self.input_bucket or bucket in self.input_location_buckets
