"""The calls of one worker: each takes virtual time, may fail, and may be the last one of the worker."""

from collections.abc import Callable
from typing import TypeVar, cast

from sluice.concurrency import Future
from sluice.failures import Operation, ServiceError
from sluice.ports import ObjectTooLarge, PreconditionFailed
from sluice.timeouts import AWS_CALL_SECONDS
from tests.simulation.faults import Fate
from tests.simulation.s3 import S3Error
from tests.simulation.services import Services
from tests.simulation.worker import Worker

_T = TypeVar("_T")


class Caller:
    """Makes the calls of a worker. A call takes effect in the service, whether or not its worker is alive then."""

    def __init__(self, services: Services, worker: Worker) -> None:
        self.services = services
        self.worker = worker

    async def call(self, service: str, operation: Operation, name: str, subject: str, act: Callable[[], _T]) -> _T:
        """Let `act` happen in the service, and return its result. Raises what it raises, and `ServiceError`."""
        worker, scheduler = self.worker, self.services.scheduler
        worker.check()
        fate = self.services.faults.of_operation(service, name, subject, scheduler.time, kill_rate=worker.kill_rate)
        if fate.kill == "before":
            worker.die(f"before {name} {subject}")
            worker.check()
        future: Future[_T] = Future()

        def arrive() -> None:
            result, error, seconds = _effect(fate, operation, act)
            said = "" if error is None else f"{type(error).__name__} {getattr(error, 'code', '')}".rstrip()
            self.services.log.write(worker.name, name, subject, f"{fate.fault or ''} {said}".strip())
            scheduler.after(seconds, lambda: respond(result, error))

        def respond(result: _T | None, error: Exception | None) -> None:
            if fate.kill == "after":
                worker.die(f"after {name} {subject}")
            if error is not None:
                future.set_error(error)
            else:
                future.set_result(cast("_T", result))

        scheduler.after(fate.there, arrive)
        return await future


def _effect(fate: Fate, operation: Operation, act: Callable[[], _T]) -> tuple[_T | None, Exception | None, float]:
    """What a request comes to in the service: a result or an error, and the seconds until the caller knows."""
    if fate.fault == "refused":
        refusal = ServiceError(operation, "SlowDown", "Please reduce your request rate.", status=503)
        return None, refusal, fate.back
    if fate.fault == "dropped":
        return None, ServiceError(operation, "ConnectTimeoutError", "no connection"), AWS_CALL_SECONDS / 4
    result, error = _attempt(operation, act)
    if fate.fault == "repeated":
        result, error = _attempt(operation, act)
    if fate.fault == "lost" and (error is None or isinstance(error, ServiceError)):
        return None, ServiceError(operation, "ReadTimeoutError", "no response"), AWS_CALL_SECONDS / 2
    return result, error, fate.back


def _attempt(operation: Operation, act: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    try:
        return act(), None
    except S3Error as error:
        return None, ServiceError(operation, error.code, "S3 refuses this", status=error.status)
    except (PreconditionFailed, ObjectTooLarge, ServiceError) as error:
        return None, error
