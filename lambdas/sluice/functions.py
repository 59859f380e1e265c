"""A Lambda function on one of the queues: an SQS batch in, the partial batch response out."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from aws_lambda_powertools import Logger

from sluice.concurrency import Runner
from sluice.inputs.delivery import Delivery
from sluice.processing.dispatcher import Dispatcher
from sluice.processing.outcome import Outcome
from sluice.processing.processor import Processor
from sluice.telemetry import Telemetry
from sluice.timeouts import AWS_CALL_SECONDS

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class Application(Protocol):
    """What a function does with a batch."""

    @property
    def logger(self) -> Logger:
        """The logger of the function."""

    @property
    def runner(self) -> Runner:
        """What runs its coroutines."""

    async def run(self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]) -> set[str]:
        """Process deliveries. Returns the message IDs that SQS may delete.

        `remaining_ms` returns the milliseconds until Lambda ends the invocation.
        """


_App = TypeVar("_App", bound=Application)


class Function(Generic[_App]):
    """A Lambda handler of SQS batches. `build` makes its application, once."""

    def __init__(self, build: Callable[[], _App]) -> None:
        self._build = build
        self._application: _App | None = None

    def application(self) -> _App:
        """The application, built by the first caller."""
        if self._application is None:
            self._application = self._build()
        return self._application

    def close(self) -> None:
        """Release the application's threads and sockets. The next batch builds another one."""
        if self._application is not None:
            self._application.runner.close()
            self._application = None

    def __call__(self, event: Mapping[str, Any], context: "LambdaContext") -> dict[str, list[dict[str, str]]]:
        """Process the batch, and return the messages that SQS must deliver again.

        With ReportBatchItemFailures, SQS deletes the messages of the batch that the response does not name (AWS Lambda
        Developer Guide, "Implementing partial batch responses").
        """
        app = self.application()
        app.logger.append_keys(function_request_id=context.aws_request_id)
        deliveries = [Delivery.from_record(record) for record in event["Records"]]
        acknowledged = app.runner.run(app.run(deliveries, context.get_remaining_time_in_millis))
        return {
            "batchItemFailures": [
                {"itemIdentifier": delivery.message_id}
                for delivery in deliveries
                if delivery.message_id not in acknowledged
            ]
        }


RunBatch = Callable[["RequestApplication", Sequence[Delivery], Callable[[], float]], AsyncIterator[list[Outcome]]]
"""Brings deliveries to their outcomes. The last argument returns the milliseconds that are left to the function."""


@dataclass(frozen=True, slots=True)
class RequestApplication:
    """The `Application` of the functions that process requests."""

    processor: Processor
    dispatcher: Dispatcher
    logger: Logger
    telemetry: Telemetry
    run_batch: RunBatch
    runner: Runner

    async def run(self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]) -> set[str]:
        """Process deliveries, and log and count each outcome. Returns the message IDs that SQS may delete."""
        acknowledged: set[str] = set()
        async for outcomes in self.run_batch(self, deliveries, remaining_ms):
            for outcome in outcomes:
                self.telemetry.record(outcome)
            if all(outcome.acknowledged for outcome in outcomes):
                acknowledged.update(outcome.message_id for outcome in outcomes)
        self.telemetry.flush()
        return acknowledged


def concurrently(
    app: RequestApplication, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]
) -> AsyncIterator[list[Outcome]]:
    """Process as many deliveries at once as the endpoints take."""
    return app.dispatcher.run(deliveries, remaining_ms)


async def one_by_one(
    app: RequestApplication, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]
) -> AsyncIterator[list[Outcome]]:
    """Process one delivery after another."""
    for delivery in deliveries:
        yield await app.processor.process(app.processor.parse(delivery, remaining_ms))


async def dead_letter_crashed(
    app: RequestApplication, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]
) -> AsyncIterator[list[Outcome]]:
    """Process no delivery: each gets its `.err` and its dead-letter message, with the reason `Crashed`.

    With little time left, no further one is begun: if Lambda ends the function, all deliveries of the batch come again.
    """
    for number, delivery in enumerate(deliveries):
        if number and remaining_ms() < AWS_CALL_SECONDS * 1000:
            return
        yield await app.processor.dead_letter_crashed(app.processor.parse(delivery, remaining_ms))
