"""Which operation fails, and how: by the seed, by what is operated on, and by how often it was operated on before."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from tests.simulation.dice import Dice

KINDS = (
    "kills",
    "storage",
    "endpoint",
    "visibility",
    "duplicates",
    "late",
    "storms",
    "redrives",
    "hostile",
    "versions",
)
"""Worker kills; S3 and SQS calls that fail; InvokeEndpoint calls that fail; short visibility timeouts; messages that
come again after they were deleted, and S3 events that come twice; slow events and calls; times in which a service
refuses everything; an operator's redrives; a hostile sender; functions of an earlier version, which send parts to the
request queue. Each can be switched off."""

Kill = Literal["before", "after"]
Fault = Literal["refused", "dropped", "lost", "repeated"]
"""The service refuses; the request never arrives; the response does not come; the client has made the call again."""

_KILLS = 0.0003  # of the operations, before and after each
_KILL_RATES = {"DeleteObject": 10.0, "InvokeEndpoint": 4.0, "SendMessage": 4.0, "SendMessageBatch": 25.0}  # relative
_FAULTS: tuple[tuple[Fault, float], ...] = (("refused", 0.012), ("dropped", 0.004), ("lost", 0.008), ("repeated", 0.01))
_SLOW = 0.004
_CONFLICT_SECONDS, _CONFLICTS = 0.5, 0.02  # how long another write of an object takes, and how often there is one
_STORM_EVERY, _STORM_SECONDS = 400.0, 40.0
_STORMS = 0.25  # of the periods have one


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one operation. `there` and `back` are how long the request and the response take, in seconds."""

    there: float
    back: float
    fault: Fault | None = None
    kill: Kill | None = None


@dataclass
class Faults:
    """The faults of a run. `off` are the kinds that do not occur. After `end`, none occurs."""

    dice: Dice
    off: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    is_over: bool = False
    _seen: Counter[str] = field(default_factory=Counter)

    def on(self, kind: str) -> bool:
        """Whether a kind of faults occurs now."""
        return not self.is_over and kind not in self.off

    def number(self, name: str) -> int:
        """How often this was called with the name before."""
        self._seen[name] += 1
        return self._seen[name] - 1

    def of_operation(self, service: str, operation: str, subject: str, now: float, *, kill_rate: float = 1.0) -> Fate:
        """The fate of an operation on S3 or SQS. `kill_rate` is relative to the usual one."""
        name = f"{operation} {subject}"
        number = self.number(name)
        fault, kill, slow, time = self.dice.fractions(f"{name} {number}")
        there, back = 0.005 + 0.02 * time, 0.005 + 0.02 * (1 - time)
        if slow < _SLOW and self.on("late"):
            there, back = there + 30 * time, back + 20 * (1 - time)
        return Fate(there, back, self._fault(service, fault, now), self._kill(operation, kill, kill_rate))

    def kill_of(self, operation: str, subject: str, *, kill_rate: float) -> Kill | None:
        """Whether the worker is killed before or after an operation. `kill_rate` is relative to the usual one."""
        name = f"{operation} {subject}"
        return self._kill(operation, self.dice.fraction(f"kill {name} {self.number(name)}"), kill_rate)

    def is_storm(self, service: str, now: float) -> bool:
        """Whether a service refuses everything now."""
        return self.on("storms") and self.was_storm(service, now)

    def was_storm(self, service: str, now: float) -> bool:
        """Whether a service refused everything at a time before the end of the faults, if storms were on."""
        period, second = divmod(now, _STORM_EVERY)
        begins, occurs = self.dice.fractions(f"storm {service} {period:.0f}", 2)
        begin = begins * (_STORM_EVERY - _STORM_SECONDS)
        return occurs < _STORMS and begin <= second < begin + _STORM_SECONDS

    def occurs(self, kind: str, name: str, share: float) -> bool:
        """Whether a fault of a kind occurs, which `share` of the names have."""
        return self.on(kind) and self.dice.fraction(f"{kind} {name}") < share

    def conflicts(self, key: str, now: float) -> bool:
        """Whether another write of an object is in progress, so that conditional ones are refused. It fails, too."""
        is_in_progress = self.occurs("storage", f"conflict {key} {now // _CONFLICT_SECONDS:.0f}", _CONFLICTS)
        self.counts["conditional writes that conflicted"] += is_in_progress
        return is_in_progress

    def _fault(self, service: str, fraction: float, now: float) -> Fault | None:
        if self.is_storm(service, now):
            return "refused"
        if self.on("storage"):
            for fault, share in _FAULTS:
                if fraction < share:
                    self.counts[f"S3 and SQS calls {fault}"] += 1
                    return fault
                fraction -= share
        return None

    def _kill(self, operation: str, fraction: float, rate: float) -> Kill | None:
        share = _KILLS * rate * _KILL_RATES.get(operation, 1.0)
        if not self.on("kills") or fraction >= 2 * share:
            return None
        return "before" if fraction < share else "after"
