"""A batch of deliveries, several at a time, and none begun that can't end in time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass

from sluice.delivery import Delivery
from sluice.failures import Failure, FailureClass
from sluice.outcome import Outcome
from sluice.process import Processor

# What storing an outcome may take after the model's answer: S3 and SQS calls with a retry, in milliseconds.
SETTLE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Runs a batch over `executor`. `call_ms` is the longest that one InvokeEndpoint call may take."""

    processor: Processor
    executor: Executor
    call_ms: float

    def run(self, deliveries: Sequence[Delivery], remaining_ms: Callable[[], float]) -> Iterator[list[Outcome]]:
        """The outcomes of each delivery, as they end. `remaining_ms` is Lambda's own clock, in milliseconds."""

        def one(delivery: Delivery) -> list[Outcome]:
            if remaining_ms() < self.call_ms + SETTLE_MS:
                return self.processor.give_back(delivery, _NOT_BEGUN)
            return self.processor.process(delivery)

        futures = [self.executor.submit(one, delivery) for delivery in deliveries]
        for future in as_completed(futures):
            yield future.result()


_NOT_BEGUN = Failure(
    FailureClass.TRANSIENT,
    "NotBegun",
    "less time was left to the function than one call may take; lower batch_size or raise function_timeout_seconds",
)
