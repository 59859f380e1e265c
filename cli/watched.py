"""What `sluice watch` shows: queues, counts for each minute, reasons, the latest outcomes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from cli.logs import EVERYTHING, Event, Line, events
from cli.queues import Depth, depth
from sluice.processing.outcome import Status

QUEUES = {
    "requests": "RequestQueueUrl",
    "split": "SplitQueueUrl",
    "assembly": "AssemblyQueueUrl",
    "crashed": "CrashedQueueUrl",
    "dead letters": "DeadLetterQueueUrl",
}
_COUNTED = {"Done": "Succeeded", "Failed": "DeadLettered", "Retried": "Retried"}
# At the start, without the line of each success: there may be a million. The counts are there at any log level.
_COUNTS_AND_FAILURES = '{ ($._aws.Timestamp > 0) || ($.level = "WARNING") || ($.level = "ERROR") }'
_LATE = timedelta(seconds=30)  # how long CloudWatch Logs may take to show a line
_MINUTE = timedelta(minutes=1)
_LATEST = 10
_AGE = "ApproximateAgeOfOldestMessage"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why requests failed or were retried: `count` of them, and what the last was told."""

    status: str
    error_code: str
    endpoint_name: str | None
    count: int
    last_message: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment. `per_minute` has, for Done, Failed and Retried, the counts of each minute of the period, newest last.

    `oldest_seconds` is the age of each queue's oldest message, where CloudWatch tells it. `note` says what is missing.
    """

    at: datetime
    depths: Mapping[str, Depth]
    oldest_seconds: Mapping[str, float]
    per_minute: Mapping[str, Sequence[int]]
    reasons: Sequence[Reason]
    latest: Sequence[Line]
    note: str | None = None

    def document(self) -> dict[str, Any]:
        """The frame for a program."""
        return {
            "At": self.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "Queues": [
                {
                    "Queue": name,
                    "Visible": one.visible,
                    "InFlight": one.in_flight,
                    "Delayed": one.delayed,
                    "OldestSeconds": self.oldest_seconds.get(name),
                }
                for name, one in self.depths.items()
            ],
            "PerMinute": {name: list(counts) for name, counts in self.per_minute.items()},
            "Reasons": [
                {
                    "Status": one.status,
                    "ErrorCode": one.error_code,
                    "EndpointName": one.endpoint_name,
                    "Count": one.count,
                    "LastMessage": one.last_message,
                }
                for one in self.reasons
            ],
            "Latest": [{"At": line.at.isoformat(), "Status": line.status.value, **line.fields} for line in self.latest],
            "Note": self.note,
        }


class Watcher:
    """Looks at a deployment again and again. `period` is how far back its counts go."""

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
        self._events: dict[str, Event] = {}
        self._read_until: datetime | None = None
        self._ages: tuple[datetime, Mapping[str, float]] | None = None

    def look(self) -> Frame:
        """What there is to see now."""
        now = self._now()
        note = None
        try:
            self._read(now)
        except PermissionError as error:
            note = f"no counts and outcomes: {error}"
        beginning = now - self._minutes * _MINUTE
        self._events = {key: event for key, event in self._events.items() if event.at > beginning}
        lines = [line for event in self._events.values() if (line := event.line) and line.status is not Status.IGNORED]
        lines.sort(key=lambda line: line.at)
        return Frame(
            now,
            {name: depth(self._deployment, self._deployment.output(url)) for name, url in QUEUES.items()},
            self._oldest(now),
            {name: self._counts(name, now) for name in _COUNTED},
            _reasons(lines),
            lines[: -_LATEST - 1 : -1],
            note,
        )

    def _read(self, now: datetime) -> None:
        if self._read_until is None:
            self._keep(_COUNTS_AND_FAILURES, now - self._minutes * _MINUTE)
            self._keep(EVERYTHING, now - _MINUTE)
        else:
            self._keep(EVERYTHING, self._read_until - _LATE)
        self._read_until = now

    def _keep(self, pattern: str, since: datetime) -> None:
        for event in events(self._deployment, pattern, since):
            self._events[event.id] = event

    def _counts(self, name: str, now: datetime) -> list[int]:
        counts = [0] * self._minutes
        # What the other functions bring to an end are files and parts of their work, not requests.
        invoke = self._deployment.output("LogGroupNames").partition(",")[0]
        for event in self._events.values():
            if name == "Done" and event.group != invoke:
                continue
            ago = max(0, int((now - event.at) / _MINUTE))
            if ago < self._minutes:
                counts[-1 - ago] += event.counts.get(_COUNTED[name], 0)
        return counts

    def _oldest(self, now: datetime) -> Mapping[str, float]:
        """The ages, which CloudWatch has once a minute and bills by the question."""
        if self._ages is None or now - self._ages[0] >= _MINUTE:
            self._ages = now, self._ask_ages(now)
        return self._ages[1]

    def _ask_ages(self, now: datetime) -> Mapping[str, float]:
        urls = {f"q{number}": (name, self._deployment.output(url)) for number, (name, url) in enumerate(QUEUES.items())}
        try:
            got = self._deployment.cloudwatch.get_metric_data(
                StartTime=now - 10 * _MINUTE,
                EndTime=now,
                MetricDataQueries=[
                    {
                        "Id": key,
                        "MetricStat": {
                            "Metric": {
                                "Namespace": "AWS/SQS",
                                "MetricName": _AGE,
                                "Dimensions": [{"Name": "QueueName", "Value": url.rpartition("/")[2]}],
                            },
                            "Period": 60,
                            "Stat": "Maximum",
                        },
                    }
                    for key, (_, url) in urls.items()
                ],
                ScanBy="TimestampDescending",
            )
        except ClientError as error:
            if not is_denied(error):
                raise
            return {}
        return {urls[one["Id"]][0]: one["Values"][0] for one in got["MetricDataResults"] if one.get("Values")}


def _reasons(lines: Sequence[Line]) -> list[Reason]:
    """The reasons in `lines`, which are in the order of time; the most frequent first."""
    counts: Counter[tuple[str, str, str | None]] = Counter()
    last: dict[tuple[str, str, str | None], str] = {}
    for line in lines:
        if code := line.fields.get("error_code"):
            key = (line.status.value, code, line.fields.get("endpoint_name"))
            counts[key] += 1
            last[key] = line.fields.get("error_message", "")
    return [Reason(*key, count, last[key]) for key, count in counts.most_common()]
