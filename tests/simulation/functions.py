"""The Lambda functions, their event source mappings, and the real core in each of their workers."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sluice.composition import compose_core
from sluice.concurrency import Task
from sluice.failures import Operation
from sluice.functions import RequestApplication, RunBatch, concurrently, dead_letter_crashed, one_by_one
from sluice.inputs.delivery import Delivery
from sluice.processing.memory import Memory
from sluice.processing.outcome import Outcome
from sluice.processing.router import Kind
from sluice.telemetry import Telemetry
from tests.simulation.caller import Caller
from tests.simulation.endpoint_port import EndpointPort
from tests.simulation.ports import BucketPort, DeadLetterPort, SenderPort, SourcePort
from tests.simulation.services import ROLES, Services
from tests.simulation.sqs import Message, SimulatedQueue
from tests.simulation.worker import Worker
from tests.support.fakes import NOW

_MEMORY_MB = 512
_DISCARDED = 0.02  # of the idle workers: Lambda discards one, and the next invocation begins with a new one
_CRASHED_KILL_RATE = 0.25  # its batches make the most operations; if it dies at each receive, nobody comes after it
_CRASHER = "-crasher"  # in a body or key: the worker that has the message is killed


@dataclass(frozen=True, slots=True)
class Spec:
    """What is particular to a function: its module in `lambdas/`, and its event source mapping."""

    name: str
    takes: tuple[Kind, ...]
    run_batch: RunBatch
    timeout_seconds: float
    batch_size: int
    maximum_concurrency: int


SPECS = (
    Spec("invoke", ("call", "file", "part"), concurrently, 90, 10, 32),
    Spec("split", ("file",), one_by_one, 900, 1, 2),
    Spec("assemble", ("assembly",), one_by_one, 900, 1, 2),
    Spec("crashed", ("call", "file", "part", "assembly"), dead_letter_crashed, 60, 10, 2),
)


class OutcomeLog:
    """Takes the place of `Telemetry`: each outcome is a line of the run's log."""

    def __init__(self, services: Services, worker: Worker) -> None:
        self._services = services
        self._worker = worker

    def record(self, outcome: Outcome) -> None:
        """Log an outcome."""
        failure = outcome.failure
        detail = f"{failure.code}: {failure.message[:100]!r}" if failure else outcome.detail or ""
        key = outcome.identity.key if outcome.identity else ""
        name = outcome.identity.name if outcome.identity else ""
        self._services.faults.counts[f"deliveries of requests: {outcome.status}"] += 1
        self._services.log.write(
            self._worker.name, f"outcome {outcome.message_id}", f"{name} {key}", f"{outcome.status} {detail}"
        )
        if outcome.error is not None:
            self._services.unforeseen.append(f"{name}: {type(outcome.error).__name__}: {outcome.error}")

    def flush(self) -> None:
        """Nothing is held back."""


def compose(services: Services, worker: Worker, spec: Spec, source: SimulatedQueue, seed: str) -> RequestApplication:
    """The application of a worker: the core, on the simulated services."""
    settings = services.settings.model_copy(update={"max_receive_count": services.max_receive_count(spec.name)})
    caller = Caller(services, worker)
    results = BucketPort(caller, services.results, Operation.STORE_RESULT)

    def inputs(bucket: str) -> BucketPort:
        return BucketPort(caller, services.bucket(bucket), Operation.READ_INPUT)

    def utc_now() -> datetime:
        return NOW + timedelta(seconds=services.scheduler.time)

    processor, dispatcher = compose_core(
        settings,
        spec.takes,
        endpoint=EndpointPort(caller),
        inputs=inputs,
        results=results,
        request_queue=SenderPort(caller, services.request),
        assembly_queue=SenderPort(caller, services.assembly),
        dead_letter_queue=DeadLetterPort(caller, services.dead_letters),
        source_queue=SourcePort(caller, source),
        memory=Memory(_MEMORY_MB),
        utc_now=utc_now,
        rng=services.dice.stream(f"backoff {seed}"),
    )
    return RequestApplication(
        processor=processor,
        dispatcher=dispatcher,
        logger=cast("Any", None),
        telemetry=cast("Telemetry", OutcomeLog(services, worker)),
        run_batch=spec.run_batch,
        runner=cast("Any", None),
    )


@dataclass
class SimulatedFunction:
    """A function with the event source mapping of its queue."""

    services: Services
    spec: Spec
    queue: SimulatedQueue
    idle: list[tuple[Worker, RequestApplication]] = field(default_factory=list)
    running: int = 0
    invocations: int = 0
    kills: int = 0
    time_outs: int = 0
    _workers: int = 0
    _polls: bool = False

    def __post_init__(self) -> None:
        self.queue.on_visible = self.poll

    def poll(self) -> None:
        """Receive batches as long as there are messages and the maximum concurrency is not reached."""
        if not self._polls and self.running < self.spec.maximum_concurrency and self.queue.has_visible():
            self._polls = True
            # A poller waits a moment, so that a batch has several messages.
            self.services.scheduler.after(0.05, self._receive)

    def _receive(self) -> None:
        self._polls = False
        if self.running < self.spec.maximum_concurrency and (batch := self.queue.receive(self.spec.batch_size)):
            self._invoke(batch)
        self.poll()

    def _invoke(self, batch: list[Message]) -> None:
        self.running += 1
        self.invocations += 1
        services, scheduler = self.services, self.services.scheduler
        worker, application = self._worker()
        ends_at = scheduler.time + self.spec.timeout_seconds
        records = [message.record() for message in batch]
        services.log.write(worker.name, "invocation", self.queue.name, [record["receiptHandle"] for record in records])
        deliveries = [Delivery.from_record(record) for record in records]
        work = application.run(deliveries, lambda: (ends_at - scheduler.time) * 1000)
        task = scheduler.spawn_in(worker, work, worker.name)
        timer = scheduler.timers.add(ends_at, lambda: self._time_out(worker))
        crashes = [one for one in batch if _CRASHER in one.body and services.faults.on("kills")]
        if crashes and self.spec.name != "crashed":
            seconds = 0.03 + 0.8 * services.dice.fraction(crashes[0].receipt_handle) ** 2
            scheduler.after(seconds, lambda: worker.die("crash"))

        def end(_: object) -> None:
            timer.cancel()
            self._end(worker, application, batch, records, task)

        task.add_done_callback(end)

    def _time_out(self, worker: Worker) -> None:
        self.time_outs += 1
        worker.die("time-out")

    def _end(
        self,
        worker: Worker,
        application: RequestApplication,
        batch: list[Message],
        records: list[dict[str, Any]],
        task: Task[set[str]],
    ) -> None:
        services = self.services
        self.running -= 1
        if worker.is_dead:
            _ = task.error  # retrieved, so that the run does not raise it
            services.kills_of.update(message.client for message in batch)
        elif task.error is not None:
            services.unforeseen.append(f"{worker.name} raised {task.error!r}")
            worker.kill()
        else:
            acknowledged = task.result()
            services.scheduler.after(0.02, lambda: self._delete(records, acknowledged))
            if services.faults.occurs("kills", f"discard {worker.name} {self.invocations}", _DISCARDED):
                worker.kill()
            else:
                self.idle.append((worker, application))
        services.scheduler.after(0.0, self.poll)

    def _delete(self, records: list[dict[str, Any]], acknowledged: set[str]) -> None:
        """What a mapping with ReportBatchItemFailures does. Now and then the deletion fails."""
        for record in records:
            message_id, receipt = record["messageId"], record["receiptHandle"]
            if message_id in acknowledged and not self.services.faults.occurs("storage", f"delete {receipt}", 0.005):
                self.queue.delete(message_id, receipt)

    def _worker(self) -> tuple[Worker, RequestApplication]:
        if self.idle:
            return self.idle.pop()
        self._workers += 1
        name = f"{self.spec.name}-{self._workers}"
        worker = Worker(
            name,
            f"{ROLES[self.spec.name]}:{self.spec.name}",
            _CRASHED_KILL_RATE if self.spec.name == "crashed" else 1.0,
            lambda reason: self._died(worker, reason),
        )
        return worker, compose(self.services, worker, self.spec, self.queue, name)

    def _died(self, worker: Worker, reason: str) -> None:
        worker.died_at = self.services.scheduler.time
        self.kills += 1
        self.services.faults.counts["workers killed"] += 1
        self.services.log.write(worker.name, "killed", reason)
