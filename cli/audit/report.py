"""What an audit found: violations, what can't be known, and counts."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Check(StrEnum):
    """The checks of an audit."""

    INPUTS = "inputs"
    """The newest version of each input object has one outcome."""
    MESSAGES = "messages"
    """Each other request in the logs has one outcome."""
    DEAD_LETTERS = "dead letters"
    """Each `.err` has a dead letter."""
    OWNERS = "owners"
    """Each outcome of an object is of a version of that object."""
    PARTS = "parts"
    """Each part is of a version of its dataset."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An object or a request for which the guarantee does not hold. `key` is its S3 URI, `remedy` what to do."""

    check: Check
    key: str
    problem: str
    remedy: str


@dataclass(slots=True)
class Unknown:
    """What a check can't know about `count` objects or requests, and why. `example` is the first of them."""

    check: Check
    reason: str
    count: int = 0
    example: str | None = None


@dataclass(slots=True)
class Report:
    """Counts what was checked. `on_violation` is called for each violation. The methods may be called by threads.

    The memory does not depend on the number of violations.
    """

    on_violation: Callable[[Violation], None]
    checked: Counter[Check] = field(default_factory=Counter)
    pending: Counter[Check] = field(default_factory=Counter)
    """Those without an outcome that are too young to have one, or that are retried."""
    violated: Counter[Check] = field(default_factory=Counter)
    _unknown: dict[tuple[Check, str], Unknown] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def unknown(self) -> list[Unknown]:
        """What can't be known, in the order in which it was found."""
        return list(self._unknown.values())

    def add_checked(self, check: Check, count: int = 1) -> None:
        """Count objects or requests that were checked."""
        with self._lock:
            self.checked[check] += count

    def add_pending(self, check: Check) -> None:
        """Count a request that may still get its outcome."""
        with self._lock:
            self.pending[check] += 1

    def add_violation(self, violation: Violation) -> None:
        """Report a violation."""
        with self._lock:
            self.violated[violation.check] += 1
            self.on_violation(violation)

    def add_unknown(self, check: Check, reason: str, example: str | None = None) -> None:
        """Count something that can't be known. `example` identifies it; None when it concerns the whole check."""
        with self._lock:
            unknown = self._unknown.setdefault((check, reason), Unknown(check, reason, example=example))
            unknown.count += example is not None
