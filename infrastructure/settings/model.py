"""The settings as one checked object, and the values that are derived from them.

The user states what they know: the endpoints, and how many requests they may receive at once. The concurrency of each
function and the ladder of timeouts are derived from it. Every value is checked before anything is synthesized.
"""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from infrastructure.endpoints import Endpoint, check_endpoints
from infrastructure.errors import SettingProblem, SettingsError
from infrastructure.memory import bodies_at_once, least_memory_mb
from infrastructure.settings.context import merged, parsed
from infrastructure.settings.explain import explain
from infrastructure.settings.groups import (
    Alarms,
    Function,
    Group,
    ModelRetry,
    Network,
    Notifications,
    Retention,
    Retry,
    Senders,
    Timeouts,
    Transform,
)
from infrastructure.settings.types import BucketName, ContentType, CustomAttributesTemplate, DeploymentName, KeyArn
from infrastructure.timeouts import CALL_OVERHEAD_SECONDS, MAX_FUNCTION_TIMEOUT_SECONDS, least_visibility_timeout

_SECONDS_PER_DAY = 86_400
_MAX_BATCH_WITHOUT_WINDOW = 10  # CreateEventSourceMapping API page, BatchSize
_MODEL_ATTEMPTS = 6  # with the default waits, for a minute and a half: a container starts again in that time
# Lambda, ScalingConfig.MaximumConcurrency: 2 to 1000. So each function that calls endpoints makes at least two calls.
_LEAST_CONCURRENCY = 2
_MAX_EVENT_SOURCE_CONCURRENCY = 1000


class Settings(Group):
    """The settings. The defaults suit endpoints that respond within a minute."""

    deployment_name: DeploymentName = "Sluice"
    endpoint_names: Annotated[list[Endpoint], AfterValidator(check_endpoints)]
    default_endpoint_name: str | None = None
    concurrent_requests: Annotated[int, Field(ge=_LEAST_CONCURRENCY, le=10_000)] = 20
    concurrent_dataset_requests: Annotated[int, Field(ge=0, le=10_000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 10
    batching_window_seconds: Annotated[int, Field(ge=0, le=300)] = 0
    input_location_buckets: list[BucketName] = []  # noqa: RUF012 - pydantic copies the default
    input_location_key_arns: list[KeyArn] = []  # noqa: RUF012 - likewise
    max_body_bytes: Annotated[int, Field(ge=1, le=26_214_400)] = 6_291_456
    default_content_type: ContentType = "text/csv"
    custom_attributes_template: CustomAttributesTemplate | None = None
    model_messages: bool = True
    kms_key_arn: KeyArn | None = None
    access_logs: bool = False
    retain_data: bool = True
    dashboard: bool = True
    function: Function = Function()
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    model_retry: ModelRetry = ModelRetry()
    retention: Retention = Retention()
    transform: Transform = Transform()
    notifications: Notifications = Notifications()
    senders: Senders = Senders()
    network: Network = Network()
    alarms: Alarms = Alarms()

    @classmethod
    def from_context(cls, from_file: object, given: object = None) -> Self:
        """Return the settings of `from_file`, the object in cdk.json, with those of `given` merged over them.

        `given` is the value of `-c sluice='{…}'`: a dict, its JSON, or None. Objects are merged key by key at every
        depth; any other value, a list too, replaces the one in `from_file`.

        Raises `SettingsError`.
        """
        context = merged(parsed(from_file), parsed(given))
        try:
            return cls.model_validate(context)
        except ValidationError as error:
            raise SettingsError("; ".join(explain(detail, cls) for detail in error.errors())) from None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, problem in self._problems():
            raise SettingProblem(key, problem)
        return self

    def _problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between settings of several groups, as pairs of key and problem."""
        names = [endpoint.name for endpoint in self.endpoints]
        if self.default_endpoint_name is not None and self.default_endpoint_name not in names:
            yield "default_endpoint_name", f"must be one of sluice.endpoint_names: {', '.join(names)}"
        if self.input_location_key_arns and not self.input_location_buckets:
            yield "input_location_key_arns", "are the keys of sluice.input_location_buckets, of which there are none"
        if self.batch_size > _MAX_BATCH_WITHOUT_WINDOW and self.batching_window_seconds < 1:
            yield (
                "batching_window_seconds",
                f"must be at least 1 where sluice.batch_size is over {_MAX_BATCH_WITHOUT_WINDOW} (a rule of Lambda)",
            )
        least, most = _LEAST_CONCURRENCY, self.concurrent_requests - _LEAST_CONCURRENCY
        if self.dataset_requests and not least <= self.dataset_requests <= most:
            yield (
                "concurrent_dataset_requests",
                f"must be 0, because sluice.concurrent_requests is under {2 * least}"
                if most < least
                else f"must be 0, or from {least} to {most}: sluice.concurrent_requests - {least}, for other requests",
            )
        least = least_memory_mb(self.max_body_bytes)
        if self.function.memory_mb < least:
            yield "function.memory_mb", f"must be at least {least}, so that a record of sluice.max_body_bytes fits"
        receives = self.retry.max_receive_count
        if (self.model_retry.attempts or 0) > receives:
            yield "model_retry.attempts", f"must be at most sluice.retry.max_receive_count, {receives}"
        least = self.timeouts.read_seconds + CALL_OVERHEAD_SECONDS
        if self.function_timeout < least:
            why = f"sluice.timeouts.read_seconds + {CALL_OVERHEAD_SECONDS}, so that a call and storing its outcome fit"
            yield "timeouts.function_seconds", f"must be at least {least}, which is {why}"
        least = least_visibility_timeout(self.function_timeout, self.batching_window_seconds)
        if self.visibility_timeout < least:
            why = "6 × the function's timeout + sluice.batching_window_seconds"
            yield "timeouts.visibility_seconds", f"must be at least {least}, which is {why}"
        if self.retention.request_days * _SECONDS_PER_DAY <= self.visibility_timeout:
            yield "retention.request_days", "must be longer than sluice.timeouts.visibility_seconds"
        if self.alarms.age_minutes * 60 > self.retention.request_days * _SECONDS_PER_DAY // 2:
            yield "alarms.age_minutes", "must be at most half of sluice.retention.request_days, at which SQS deletes"

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints that may be called."""
        return self.endpoint_names

    @property
    def default_endpoint(self) -> str:
        """The endpoint for requests that name none."""
        return self.default_endpoint_name or self.endpoints[0].name

    @property
    def function_timeout(self) -> int:
        """The invoke function's timeout in seconds: one call, its connection, and the time to store its outcome."""
        return self.timeouts.function_seconds or min(
            MAX_FUNCTION_TIMEOUT_SECONDS, self.timeouts.read_seconds + CALL_OVERHEAD_SECONDS
        )

    @property
    def part_timeout(self) -> int:
        """The part function's timeout in seconds: twice the invoke function's, so that calls begin in most of it."""
        return min(MAX_FUNCTION_TIMEOUT_SECONDS, 2 * self.function_timeout)

    @property
    def visibility_timeout(self) -> int:
        """The request queue's visibility timeout in seconds."""
        return self.timeouts.visibility_seconds or least_visibility_timeout(
            self.function_timeout, self.batching_window_seconds
        )

    @property
    def dataset_requests(self) -> int:
        """The datasets' share of the concurrent requests. 0: they have no share, and no queue, of their own."""
        if self.concurrent_dataset_requests is not None:
            return self.concurrent_dataset_requests
        half = self.concurrent_requests // 2
        return half if half >= _LEAST_CONCURRENCY else 0

    @property
    def model_attempts(self) -> int:
        """The receives after which a model error that is retried dead-letters its message."""
        return self.model_retry.attempts or min(_MODEL_ATTEMPTS, self.retry.max_receive_count)

    @property
    def concurrent_calls(self) -> int:
        """The number of requests that one invoke function sends at once."""
        return self._calls(self._live_requests)

    @property
    def bodies_at_once(self) -> int:
        """The number of the largest bodies that one function reads at once."""
        return bodies_at_once(self.function.memory_mb, self.max_body_bytes)

    @property
    def maximum_concurrency(self) -> int:
        """The number of invoke functions that run at once."""
        return _functions(self._live_requests, self.concurrent_calls)

    @property
    def concurrent_part_calls(self) -> int:
        """The number of requests that one part function sends at once. 1 if it sends none."""
        return max(1, self._calls(self.dataset_requests))

    @property
    def maximum_part_concurrency(self) -> int:
        """The number of part functions that run at once."""
        return max(_LEAST_CONCURRENCY, _functions(self.dataset_requests, self.concurrent_part_calls))

    @property
    def _live_requests(self) -> int:
        return self.concurrent_requests - self.dataset_requests

    def _calls(self, requests: int) -> int:
        return min(self.batch_size, requests // _LEAST_CONCURRENCY)


def _functions(requests: int, calls: int) -> int:
    return min(_MAX_EVENT_SOURCE_CONCURRENCY, requests // calls)
