"""How the failed requests of a delivery end: the message returns to its queue, or is dead-lettered."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sluice.concurrency import sleep
from sluice.error_codes import FailureClass
from sluice.failures import Failure, ServiceError, classify
from sluice.inputs.delivery import Delivery
from sluice.inputs.requests import Request
from sluice.ports import DeadLetterQueue, SourceQueue
from sluice.processing.attempt import Attempt, AttemptFailed
from sluice.processing.backoff import delay_seconds
from sluice.processing.file_failures import FileFailures
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import dead_letter_attributes, error_document
from sluice.processing.router import Router
from sluice.processing.storing import Sleep, retry_transient
from sluice.settings import Settings


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that failed. `error` is what was raised, when the table did not foresee it."""

    attempt: Attempt[Request]
    failure: Failure
    error: Exception | None

    def ended(self, status: Status, retry_after_seconds: int | None = None) -> Outcome:
        """The outcome of the request with this status."""
        return Outcome(
            self.attempt.delivery.message_id,
            status,
            self.attempt.identity,
            endpoint_name=self.attempt.endpoint_name,
            failure=self.failure,
            retry_after_seconds=retry_after_seconds,
            error=self.error,
        )


def failed_by(attempt: Attempt[Request], error: Exception) -> Failed:
    """The failure of an attempt that raised `error`, as the failure table classifies it."""
    if isinstance(error, AttemptFailed) and isinstance(error.__cause__, Exception):
        attempt, error = error.attempt, error.__cause__
    foreseen = isinstance(error, Failure | ServiceError)
    # Without the traceback, whose frames would keep the memory of the request until the end of the batch.
    return Failed(attempt, classify(error).with_traceback(None), None if foreseen else error)


class Settlement:
    """Settles the failed requests of deliveries."""

    def __init__(
        self,
        settings: Settings,
        handler: Router,
        failures: FileFailures,
        dead_letter_queue: DeadLetterQueue,
        source_queue: SourceQueue,
        *,
        now: Callable[[], datetime],
        rng: random.Random,
        sleep: Sleep = sleep,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._failures = failures
        self._dead_letter_queue = dead_letter_queue
        self._source_queue = source_queue
        self._now = now
        self._rng = rng
        self._sleep = sleep

    def is_last_receive(self, delivery: Delivery) -> bool:
        """Whether SQS would move the message to the dead-letter queue rather than deliver it again."""
        return delivery.receive_count >= self._settings.max_receive_count

    async def settle(self, delivery: Delivery, failed: Sequence[Failed]) -> list[Outcome]:
        """Return the failed requests to their queue, or dead-letter them: one of the two for the whole message."""
        last_receive = self.is_last_receive(delivery)
        receives = delivery.receive_count
        retried = not last_receive and any(one.failure.is_retried(receives) for one in failed)
        remaining: list[Failed] = []
        ended: list[Outcome] = []
        for one in failed:
            if retried and one.failure.is_retried(receives):
                remaining.append(one)
                continue
            try:
                resolved = await self._record(one, last_receive=last_receive)
            except Exception as error:  # noqa: BLE001 - the message must not be lost, whatever the error
                if not last_receive:
                    return await self._retry(delivery, [failed_by(one.attempt, error)])
                resolved = None  # The dead-letter queue still gets the reason.
            if resolved is not None:
                with_file = resolved.status is Status.FAILED_WITH_FILE
                ended.append(replace(resolved, failure=one.failure) if with_file else resolved)
            else:
                remaining.append(one)
        if retried:
            return ended + await self._retry(delivery, remaining)
        return ended + await self._dead_letter(delivery, remaining)

    async def _record(self, one: Failed, *, last_receive: bool) -> Outcome | None:
        """Write the `.err`. Returns None when a dead letter must follow, else the outcome.

        It is one without a failure when the request has been answered or superseded meanwhile.
        """
        attempt = one.attempt

        async def resolved() -> Outcome | None:
            try:
                return await self._handler.already_resolved(attempt)
            except ServiceError as error:
                if not last_receive or classify(error).failure_class is FailureClass.TRANSIENT:
                    raise
                return None  # what is not resolved now never will be

        def record() -> Awaitable[Outcome | None]:
            return self._failures.record(attempt, self._document(one), resolved)

        if not last_receive:  # the message is retried with a far longer pause
            return await record()
        return await retry_transient(record, self._sleep, attempt.remaining_ms)

    def _document(self, one: Failed) -> bytes:
        attempt = one.attempt
        return error_document(
            attempt.identity,
            one.failure,
            attempt.delivery,
            endpoint_name=attempt.endpoint_name,
            source=attempt.request.source,
            failed_at=self._now(),
        )

    async def _dead_letter(self, delivery: Delivery, failed: Sequence[Failed]) -> list[Outcome]:
        if not failed:
            return []
        first = failed[0]
        try:
            # One message, however many of its requests failed: a redrive tries all, and finds the answered ones.
            await self._dead_letter_queue.send(
                delivery.body,
                dead_letter_attributes(
                    first.attempt.identity,
                    first.failure,
                    delivery,
                    endpoint_name=first.attempt.endpoint_name,
                    failed_at=self._now(),
                ),
            )
        except Exception as error:  # noqa: BLE001 - as above
            return await self._retry(delivery, [failed_by(first.attempt, error)])
        return [one.ended(Status.DEAD_LETTERED) for one in failed]

    async def _retry(self, delivery: Delivery, failed: Sequence[Failed]) -> list[Outcome]:
        seconds: int | None = delay_seconds(
            delivery.receive_count,
            base=self._settings.retry_base_seconds,
            cap=self._settings.retry_cap_seconds,
            rng=self._rng,
        )
        try:
            await self._source_queue.change_visibility(delivery.receipt_handle, seconds or 1)
        except Exception:  # noqa: BLE001 - then it comes back after the queue's own visibility timeout
            seconds = None
        return [one.ended(Status.RETRY, seconds) for one in failed]
