"""Records calls: the counts since the record was last cleared, and the most recent calls."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

_KEPT = 20_000


@dataclass(slots=True)
class Call:
    """One call. `status` is None until there is a response, and remains None if there is none.

    `billed` is true if the container was invoked and returned 2xx.
    """

    endpoint_name: str
    inference_id: str | None = None
    custom_attributes: str | None = None
    fault: str | None = None
    error: str | None = None
    status: int | None = None
    billed: bool = False

    def to_json(self) -> dict[str, Any]:
        """The JSON of `GET /_calls`. Parameters that the caller did not set, and an absent error, are omitted."""
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
    """The calls of an endpoint."""

    _recent: deque[Call] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _counts: Counter[str] = field(default_factory=Counter)

    def begin(self, endpoint_name: str) -> Call:
        """Record a new call."""
        call = Call(endpoint_name)
        self._recent.append(call)
        self._counts["Calls"] += 1
        return call

    def end(self, call: Call) -> None:
        """Count the outcome of a call."""
        self._counts["Billed"] += call.billed
        self._counts["Faults"] += call.fault is not None
        self._counts["Errors"] += call.error is not None

    def to_json(self) -> dict[str, Any]:
        """The counts, and the recent calls, oldest first."""
        counts = {name: self._counts[name] for name in ("Calls", "Billed", "Faults", "Errors")}
        return {"Counts": counts, "Calls": [call.to_json() for call in self._recent]}

    def clear(self) -> None:
        """Clear all calls and counts."""
        self._recent.clear()
        self._counts.clear()
