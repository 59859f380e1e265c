"""A snapshot of a deployment, as `sluice watch` shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.logs import LoggedOutcome
from cli.sqs import QueueDepth
from cli.timefmt import format_utc

ALARMING = frozenset({"crashed", "dead letters", "failed notifications"})
"""The queues that are empty unless something failed."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for failures or retries, the number of outcomes with it, and the last of their messages."""

    status: str
    error_code: str
    endpoint_name: str | None
    count: int
    last_message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a deployment at one time.

    `per_minute` has the counts of Done, Failed and Retried for each minute of the period, the oldest first.
    `oldest_seconds` is the age of the oldest message of each queue for which CloudWatch has it. `note` says what is
    missing.
    """

    at: datetime
    depths: Mapping[str, QueueDepth]
    oldest_seconds: Mapping[str, float]
    per_minute: Mapping[str, Sequence[int]]
    reasons: Sequence[Reason]
    latest: Sequence[LoggedOutcome]
    note: str | None = None

    def document(self) -> dict[str, Any]:
        """The snapshot as a JSON document."""
        return {
            "At": format_utc(self.at),
            "Queues": [
                {
                    "Queue": name,
                    "Visible": depth.visible,
                    "InFlight": depth.in_flight,
                    "Delayed": depth.delayed,
                    "OldestSeconds": self.oldest_seconds.get(name),
                }
                for name, depth in self.depths.items()
            ],
            "PerMinute": {name: list(counts) for name, counts in self.per_minute.items()},
            "Reasons": [
                {
                    "Status": reason.status,
                    "ErrorCode": reason.error_code,
                    "EndpointName": reason.endpoint_name,
                    "Count": reason.count,
                    "LastMessage": reason.last_message,
                }
                for reason in self.reasons
            ],
            "Latest": [
                {"At": format_utc(outcome.at), "Status": outcome.status.value, **outcome.fields}
                for outcome in self.latest
            ],
            "Note": self.note,
        }
