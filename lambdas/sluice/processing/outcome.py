"""The outcome of one request at one delivery."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from sluice.failures import Failure
from sluice.inputs.identity import Identity


class Status(StrEnum):
    """How a delivery of a request ended."""

    SUCCEEDED = "succeeded"
    DUPLICATE = "duplicate"  # the result of this very request was there already
    SUPERSEDED = "superseded"  # a newer upload of the same key answers instead
    IGNORED = "ignored"  # not a request: a test event, a folder marker
    DEAD_LETTERED = "dead-lettered"
    FAILED_WITH_FILE = "failed-with-file"  # a part of a file that has failed already: the file has one dead letter
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended. `message_id` is the delivery's; `error` is set when an unforeseen error was raised."""

    message_id: str
    status: Status
    identity: Identity | None = None
    endpoint_name: str | None = None
    failure: Failure | None = None
    retry_after_seconds: int | None = None
    model_latency: timedelta | None = None
    detail: str | None = None
    error: Exception | None = field(default=None, compare=False)

    @property
    def acknowledged(self) -> bool:
        """Whether the message may be deleted: its outcome is stored."""
        return self.status is not Status.RETRY
