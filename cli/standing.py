"""How a request stands, and how that is told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cli.errors import ExitCode


class State(StrEnum):
    """How a request stands."""

    PENDING = "pending"
    RETRYING = "retrying"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """A newer upload of the same key is answered instead."""
    GONE = "gone"
    """It was answered, but the answer has been deleted since."""
    UNKNOWN = "unknown"

    @property
    def has_ended(self) -> bool:
        """Whether there is an outcome, and nothing to wait for."""
        return self not in {State.PENDING, State.RETRYING, State.UNKNOWN}

    @property
    def exit_code(self) -> ExitCode:
        """What a script learns of it."""
        return {
            State.PENDING: ExitCode.PENDING,
            State.RETRYING: ExitCode.PENDING,
            State.FAILED: ExitCode.FAILED,
            State.EXPIRED: ExitCode.FAILED,
            State.GONE: ExitCode.NOT_FOUND,
            State.UNKNOWN: ExitCode.NOT_FOUND,
        }.get(self, ExitCode.OK)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands. `name` is its result's key without `.out` or `.err`; `facts` are what else is known."""

    state: State
    name: str
    facts: Mapping[str, Any]

    @property
    def has_ended(self) -> bool:
        """Whether there is an outcome."""
        return self.state.has_ended

    @property
    def reason(self) -> str | None:
        """Why it failed or is retried, in one line."""
        code = self.facts.get("ErrorCode")
        if code is None:
            return self.facts.get("Detail")
        # What the model itself said, without SageMaker's words around it.
        if said := self.facts.get("OriginalMessage"):
            return f"{code} {self.facts.get('OriginalStatusCode')}: {said}"
        return f"{code}: {self.facts.get('ErrorMessage')}"

    def document(self) -> dict[str, Any]:
        """All of it, as it is printed."""
        told = {key: _told(value) for key, value in self.facts.items()}
        return {"State": self.state.value, "Name": self.name, **told}


def worst(standings: Iterable[Standing]) -> ExitCode:
    """One exit code for several requests: a failure before what can't be found, and that before what is pending."""
    codes = {standing.state.exit_code for standing in standings}
    return next(
        (code for code in (ExitCode.FAILED, ExitCode.NOT_FOUND, ExitCode.PENDING) if code in codes), ExitCode.OK
    )


def _told(value: Any) -> Any:
    """AWS's way of writing an instant; all else as it is."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds").replace("+00:00", "Z")
    return value
