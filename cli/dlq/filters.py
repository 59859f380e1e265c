"""Filters for dead letters: reason, endpoint, age and IDs."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from cli.dlq.dead_letter import DeadLetter


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a dead letter must meet. An empty filter matches every dead letter."""

    reasons: Collection[str] = ()
    endpoint_name: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    trace_id: str | None = None
    inference_id: str | None = None

    def matches(self, dead_letter: DeadLetter, now: datetime) -> bool:
        """Whether `dead_letter` meets the conditions. Its age is the time from its failure until `now`."""
        age = now - dead_letter.failed_at
        return (
            (not self.reasons or dead_letter.reason in self.reasons)
            and (self.endpoint_name is None or dead_letter.endpoint_name == self.endpoint_name)
            and (self.older_than is None or age > self.older_than)
            and (self.newer_than is None or age < self.newer_than)
            and (self.trace_id is None or dead_letter.attributes.get("TraceId") == self.trace_id)
            and (self.inference_id is None or dead_letter.attributes.get("InferenceId") == self.inference_id)
        )
