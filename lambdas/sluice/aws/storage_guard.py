"""Before a call that is billed: whether its answer can be stored, as far as earlier answers have shown."""

from sluice.concurrency import now
from sluice.error_codes import FailureClass
from sluice.failures import ServiceError, classify

PAUSE_SECONDS = 30.0
MAX_PAUSE_SECONDS = 900.0


class StorageGuard:
    """Remembers that S3 refused to store a result, until it stores one again.

    A disabled key or a lost permission refuses every result, and each call until it is corrected would be paid for
    nothing. Only a write of an object shows it beforehand, and would leave that object. So one call finds out, after a
    pause that doubles up to `MAX_PAUSE_SECONDS`.
    """

    def __init__(self) -> None:
        self._refusal: ServiceError | None = None
        self._pause = PAUSE_SECONDS
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
        self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        self._until = now() + self._pause

    def refused(self, error: ServiceError) -> None:
        """Take a result into account that S3 did not store."""
        if classify(error).failure_class is FailureClass.CONFIGURATION:
            self._refusal, self._until = error.with_traceback(None), now() + self._pause

    def stored(self) -> None:
        """Take a result into account that S3 stored."""
        self._refusal, self._pause = None, PAUSE_SECONDS
