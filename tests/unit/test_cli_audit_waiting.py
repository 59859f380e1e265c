"""Whether a request without an outcome may still get one."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.audit.logged import LoggedRequest
from cli.audit.waiting import Fate, Waiting
from sluice.processing.outcome import Status

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def retried(last: timedelta, next_try: timedelta | None = None) -> LoggedRequest:
    """A request whose last line is `last` ago, and whose next attempt is due in `next_try`."""
    at = NOW - last
    due = None if next_try is None else NOW + next_try
    return LoggedRequest("messages/a", "a", at, Status.RETRY, "m", None, due, is_final=False)


@pytest.mark.parametrize(
    ("messages", "age", "logged", "fate"),
    [
        (0, 9 * MINUTE, None, Fate.PENDING),
        (0, 10 * MINUTE, None, Fate.LOST),
        (1, 10 * MINUTE, None, Fate.MAYBE_QUEUED),
        (1, 4 * DAY - MINUTE, None, Fate.MAYBE_QUEUED),
        (1, 4 * DAY, None, Fate.LOST),
        (0, DAY, retried(9 * MINUTE), Fate.PENDING),
        (0, DAY, retried(60 * MINUTE, MINUTE), Fate.PENDING),
        (0, DAY, retried(60 * MINUTE, -9 * MINUTE), Fate.PENDING),
        (0, DAY, retried(60 * MINUTE, -10 * MINUTE), Fate.LOST),
        (1, 9 * DAY, retried(60 * MINUTE), Fate.MAYBE_QUEUED),
        (1, 9 * DAY, retried(4 * DAY), Fate.LOST),
    ],
)
def test_fate(messages: int, age: timedelta, logged: LoggedRequest | None, fate: Fate) -> None:
    waiting = Waiting(NOW, 10 * MINUTE, messages, 4 * DAY)
    assert waiting.fate(NOW - age, logged) is fate
