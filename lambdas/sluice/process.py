"""One delivery, from the SQS message to outcomes that are stored. Every error ends here, by way of the table."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice import identity as identities
from sluice.answer import Answerer, Attempt
from sluice.backoff import delay_seconds
from sluice.delivery import Delivery
from sluice.events import Arrival, DroppedObject, Ignorable, SentMessage, read
from sluice.failures import Failure, ServiceError, classify
from sluice.outcome import Outcome, Status
from sluice.ports import DeadLetters, RequestQueue, Results
from sluice.result import ERR, dead_letter_attributes, error_document
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


class Processor:
    """Processes deliveries. It never raises: an outcome says whether the message may be deleted."""

    def __init__(
        self,
        settings: Settings,
        answerer: Answerer,
        results: Results,
        dead_letters: DeadLetters,
        requests: RequestQueue,
        *,
        now: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._answerer = answerer
        self._results = results
        self._dead_letters = dead_letters
        self._requests = requests
        self._now = now
        self._rng = rng

    def process(self, delivery: Delivery) -> list[Outcome]:
        """The outcomes of the delivery's requests: one, but for an S3 event with several records.

        The message may be deleted when every outcome is acknowledged.
        """
        try:
            arrivals = read(delivery.body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must not be lost
            return self._settle(delivery, [_failed(self._unread(delivery), error)])
        ended: list[Outcome] = []
        failed: list[_Failed] = []
        for arrival in arrivals:
            end = self._try(arrival, delivery)
            if isinstance(end, Outcome):
                ended.append(end)
            else:
                failed.append(end)
        return ended + self._settle(delivery, failed)

    def give_back(self, delivery: Delivery, failure: Failure) -> list[Outcome]:
        """Return a delivery that no call was begun for, because of `failure`; on the last receive, dead-letter it."""
        return self._settle(delivery, [_failed(self._unread(delivery), failure)])

    def _unread(self, delivery: Delivery) -> Attempt:
        return Attempt(delivery, SentMessage({}), identities.of_delivery(delivery))

    def _try(self, arrival: Arrival, delivery: Delivery) -> Outcome | _Failed:
        if isinstance(arrival, Ignorable):
            return Outcome(delivery.message_id, Status.IGNORED, detail=arrival.reason)
        attempt = self._unread(delivery)
        try:
            attempt.request = arrival
            attempt.identity = (
                identities.of_object(arrival, self._settings, delivery)
                if isinstance(arrival, DroppedObject)
                else identities.of_message(arrival, delivery)
            )
            attempt.endpoint_name = attempt.identity.endpoint_name
            return self._answerer.answer(attempt)
        except Exception as error:  # noqa: BLE001 - the table decides over every error, the unforeseen too
            return _failed(attempt, error)

    def _settle(self, delivery: Delivery, failed: Sequence[_Failed]) -> list[Outcome]:
        """Send failures back to the request queue, or to the dead-letter queue: the whole message to one of the two."""
        last_receive = delivery.receive_count >= self._settings.max_receive_count
        if any(one.failure.failure_class.retryable for one in failed) and not last_receive:
            return self._retry(delivery, failed)
        remaining: list[_Failed] = []
        ended: list[Outcome] = []
        for one in failed:
            try:
                answered = self._record(one)
            except Exception as error:  # noqa: BLE001 - as above
                if not last_receive:
                    return self._retry(delivery, [_failed(one.attempt, error)])
                answered = False  # The dead-letter queue still gets the reason; better there than nowhere.
            if answered:
                ended.append(one.attempt.ended(Status.DUPLICATE, detail="another delivery answered meanwhile"))
            else:
                remaining.append(one)
        return ended + self._dead_letter(delivery, remaining)

    def _record(self, one: _Failed) -> bool:
        """Write the `.err`. True when another delivery of the request has answered it: then there is no failure."""
        attempt = one.attempt
        key = attempt.identity.name + ERR
        document = error_document(
            attempt.identity,
            one.failure,
            attempt.delivery,
            endpoint_name=attempt.endpoint_name,
            source=attempt.source,
            failed_at=self._now(),
        )
        self._results.put_error(key, document)
        # Written first and looked after, as the other delivery writes its .out first and then removes the .err:
        # whichever comes second sees the other.
        if not attempt.may_be_repeated or not self._answerer.is_answered(attempt):
            return False
        self._results.delete(key)
        return True

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
