"""The port of one worker on the endpoint."""

from collections.abc import Mapping

from sluice.concurrency import Future
from sluice.failures import Operation, ServiceError
from sluice.ports import UNASKED_BYTES, Admit, Inference
from tests.simulation.caller import Caller
from tests.simulation.log import client_in


class EndpointPort:
    """An `Endpoint`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def invoke(
        self,
        endpoint_name: str,
        body: bytes,
        parameters: Mapping[str, str],
        *,
        seconds: float,
        admit: Admit | None = None,
    ) -> Inference:
        """As `Endpoint.invoke`."""
        services, worker = self._caller.services, self._caller.worker
        worker.check()
        scheduler, endpoint = services.scheduler, services.endpoint
        key, began = parameters["InferenceId"], scheduler.time
        subject = f"{client_in(body[:200].decode(errors='replace'))} {key}"
        kill = services.faults.kill_of("InvokeEndpoint", subject, kill_rate=worker.kill_rate)
        if kill == "before":
            worker.die(f"before InvokeEndpoint {subject}")
            worker.check()
        planned = endpoint.plan(endpoint_name, body, began)
        answer, takes = planned.answer, min(planned.seconds, max(0.0, seconds))
        if takes < planned.seconds:
            answer = ServiceError(Operation.INVOKE, "ReadTimeoutError", f"no response within {takes:.3f} s")
        if planned.is_answered:
            endpoint.note(key, body, began, began + takes, worker, lost=isinstance(answer, ServiceError))
        future: Future[Inference] = Future()

        def respond() -> None:
            said = answer.code if isinstance(answer, ServiceError) else "answered"
            services.log.write(worker.name, f"InvokeEndpoint {endpoint_name}", subject, said)
            if kill == "after":
                worker.die(f"after InvokeEndpoint {subject}")
            if isinstance(answer, ServiceError):
                future.set_error(answer)
            else:
                future.set_result(answer)

        scheduler.after(takes, respond)
        found = await future
        if admit is not None and len(found.body) > UNASKED_BYTES:
            await admit(len(found.body))
        return found
