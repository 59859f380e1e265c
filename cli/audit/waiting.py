"""Whether a request without an outcome may still get one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from cli.audit.logged import LoggedRequest
from cli.deployment import Deployment
from cli.sqs import WORK_QUEUE_OUTPUTS, message_retention, queue_depth


class Fate(Enum):
    """What becomes of a request without an outcome."""

    PENDING = auto()
    """It is processed, or it is retried soon."""
    MAYBE_QUEUED = auto()
    """It may be one of the messages on the queues, which can't be searched."""
    LOST = auto()
    """No message of it is left."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The queues when the audit `started`.

    `messages` is their number on all queues from which requests are processed, and `retention` how long they keep one.
    What is younger than `grace` may be incomplete.
    """

    started: datetime
    grace: timedelta
    messages: int
    retention: timedelta

    def is_recent(self, moment: datetime) -> bool:
        """Whether something of this time may be incomplete."""
        return moment > self.started - self.grace

    def fate(self, since: datetime, logged: LoggedRequest | None) -> Fate:
        """The fate of a request without an outcome, which was sent at `since` or, if the logs have it, later."""
        last = since if logged is None else max(since, logged.last)
        if self.is_recent(last) or (logged and logged.next_try and self.is_recent(logged.next_try)):
            return Fate.PENDING
        # The parts of a dataset are messages of their own: the last of them was sent when the last one was processed.
        if self.messages and last + self.retention > self.started:
            return Fate.MAYBE_QUEUED
        return Fate.LOST


def look_at_queues(deployment: Deployment, started: datetime, grace: timedelta) -> Waiting:
    """The state of the queues. Raises botocore's errors."""
    urls = [deployment.output(name) for name in WORK_QUEUE_OUTPUTS]
    return Waiting(
        started,
        grace,
        sum(queue_depth(deployment.sqs, url).total for url in urls),
        max(message_retention(deployment.sqs, url) for url in urls),
    )
