"""The result of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The possible results of a check."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "can't tell"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check: what was checked, the verdict, an explanation, and how to correct a fault."""

    check: str
    verdict: Verdict
    explanation: str
    remedy: str | None = None


def ok(check: str, explanation: str) -> Finding:
    """A finding without a fault."""
    return Finding(check, Verdict.OK, explanation)


def wrong(check: str, explanation: str, remedy: str) -> Finding:
    """A finding with a fault."""
    return Finding(check, Verdict.WRONG, explanation, remedy)


def unknown(check: str, explanation: str, remedy: str | None = None) -> Finding:
    """A finding when AWS does not return what is needed, or the credentials do not permit reading it."""
    return Finding(check, Verdict.UNKNOWN, explanation, remedy)
