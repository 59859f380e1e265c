"""One delivery, from the SQS message to outcomes that are stored. Every error ends here, by way of the table."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sluice.failures import CRASHED, Failure, FailureClass, ServiceError, classify
from sluice.inputs import identity as identities
from sluice.inputs.delivery import Delivery
from sluice.inputs.events import read
from sluice.inputs.requests import Ignorable, Request, SentMessage
from sluice.ports import DeadLetters, RequestQueue, Results
from sluice.processing.attempt import Attempt
from sluice.processing.backoff import delay_seconds
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import ERR, dead_letter_attributes, error_document
from sluice.processing.router import RequestHandler
from sluice.settings import Settings


@dataclass(frozen=True, slots=True)
class _Failed:
    attempt: Attempt
    failure: Failure
    error: Exception | None  # what was raised, where the table did not foresee it

    def ended(self, status: Status, retry_after_seconds: int | None = None) -> Outcome:
        return Outcome(
            self.attempt.delivery.message_id,
            status,
            self.attempt.identity,
            endpoint_name=self.attempt.endpoint_name,
            failure=self.failure,
            retry_after_seconds=retry_after_seconds,
            error=self.error,
        )


def _failed(attempt: Attempt, error: Exception) -> _Failed:
    foreseen = isinstance(error, Failure | ServiceError)
    return _Failed(attempt, classify(error), None if foreseen else error)


@dataclass(slots=True)
class ParsedDelivery:
    """A delivery that has been read: its attempts, and what of it had an end at once.

    `endpoint_name` is the endpoint that it will call, as far as can be told now; None when it will call none.
    """

    delivery: Delivery
    endpoint_name: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    ended: list[Outcome] = field(default_factory=list)
    failed: list[_Failed] = field(default_factory=list)


class Processor:
    """Processes deliveries. It never raises: an outcome says whether the message may be deleted."""

    def __init__(
        self,
        settings: Settings,
        handler: RequestHandler,
        results: Results,
        dead_letters: DeadLetters,
        requests: RequestQueue,
        *,
        now: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._results = results
        self._dead_letters = dead_letters
        self._requests = requests
        self._now = now
        self._rng = rng

    def parse(self, delivery: Delivery) -> ParsedDelivery:
        """Read a delivery: one attempt, but for an S3 event with several records. Calls nothing."""
        parsed = ParsedDelivery(delivery)
        unread = Attempt(delivery, SentMessage({}), identities.of_delivery(delivery))
        try:
            inputs = read(delivery.body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must not be lost
            parsed.failed.append(_failed(unread, error))
            return parsed
        for request in inputs:
            try:
                if isinstance(request, Ignorable):
                    parsed.ended.append(Outcome(delivery.message_id, Status.IGNORED, detail=request.reason))
                else:
                    parsed.attempts.append(self._attempt(request, delivery))
            except Exception as error:  # noqa: BLE001 - as above
                parsed.failed.append(_failed(unread, error))
        if parsed.attempts:
            parsed.endpoint_name = parsed.attempts[0].endpoint_name or self._settings.default_endpoint_name
        return parsed

    def process(self, parsed: ParsedDelivery, remaining_ms: Callable[[], float] = lambda: math.inf) -> list[Outcome]:
        """Answer the delivery's requests, and return an outcome for each. `remaining_ms` is the function's clock.

        The message may be deleted when every outcome is acknowledged.
        """
        ended, failed = list(parsed.ended), list(parsed.failed)
        for attempt in parsed.attempts:
            attempt.remaining_ms = remaining_ms
            try:
                ended.append(self._handler.handle(attempt))
            except Exception as error:  # noqa: BLE001 - the table decides over every error, the unforeseen too
                failed.append(_failed(attempt, error))
        return ended + self._settle(parsed.delivery, failed)

    def release(self, parsed: ParsedDelivery, failure: Failure) -> list[Outcome]:
        """End a delivery for which no call is made, because of `failure`: back to the queue, or dead-lettered."""
        failed = [*parsed.failed, *(_failed(attempt, failure) for attempt in parsed.attempts)]
        return [*parsed.ended, *self._settle(parsed.delivery, failed)]

    def dead_letter_crashed(self, parsed: ParsedDelivery) -> list[Outcome]:
        """End a delivery that SQS took from the request queue, as no receive of it ever came to an outcome.

        It is dead-lettered as crashed, unless it was answered and only never acknowledged.
        """
        return self.release(parsed, Failure(FailureClass.CRASHED, "Crashed", CRASHED))

    def is_last_receive(self, delivery: Delivery) -> bool:
        """Whether SQS would move the message to the dead-letter queue rather than deliver it again."""
        return delivery.receive_count >= self._settings.max_receive_count

    def _attempt(self, request: Request, delivery: Delivery) -> Attempt:
        identity = identities.of(request, self._settings, delivery)
        return Attempt(delivery, request, identity, identity.endpoint_name)

    def _settle(self, delivery: Delivery, failed: Sequence[_Failed]) -> list[Outcome]:
        """Send failures back to the request queue, or to the dead-letter queue: the whole message to one of the two."""
        last_receive = self.is_last_receive(delivery)
        if any(one.failure.failure_class.retryable for one in failed) and not last_receive:
            return self._retry(delivery, failed)
        remaining: list[_Failed] = []
        ended: list[Outcome] = []
        for one in failed:
            try:
                already_resolved = self._record(one)
            except Exception as error:  # noqa: BLE001 - as above
                if not last_receive:
                    return self._retry(delivery, [_failed(one.attempt, error)])
                already_resolved = None  # The dead-letter queue still gets the reason; better there than nowhere.
            if already_resolved is not None:
                ended.append(already_resolved)
            else:
                remaining.append(one)
        return ended + self._dead_letter(delivery, remaining)

    def _record(self, one: _Failed) -> Outcome | None:
        """Write the `.err`, unless the failure counts no more: then the outcome is returned."""
        attempt = one.attempt
        if (already_resolved := self._handler.already_resolved(attempt)) is not None:
            return already_resolved
        key = attempt.identity.error_name + ERR
        document = error_document(
            attempt.identity,
            one.failure,
            attempt.delivery,
            endpoint_name=attempt.endpoint_name,
            source=attempt.source,
            failed_at=self._now(),
        )
        self._results.put_error(key, document)
        # Looked for once more, as the other delivery writes its .out first and then removes the .err: whichever comes
        # second sees the other.
        if (already_resolved := self._handler.already_resolved(attempt)) is not None:
            self._results.delete(key)
        return already_resolved

    def _dead_letter(self, delivery: Delivery, failed: Sequence[_Failed]) -> list[Outcome]:
        if not failed:
            return []
        first = failed[0]
        try:
            # One message, however many of its requests failed: a redrive tries them all, and finds the answered ones.
            self._dead_letters.send(
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
            return self._retry(delivery, [_failed(first.attempt, error)])
        return [one.ended(Status.DEAD_LETTERED) for one in failed]

    def _retry(self, delivery: Delivery, failed: Sequence[_Failed]) -> list[Outcome]:
        seconds: int | None = delay_seconds(
            delivery.receive_count,
            base=self._settings.retry_base_seconds,
            cap=self._settings.retry_cap_seconds,
            rng=self._rng,
        )
        try:
            self._requests.delay(delivery.receipt_handle, seconds or 1)
        except Exception:  # noqa: BLE001 - then it comes back after the queue's own visibility timeout
            seconds = None
        return [one.ended(Status.RETRY, seconds) for one in failed]
