"""What was called: the counts since the last time it was cleared, and the last calls one by one."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

_KEPT = 20_000


@dataclass(slots=True)
class Call:
    """One call. `status` is None as long as there is no answer, and for good when there never is one.

    `billed` says that the container was invoked and answered 2xx.
    """

    endpoint_name: str
    inference_id: str | None = None
    custom_attributes: str | None = None
    fault: str | None = None
    error: str | None = None
    status: int | None = None
    billed: bool = False

    def to_json(self) -> dict[str, Any]:
        """As `GET /_calls` lists it; what the caller didn't give, and an error that wasn't, are left out."""
        optional = {
            "InferenceId": self.inference_id,
            "CustomAttributes": self.custom_attributes,
            "Error": self.error,
        }
        return {
            "EndpointName": self.endpoint_name,
            "Fault": self.fault,
            "Billed": self.billed,
            "Status": self.status,
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(slots=True)
class Calls:
    """The audit of an endpoint."""

    _recent: deque[Call] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _counts: Counter[str] = field(default_factory=Counter)

    def begin(self, endpoint_name: str) -> Call:
        """Keep a call that has come."""
        call = Call(endpoint_name)
        self._recent.append(call)
        self._counts["Calls"] += 1
        return call

    def end(self, call: Call) -> None:
        """Count what became of it."""
        self._counts["Billed"] += call.billed
        self._counts["Faults"] += call.fault is not None
        self._counts["Errors"] += call.error is not None

    def to_json(self) -> dict[str, Any]:
        """The counts, and the recent calls, oldest first."""
        counts = {name: self._counts[name] for name in ("Calls", "Billed", "Faults", "Errors")}
        return {"Counts": counts, "Calls": [call.to_json() for call in self._recent]}

    def clear(self) -> None:
        """Forget them all."""
        self._recent.clear()
        self._counts.clear()
