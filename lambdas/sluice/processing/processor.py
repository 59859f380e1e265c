"""One delivery, from the SQS message to stored outcomes. Every error ends here, classified by the failure table."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from sluice.error_codes import ErrorCode
from sluice.failures import Failure
from sluice.inputs import identity as identities
from sluice.inputs.delivery import Delivery
from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import check_sender
from sluice.inputs.invocation import permanent_failure
from sluice.inputs.requests import Ignorable, Request, SentMessage
from sluice.inputs.target import Target, target_of
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes
from sluice.processing.router import Router
from sluice.processing.settlement import Failed, Settlement, failed_by
from sluice.settings import Settings


def _unparsed(delivery: Delivery, remaining_ms: Callable[[], float]) -> Attempt[Request]:
    """The attempt at a request that could not be parsed."""
    return Attempt(delivery, SentMessage({}), identities.of_delivery(delivery), remaining_ms=remaining_ms)


@dataclass(slots=True)
class ParsedDelivery:
    """A delivery whose message has been parsed: its attempts, and the outcomes and failures that are known already.

    `target` is what it will call, as far as that is known; None when it will call nothing.
    """

    delivery: Delivery
    target: Target | None = None
    attempts: list[Attempt[Request]] = field(default_factory=list)
    ended: list[Outcome] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


class Processor:
    """Processes deliveries. It never raises: the outcomes say whether the message may be deleted."""

    def __init__(
        self,
        settings: Settings,
        handler: Router,
        outcomes: Outcomes,
        settlement: Settlement,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._outcomes = outcomes
        self._now = now
        self._settlement = settlement

    def parse(self, delivery: Delivery, remaining_ms: Callable[[], float] = lambda: math.inf) -> ParsedDelivery:
        """Parse a delivery: one attempt, or one for each record of an S3 event. Makes no call.

        `remaining_ms` returns the milliseconds that are left to the function.
        """
        parsed = ParsedDelivery(delivery)
        try:
            inputs = parse(delivery.body)
        except Exception as error:  # noqa: BLE001 - the message must not be lost, whatever the error
            parsed.failed.append(failed_by(_unparsed(delivery, remaining_ms), error))
            return parsed
        for one in inputs:
            try:
                check_sender(one, delivery.sender_id, self._settings.internal_senders)
                if isinstance(one, Ignorable):
                    parsed.ended.append(Outcome(delivery.message_id, Status.IGNORED, detail=one.reason))
                else:
                    self._add(parsed, one, remaining_ms)
            except Exception as error:  # noqa: BLE001 - as above
                parsed.failed.append(failed_by(_unparsed(delivery, remaining_ms), error))
        return parsed

    def _add(self, parsed: ParsedDelivery, request: Request, remaining_ms: Callable[[], float]) -> None:
        """Add the attempt at a request, and its target unless the request breaks a rule, so that none is called."""
        identity = identities.of(request, self._settings, parsed.delivery)
        if any(one.identity.key == identity.key for one in parsed.attempts):
            return  # The event has the object twice: S3 does not send such an event, but anybody may.
        if isinstance(request, SentMessage):
            request = request.validated()
        attempt = Attempt(parsed.delivery, request, identity, identity.endpoint_name, remaining_ms)
        try:
            self._handler.check(request)
        except Failure as failure:
            parsed.failed.append(failed_by(attempt, failure))
            return
        parsed.attempts.append(attempt)
        if parsed.target is None:
            with suppress(Failure):  # which is raised again when the request is processed
                parsed.target = target_of(request, identity.endpoint_name, self._settings)

    async def process(self, parsed: ParsedDelivery) -> list[Outcome]:
        """Process the delivery's requests, and return an outcome for each.

        The message may be deleted when every outcome is acknowledged.
        """
        ended, failed = list(parsed.ended), list(parsed.failed)
        for attempt in parsed.attempts:
            try:
                if (failure := await self._recorded(attempt)) is not None:
                    failed.append(Failed(attempt, failure, None))
                else:
                    ended.append(await self._handler.handle(attempt))
            except Exception as error:  # noqa: BLE001 - the table classifies every error, unforeseen ones included
                failed.append(failed_by(attempt, error))
        return ended + await self._settlement.settle(parsed.delivery, failed) if failed else ended

    async def release(self, parsed: ParsedDelivery, failure: Failure) -> list[Outcome]:
        """End a delivery without a call, because of `failure`: it returns to its queue, or is dead-lettered.

        A message that no retry can help is dead-lettered with its own reason, rather than delivered again and again.
        """
        age = self._now() - parsed.delivery.sent_at
        known = [permanent_failure(one.request, one.identity, self._settings, age) for one in parsed.attempts]
        return await self._end(parsed, [why or failure for why in known])

    async def dead_letter_crashed(self, parsed: ParsedDelivery) -> list[Outcome]:
        """End a delivery that SQS moved off its queue because no receive of it came to an outcome.

        It is dead-lettered as crashed, unless it was answered and only its acknowledgement is missing.
        """
        return await self._end(parsed, [Failure.of(ErrorCode.CRASHED)] * len(parsed.attempts))

    async def _end(self, parsed: ParsedDelivery, failures: Sequence[Failure]) -> list[Outcome]:
        """End the attempts with these failures, unless an earlier receive has recorded others."""
        failed = list(parsed.failed)
        for attempt, failure in zip(parsed.attempts, failures, strict=True):
            recorded: Failure | None = None
            with suppress(Exception):
                recorded = await self._outcomes.failure_of(attempt)
            failed.append(failed_by(attempt, recorded or failure))
        return [*parsed.ended, *await self._settlement.settle(parsed.delivery, failed)]

    def is_last_receive(self, delivery: Delivery) -> bool:
        """Whether SQS would move the message to the dead-letter queue rather than deliver it again."""
        return self._settlement.is_last_receive(delivery)

    async def _recorded(self, attempt: Attempt[Request]) -> Failure | None:
        """The failure that an earlier receive recorded: it was not dead-lettered, or other requests were retried.

        The request is not called again for it.
        """
        return await self._outcomes.failure_of(attempt) if attempt.delivery.receive_count > 1 else None
