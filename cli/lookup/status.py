"""The status of a request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cli.errors import ExitCode


class RequestState(StrEnum):
    """The states of a request."""

    PENDING = "pending"
    RETRYING = "retrying"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """A newer upload of the same key is answered instead."""
    GONE = "gone"
    """The request was answered, but the result has been deleted."""
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether the request has an outcome."""
        return self not in {RequestState.PENDING, RequestState.RETRYING, RequestState.UNKNOWN}

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a command about this request."""
        return {
            RequestState.PENDING: ExitCode.PENDING,
            RequestState.RETRYING: ExitCode.PENDING,
            RequestState.FAILED: ExitCode.FAILED,
            RequestState.EXPIRED: ExitCode.FAILED,
            RequestState.GONE: ExitCode.NOT_FOUND,
            RequestState.UNKNOWN: ExitCode.NOT_FOUND,
        }.get(self, ExitCode.OK)


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """The status of a request.

    `name` is the key of its result without `.out` or `.err`. `details` are the other fields that are printed, under
    their names in the output; times are datetimes. `etag` is that of the result; None without one.
    """

    state: RequestState
    name: str
    details: Mapping[str, Any]
    etag: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the request has an outcome."""
        return self.state.is_final

    @property
    def reason(self) -> str | None:
        """Why the request failed or is retried, or how many records of a dataset failed."""
        code = self.details.get("ErrorCode")
        if code is None and (failed := self.details.get("RecordsFailed")):
            return f"{failed:,} of {self.details.get('Records', failed):,} records failed; see {self.name}.errors.jsonl"
        if code is None:
            return self.details.get("Detail")
        # The message of the model itself is shorter than the one that SageMaker wraps around it.
        if original := self.details.get("OriginalMessage"):
            return f"{code} {self.details.get('OriginalStatusCode')}: {original}"
        return f"{code}: {self.details.get('ErrorMessage')}"

    def document(self) -> dict[str, Any]:
        """All fields, as they are printed."""
        return {"State": self.state.value, "Name": self.name, **self.details}


def combined_exit_code(statuses: Iterable[RequestStatus]) -> ExitCode:
    """One exit code for several requests: FAILED takes precedence over NOT_FOUND, and that over PENDING."""
    codes = {status.state.exit_code for status in statuses}
    return next(
        (code for code in (ExitCode.FAILED, ExitCode.NOT_FOUND, ExitCode.PENDING) if code in codes), ExitCode.OK
    )
