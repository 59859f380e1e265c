"""One log line and a few metrics for each outcome: IDs, names and reasons, but no payload and no custom attribute."""

from collections import Counter

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from sluice.error_codes import FailureClass
from sluice.processing.outcome import Outcome, Status

_COUNTED = {
    Status.SUCCEEDED: "Succeeded",
    Status.DUPLICATE: "Duplicates",
    Status.SUPERSEDED: "Superseded",
    Status.IGNORED: "Ignored",
    Status.DEAD_LETTERED: "DeadLettered",
    Status.RETRY: "Retried",
}


class Telemetry:
    """Logs and counts outcomes, with Powertools. Metrics have one dimension, `service`: the deployment."""

    def __init__(self, logger: Logger, metrics: Metrics) -> None:
        self._logger = logger
        self._metrics = metrics
        self._counts: Counter[str] = Counter()  # of this batch: adding a metric costs far more than counting

    def record(self, outcome: Outcome) -> None:
        """Log `outcome` and count it."""
        fields = _fields(outcome)
        if outcome.error is not None:
            self._logger.error(outcome.status.value, exc_info=outcome.error, extra=fields)
        elif outcome.failure is not None:
            self._logger.warning(outcome.status.value, extra=fields)
        else:
            self._logger.info(outcome.status.value, extra=fields)
        self._counts[_COUNTED[outcome.status]] += 1
        if outcome.failure is not None:
            self._counts[_failures(outcome.failure.failure_class)] += 1
        if outcome.model_latency is not None:
            self._metrics.add_metric(
                "ModelLatency", MetricUnit.Milliseconds, outcome.model_latency.total_seconds() * 1000
            )

    def flush(self) -> None:
        """Write the metrics, as one line in Embedded Metric Format."""
        for name, count in self._counts.items():
            self._metrics.add_metric(name, MetricUnit.Count, count)
        self._counts.clear()
        self._metrics.flush_metrics()


def _failures(failure_class: FailureClass) -> str:
    return f"{failure_class.value.capitalize()}Failures"


def _fields(outcome: Outcome) -> dict[str, object]:
    identity, failure = outcome.identity, outcome.failure
    fields: dict[str, object | None] = {
        "message_id": outcome.message_id,
        "trace_id": identity.trace_id if identity else outcome.message_id,
        "inference_id": identity.inference_id if identity else None,
        "result": identity.name if identity else None,
        "endpoint_name": outcome.endpoint_name,
        "detail": outcome.detail,
        "failure_class": failure.failure_class.value if failure else None,
        "error_code": failure.code if failure else None,
        "error_message": failure.message[:1024] if failure else None,
        "retry_after_seconds": outcome.retry_after_seconds,
        "model_latency_ms": round(outcome.model_latency.total_seconds() * 1000) if outcome.model_latency else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
