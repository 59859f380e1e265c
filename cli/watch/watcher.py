"""Collects what `sluice watch` shows: from the queues, the logs of the functions, and CloudWatch."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from cli.logs import ALL_EVENTS, LogEvent, LoggedOutcome, log_events
from cli.sqs import queue_depth
from cli.watch.snapshot import Reason, Snapshot
from sluice.processing.outcome import Status

QUEUES = {
    "requests": "RequestQueueUrl",
    "parts": "PartQueueUrl",
    "split": "SplitQueueUrl",
    "assembly": "AssemblyQueueUrl",
    "crashed": "CrashedQueueUrl",
    "dead letters": "DeadLetterQueueUrl",
    "notifications": "NotificationQueueUrl",
    "failed notifications": "NotificationDeadLetterQueueUrl",
}
"""The queues, in the order in which they are shown, and the stack outputs with their URLs. Those of the notifications
are there only if the deployment publishes notifications."""
_METRICS = {"Done": "Succeeded", "Failed": "DeadLettered", "Retried": "Retried"}
# For the whole period, the lines of successes are left out: there may be a million. The metrics count them.
_METRICS_AND_FAILURES = '{ ($._aws.Timestamp > 0) || ($.level = "WARNING") || ($.level = "ERROR") }'
_LOG_DELAY = timedelta(seconds=30)  # how long CloudWatch Logs may take until a line can be found
_MINUTE = timedelta(minutes=1)
_MAX_LATEST = 10


class Watcher:
    """Takes snapshots of a deployment. `period` is how far back its counts go."""

    def __init__(
        self,
        deployment: Deployment,
        period: timedelta,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._deployment = deployment
        self._minutes = max(1, round(period / _MINUTE))
        self._now = now
        self._events: dict[str, LogEvent] = {}
        self._read_until: datetime | None = None
        self._ages: tuple[datetime, Mapping[str, float]] | None = None

    def snapshot(self) -> Snapshot:
        """The current state. Raises botocore's errors."""
        now = self._now()
        note = None
        try:
            self._read_logs(now)
        except PermissionError as error:
            note = f"no counts and outcomes: {error}"
        since = now - self._minutes * _MINUTE
        self._events = {key: event for key, event in self._events.items() if event.at > since}
        outcomes = [outcome for event in self._events.values() if (outcome := event.outcome)]
        outcomes = [outcome for outcome in outcomes if outcome.status is not Status.IGNORED]
        outcomes.sort(key=lambda outcome: outcome.at)
        return Snapshot(
            at=now,
            depths={name: queue_depth(self._deployment.sqs, url) for name, url in self._queue_urls().items()},
            oldest_seconds=self._oldest_seconds(now),
            per_minute={name: self._counts_per_minute(name, now) for name in _METRICS},
            reasons=_count_reasons(outcomes),
            latest=outcomes[: -_MAX_LATEST - 1 : -1],
            note=note,
        )

    def _queue_urls(self) -> Mapping[str, str]:
        outputs = self._deployment.outputs
        return {
            name: self._deployment.output(output)
            for name, output in QUEUES.items()
            if output in outputs or not output.startswith("Notification")
        }

    def _read_logs(self, now: datetime) -> None:
        if self._read_until is None:
            self._read_events(_METRICS_AND_FAILURES, now - self._minutes * _MINUTE)
            self._read_events(ALL_EVENTS, now - _MINUTE)
        else:
            self._read_events(ALL_EVENTS, self._read_until - _LOG_DELAY)
        self._read_until = now

    def _read_events(self, pattern: str, since: datetime) -> None:
        for event in log_events(self._deployment, pattern, since):
            self._events[event.id] = event

    def _counts_per_minute(self, name: str, now: datetime) -> list[int]:
        counts = [0] * self._minutes
        # The other functions complete files and steps of their processing, which are not requests to an endpoint.
        invoke_group = self._deployment.output("LogGroupNames").partition(",")[0]
        for event in self._events.values():
            if name == "Done" and event.group != invoke_group:
                continue
            minutes_ago = max(0, int((now - event.at) / _MINUTE))
            if minutes_ago < self._minutes:
                counts[-1 - minutes_ago] += event.counts.get(_METRICS[name], 0)
        return counts

    def _oldest_seconds(self, now: datetime) -> Mapping[str, float]:
        """The ages, requested at most once a minute: CloudWatch has no newer values, and charges per request."""
        if self._ages is None or now - self._ages[0] >= _MINUTE:
            self._ages = now, self._request_ages(now)
        return self._ages[1]

    def _request_ages(self, now: datetime) -> Mapping[str, float]:
        urls = {f"q{number}": pair for number, pair in enumerate(self._queue_urls().items())}
        try:
            response = self._deployment.cloudwatch.get_metric_data(
                StartTime=now - 10 * _MINUTE,
                EndTime=now,
                MetricDataQueries=[
                    {
                        "Id": query_id,
                        "MetricStat": {
                            "Metric": {
                                "Namespace": "AWS/SQS",
                                "MetricName": "ApproximateAgeOfOldestMessage",
                                "Dimensions": [{"Name": "QueueName", "Value": url.rpartition("/")[2]}],
                            },
                            "Period": 60,
                            "Stat": "Maximum",
                        },
                    }
                    for query_id, (_, url) in urls.items()
                ],
                ScanBy="TimestampDescending",
            )
        except ClientError as error:
            if not is_denied(error):
                raise
            return {}
        results = response["MetricDataResults"]
        return {urls[result["Id"]][0]: result["Values"][0] for result in results if result.get("Values")}


def _count_reasons(outcomes: Sequence[LoggedOutcome]) -> list[Reason]:
    """The reasons in `outcomes`, which are sorted by time; the most frequent first."""
    counts: Counter[tuple[str, str, str | None]] = Counter()
    last_messages: dict[tuple[str, str, str | None], str] = {}
    for outcome in outcomes:
        if code := outcome.fields.get("error_code"):
            key = (outcome.status.value, code, outcome.fields.get("endpoint_name"))
            counts[key] += 1
            last_messages[key] = outcome.fields.get("error_message", "")
    return [Reason(*key, count, last_messages[key]) for key, count in counts.most_common()]
