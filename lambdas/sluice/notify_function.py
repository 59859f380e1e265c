"""The notify function, on the queue where S3 says which results and failures were stored."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from sluice.batch import deliveries_of
from sluice.clients import Clients
from sluice.delivery import Delivery
from sluice.events import S3Record, created
from sluice.failures import Failure, ServiceError
from sluice.notification import Notification
from sluice.notifier import Notifier
from sluice.notify_adapters import S3Outcomes, SnsTopics
from sluice.settings import NotifySettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# What one notification takes at most: two calls, three attempts of each, and the time-outs in `clients`. With less left
# none is begun, as a function that is killed would have the whole batch published again.
_NEEDED_MS = 75_000


@dataclass(frozen=True, slots=True)
class NotifyApplication:
    """What the handler needs."""

    notifier: Notifier
    logger: Logger
    metrics: Metrics

    def told(self, delivery: Delivery) -> bool:
        """Notify of what a message tells of, and log it. False when the message is to be delivered again."""
        try:
            for record in created(delivery.body):
                self._record(delivery, record, self.notifier.notify(record))
        except (Failure, ServiceError) as error:
            reason = {"error_code": error.code, "error_message": error.message[:1024]}
            self.logger.error("not notified", extra={"message_id": delivery.message_id, **reason})  # noqa: TRY400 - foreseen: its traceback says no more
        except Exception:
            self.logger.exception("not notified", extra={"message_id": delivery.message_id})
        else:
            return True
        self.metrics.add_metric("NotificationsFailed", MetricUnit.Count, 1)
        return False

    def _record(self, delivery: Delivery, record: S3Record, notification: Notification | None) -> None:
        about = {"message_id": delivery.message_id, "result": record.key}
        if notification is None:
            self.logger.warning("nothing to notify of", extra=about)
            return
        said = notification.attributes
        fields: dict[str, str | None] = {
            **about,
            "trace_id": said.get("TraceId"),
            "inference_id": notification.inference_id,
            "endpoint_name": said.get("EndpointName"),
            "invocation_status": said["InvocationStatus"],
            "error_code": said.get("ErrorCode"),
        }
        self.logger.info("notified", extra={name: value for name, value in fields.items() if value is not None})
        self.metrics.add_metric("Notified", MetricUnit.Count, 1)


def compose(environment: Mapping[str, str]) -> NotifyApplication:
    """The application that `environment` describes.

    Raises pydantic's `ValidationError` when a setting is missing or wrong.
    """
    settings = NotifySettings.from_environment(environment)
    clients = Clients(connections=1)
    notifier = Notifier(settings, S3Outcomes(clients, settings.results_bucket), SnsTopics(clients))
    return NotifyApplication(notifier, Logger(location=None, serialize_stacktrace=False), Metrics())


class NotifyFunction:
    """The handler."""

    def __init__(self) -> None:
        self.application = functools.cache(lambda: compose(os.environ))
        if "AWS_LAMBDA_RUNTIME_API" in os.environ:  # in Lambda's init phase, as in `function`
            self.application()

    def __call__(self, event: dict[str, Any], context: "LambdaContext") -> dict[str, list[dict[str, str]]]:
        """Notify of each record, and return those that SQS is to deliver again."""
        app = self.application()
        app.logger.append_keys(function_request_id=context.aws_request_id)
        again = [
            delivery.message_id
            for delivery in deliveries_of(event)
            if context.get_remaining_time_in_millis() < _NEEDED_MS or not app.told(delivery)
        ]
        if app.metrics.metric_set:  # S3's test events, for one, leave nothing to count
            app.metrics.flush_metrics()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}
