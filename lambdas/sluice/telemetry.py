"""One log line and a few metrics for each outcome: IDs, names and reasons, but no payload and no custom attribute."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from sluice import keys
from sluice.error_codes import FailureClass
from sluice.processing.outcome import Outcome, Status

_COUNTED = {
    Status.SUCCEEDED: "Succeeded",
    Status.DUPLICATE: "Duplicates",
    Status.SUPERSEDED: "Superseded",
    Status.IGNORED: "Ignored",
    Status.DEAD_LETTERED: "DeadLettered",
    Status.FAILED_WITH_FILE: "FailedWithFile",
    Status.RETRY: "Retried",
}
_CAUSES = 5  # errors of which one was raised because of the other, at most
_VALUES = 100  # of a metric in one line of Embedded Metric Format, at most


class Telemetry:
    """Logs and counts outcomes, in the formats of Powertools. Metrics have one dimension, `service`: the deployment.

    No method raises: a line that cannot be written must not change an outcome.

    `trace_header` returns the X-Ray trace header of the invocation, if there is one. `clock` returns seconds since the
    epoch.
    """

    def __init__(
        self,
        logger: Logger,
        metrics: Metrics,
        *,
        trace_header: Callable[[], str | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lines = _Lines(logger, trace_header, clock)
        self._metrics = metrics
        # Of this batch. Metrics are added at its end: `add_metric` formats all previous values of the metric.
        self._counts: Counter[str] = Counter()
        self._latencies_ms: list[float] = []

    def record(self, outcome: Outcome) -> None:
        """Log `outcome` and count it."""
        with suppress(Exception):
            self._log(outcome)
        self._counts[_COUNTED[outcome.status]] += 1
        if outcome.failure is not None:
            self._counts[_failures(outcome.failure.failure_class)] += 1
        if outcome.model_latency is not None:
            self._latencies_ms.append(outcome.model_latency.total_seconds() * 1000)

    def flush(self) -> None:
        """Write the metrics, in Embedded Metric Format: one line, or one for each 100 latencies."""
        with suppress(Exception):
            self._write_metrics()
        self._counts.clear()
        self._latencies_ms.clear()
        self._metrics.metric_set.clear()  # also what could not be written, or is not to be: POWERTOOLS_METRICS_DISABLED

    def _log(self, outcome: Outcome) -> None:
        fields = _fields(outcome)
        level = logging.INFO if outcome.failure is None else logging.WARNING
        if outcome.error is not None:
            level, fields = logging.ERROR, fields | exception_fields(outcome.error)
        self._lines.write(level, outcome.status.value, fields)

    def _write_metrics(self) -> None:
        for name, count in self._counts.items():
            self._metrics.add_metric(name, MetricUnit.Count, count)
        for start in range(0, len(self._latencies_ms), _VALUES):
            self._metrics.metric_set["ModelLatency"] = {
                "Unit": MetricUnit.Milliseconds.value,
                "Value": self._latencies_ms[start : start + _VALUES],
            }
            self._metrics.flush_metrics()
        if self._metrics.metric_set:
            self._metrics.flush_metrics()


class _Lines:
    """Writes the lines that `Logger.log(level, message, extra=fields)` writes, for a sixth of its CPU time.

    Each line is written at once: one that is held back is lost if the function is killed.
    """

    def __init__(self, logger: Logger, trace_header: Callable[[], str | None], clock: Callable[[], float]) -> None:
        self._logger: Any = logger  # it has the methods of logging's loggers, too
        self._trace_header = trace_header
        self._clock = clock
        self._second = -1  # since the epoch
        self._formatted = ("", "")  # the second's timestamp before and after the milliseconds

    def write(self, level: int, message: str, fields: Mapping[str, object]) -> None:
        """Write one line, if the logger is enabled for `level`."""
        if not self._logger.isEnabledFor(level):
            return
        line: dict[str, Any] = {
            **self._logger.get_current_keys(),  # their order is that of the line
            "level": logging.getLevelName(level),
            "message": message,
            "timestamp": self._timestamp(),
            **fields,
        }
        if trace := self._trace_header():
            line["xray_trace_id"] = trace.split(";")[0].replace("Root=", "")
        handler: Any = self._logger.registered_handler
        text = handler.formatter.json_serializer({key: value for key, value in line.items() if value is not None})
        # A lone surrogate, as in a text that was cut within an emoji, has no UTF-8.
        text = text.encode("utf-8", "backslashreplace").decode()
        handler.stream.write(text + handler.terminator)
        handler.flush()

    def _timestamp(self) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            local = time.localtime(second)
            self._formatted = time.strftime("%Y-%m-%d %H:%M:%S,", local), time.strftime("%z", local)
        before, after = self._formatted
        return f"{before}{int(now * 1000) % 1000:03d}{after}"


def exception_fields(error: BaseException) -> dict[str, object]:
    """The log's fields for an unforeseen error, named as by Powertools: its type, and its traceback without any text.

    An error's text may hold content of the request, as that of a `KeyError` does.
    """
    trace: list[str] = []
    one: BaseException | None = error
    while one is not None and len(trace) < _CAUSES:
        frames = "".join(traceback.format_tb(one.__traceback__))
        trace.insert(0, f"Traceback (most recent call last):\n{frames}{type(one).__name__}")
        one = one.__cause__ or one.__context__
    return {"exception": "\n\n".join(trace), "exception_name": type(error).__name__}


def _failures(failure_class: FailureClass) -> str:
    return f"{failure_class.value.capitalize()}Failures"


def _owner(outcome: Outcome) -> str | None:
    """The version of the object that the request is about. Other lines say by their IDs which request they are of."""
    identity = outcome.identity
    if identity is None or identity.error_name.startswith(keys.MESSAGES_PREFIX):
        return None
    return identity.owner


def _fields(outcome: Outcome) -> dict[str, object]:
    identity, failure = outcome.identity, outcome.failure
    fields: dict[str, object | None] = {
        "message_id": outcome.message_id,
        "trace_id": identity.trace_id if identity else outcome.message_id,
        "inference_id": identity.inference_id if identity else None,
        "result": identity.name if identity else None,
        "owner": _owner(outcome),
        "endpoint_name": outcome.endpoint_name,
        "detail": outcome.detail,
        "failure_class": failure.failure_class.value if failure else None,
        "error_code": failure.code if failure else None,
        "error_message": failure.message[:1024] if failure else None,
        "retry_after_seconds": outcome.retry_after_seconds,
        "model_latency_ms": round(outcome.model_latency.total_seconds() * 1000) if outcome.model_latency else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
