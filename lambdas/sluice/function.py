"""A Lambda function on one of the queues: what it takes, and what it does with each batch."""

import functools
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sluice.batch import deliveries_of, partial_response
from sluice.composition import Application, compose
from sluice.delivery import Delivery
from sluice.outcome import Outcome
from sluice.router import Kind

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Work = Callable[[Application, Sequence[Delivery], Callable[[], float]], Iterable[list[Outcome]]]
"""Brings deliveries to their outcomes. The last argument is the milliseconds that the function still has."""


class Function:
    """A handler of SQS batches. `takes` are the kinds of requests that its queue holds, `work` ends them."""

    def __init__(self, takes: Collection[Kind], work: Work) -> None:
        # Built once: in Lambda's init phase, elsewhere at the first event.
        self.application = functools.cache(lambda: compose(os.environ, takes))
        self._work = work
        if "AWS_LAMBDA_RUNTIME_API" in os.environ:
            # The init phase has a whole CPU, whatever the function's memory; and SnapStart keeps what was built in it.
            self.application()

    def __call__(self, event: dict[str, Any], context: "LambdaContext") -> dict[str, list[dict[str, str]]]:
        """Bring each record to its outcome, and return those that SQS is to deliver again."""
        app = self.application()
        app.logger.append_keys(function_request_id=context.aws_request_id)
        deliveries = deliveries_of(event)
        ended = self._work(app, deliveries, context.get_remaining_time_in_millis)
        return partial_response(deliveries, ended, app.telemetry)


def at_once(
    app: Application, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]
) -> Iterable[list[Outcome]]:
    """As many at once as the endpoints take."""
    return app.dispatcher.run(deliveries, remaining_ms)


def one_by_one(
    app: Application, deliveries: Sequence[Delivery], _remaining_ms: Callable[[], float]
) -> Iterable[list[Outcome]]:
    """One after another."""
    return [app.processor.process(app.processor.open(delivery)) for delivery in deliveries]


def buried(
    app: Application, deliveries: Sequence[Delivery], _remaining_ms: Callable[[], float]
) -> Iterable[list[Outcome]]:
    """None of them: each gets its `.err` and its dead-letter message."""
    return [app.processor.bury(app.processor.open(delivery)) for delivery in deliveries]
