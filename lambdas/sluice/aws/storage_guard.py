"""Before a call that is billed: whether its answer can be stored, as far as earlier answers have shown."""

from sluice.concurrency import now
from sluice.error_codes import FailureClass
from sluice.failures import ServiceError, classify

PAUSE_SECONDS = 30.0


class StorageGuard:
    """Remembers that S3 refused to store a result, until it stores one again.

    A disabled key or a lost permission refuses every result, and each call until it is corrected would be paid for
    nothing. To know beforehand would take a write for each call, so one call in `PAUSE_SECONDS` finds out.
    """

    def __init__(self) -> None:
        self._refusal: ServiceError | None = None
        self._until = 0.0  # on the scheduler's clock

    def check(self) -> None:
        """Raise the `ServiceError` of the last refusal, unless this call is the one that finds out."""
        if self._refusal is None:
            return
        if now() < self._until:
            refusal = self._refusal
            raise ServiceError(
                refusal.operation,
                refusal.code,
                f"not called, because its answer could not be stored: {refusal.message}",
                status=refusal.status,
            )
        self._until = now() + PAUSE_SECONDS

    def refused(self, error: ServiceError) -> None:
        """Take a result into account that S3 did not store."""
        if classify(error).failure_class is FailureClass.CONFIGURATION:
            self._refusal, self._until = error.with_traceback(None), now() + PAUSE_SECONDS

    def stored(self) -> None:
        """Take a result into account that S3 stored."""
        self._refusal = None
