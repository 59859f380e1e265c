"""The notify function's application: it reads a queue of S3 events about results and failures."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from sluice.concurrency import Runner
from sluice.failures import Failure, ServiceError
from sluice.inputs.delivery import Delivery
from sluice.inputs.s3_events import S3Record, created_records
from sluice.notify.notification import Notification
from sluice.notify.notifier import Notifier
from sluice.telemetry import exception_fields
from sluice.timeouts import NOTIFY_SECONDS

# With less time left no notification is begun: if Lambda ended the function, the whole batch would be published again.
_NEEDED_MS = NOTIFY_SECONDS * 1000


@dataclass(frozen=True, slots=True)
class NotifyApplication:
    """The `Application` of the notify function."""

    notifier: Notifier
    logger: Logger
    metrics: Metrics
    runner: Runner

    async def run(self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]) -> set[str]:
        """Publish a notification for each stored object. Returns the message IDs that SQS may delete."""
        acknowledged = {
            delivery.message_id
            for delivery in deliveries
            if remaining_ms() >= _NEEDED_MS and await self.notify(delivery)
        }
        with suppress(Exception):  # a line that cannot be written must not send the notifications again
            if self.metrics.metric_set:  # S3's test events, for one, leave nothing to count
                self.metrics.flush_metrics()
        return acknowledged

    async def notify(self, delivery: Delivery) -> bool:
        """Publish what a message reports, and log it. False when the message must be delivered again."""
        try:
            for record in created_records(delivery.body):
                self._record(delivery, record, await self.notifier.notify(record))
        except (Failure, ServiceError) as error:
            reason = {"error_code": error.code, "error_message": error.message[:1024]}
            self.logger.error("not notified", extra={"message_id": delivery.message_id, **reason})  # noqa: TRY400 - foreseen: its traceback adds nothing
        except Exception as error:  # noqa: BLE001 - one message must not fail the batch
            fields = {"message_id": delivery.message_id, **exception_fields(error)}
            self.logger.error("not notified", extra=fields)  # noqa: TRY400 - its own traceback has the error's text
        else:
            return True
        self.metrics.add_metric("NotificationsFailed", MetricUnit.Count, 1)
        return False

    def _record(self, delivery: Delivery, record: S3Record, notification: Notification | None) -> None:
        about = {"message_id": delivery.message_id, "result": record.key}
        if notification is None:
            self.logger.warning("nothing to notify of", extra=about)
            return
        fields: dict[str, str | None] = {
            **about,
            "trace_id": notification.attributes.get("TraceId"),
            "inference_id": notification.inference_id,
            "endpoint_name": notification.attributes.get("EndpointName"),
            "invocation_status": notification.attributes["InvocationStatus"],
            "error_code": notification.attributes.get("ErrorCode"),
        }
        self.logger.info("notified", extra={name: value for name, value in fields.items() if value is not None})
        self.metrics.add_metric("Notified", MetricUnit.Count, 1)
