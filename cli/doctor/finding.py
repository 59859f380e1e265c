"""What a check finds."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "can't tell"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and, where it is wrong, what to do about it."""

    check: str
    state: State
    says: str
    do: str | None = None


def ok(check: str, says: str) -> Finding:
    """It is as it should be."""
    return Finding(check, State.OK, says)


def wrong(check: str, says: str, do: str) -> Finding:
    """It isn't."""
    return Finding(check, State.WRONG, says, do)


def unknown(check: str, says: str, do: str | None = None) -> Finding:
    """AWS doesn't say, or not to us."""
    return Finding(check, State.UNKNOWN, says, do)
