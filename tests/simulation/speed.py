"""How long a file takes whose calls are slow, in virtual time, against the time that its calls take at the least."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sluice import keys
from sluice.concurrency import sleep
from sluice.failures import Operation, ServiceError
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Inference
from tests.simulation.endpoint import Planned
from tests.simulation.faults import KINDS
from tests.simulation.functions import SPECS, SimulatedFunction
from tests.simulation.services import Services
from tests.simulation.worker import Worker

KEY = "transform/wine/prompts.jsonl"
_MOST_SECONDS = 20_000.0
_REFUSAL_SECONDS = 0.05

Respond = Callable[[bytes], Inference | ServiceError]


def fraction(text: bytes) -> float:
    """A number from 0 to 1 that depends on the text only."""
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") / 2**32


def chat_seconds(record: bytes) -> float:
    """From 2 to 10 s."""
    return 2 + 8 * fraction(record)


def chat(body: bytes) -> Inference | ServiceError:
    """A container that takes one JSON document a call."""
    try:
        json.loads(body)
    except ValueError:
        message = "Extra data"
        return ServiceError(
            Operation.INVOKE, "ModelError", message, status=424, original_status_code=400, original_message=message
        )
    return Inference(chat_answer(body.strip()), "application/json")


def chat_answer(record: bytes) -> bytes:
    """The container's answer to a record."""
    return compact_bytes({"answer": json.loads(record)["prompt"][::-1]})


def prompts(count: int) -> list[bytes]:
    """Different records."""
    return [json.dumps({"prompt": f"What is {number} times {number}? " * 4}).encode() for number in range(count)]


@dataclass
class SlowEndpoint:
    """An endpoint that takes `seconds` for a body, and refuses some calls for a moment."""

    respond: Respond
    seconds: Callable[[bytes], float]
    throttled: float = 0.0  # share of the calls
    made: int = 0
    refused: int = 0
    most_at_once: int = 0
    _ends: list[float] = field(default_factory=list)

    def plan(self, endpoint_name: str, body: bytes, now: float) -> Planned:
        """As `SimulatedEndpoint.plan`."""
        del endpoint_name
        self.made += 1
        if fraction(b"call %d" % self.made) < self.throttled:
            self.refused += 1
            return Planned(_REFUSAL_SECONDS, ServiceError(Operation.INVOKE, "ThrottlingException", "slow", status=400))
        answer = self.respond(body)
        if isinstance(answer, ServiceError):
            return Planned(_REFUSAL_SECONDS, answer)
        seconds = self.seconds(body)
        self._ends = [end for end in self._ends if end > now] + [now + seconds]
        self.most_at_once = max(self.most_at_once, len(self._ends))
        return Planned(seconds, answer, is_answered=True)

    def note(self, key: str, body: bytes, began: float, ended: float, worker: Worker, *, lost: bool) -> None:
        """As `SimulatedEndpoint.note`."""


@dataclass(frozen=True)
class Speed:
    """How long a file took, in seconds from its upload to its result, and with what."""

    seconds: float
    ideal_seconds: float
    calls: int
    at_once: int
    parts: int
    invocations: int
    answers: bytes

    @property
    def ratio(self) -> float:
        """The time over the ideal one."""
        return self.seconds / self.ideal_seconds


def transform(
    records: list[bytes],
    endpoint: SlowEndpoint,
    *,
    functions: int = 2,
    calls: int = 10,
    timeout_seconds: float = 90,
    batch_size: int = 1,
    metadata: dict[str, str] | None = None,
) -> Speed:
    """Upload a file, and wait for its result. `functions` process parts, each with so many calls at once."""
    services = Services(1, frozenset(KINDS))
    services.settings = services.settings.model_copy(
        update={"concurrent_calls": calls, "concurrent_functions": functions, "max_body_bytes": 6 * 1024 * 1024}
    )
    services.endpoint = endpoint  # type: ignore[assignment]
    invoke, *others = SPECS
    specs = [
        replace(invoke, timeout_seconds=timeout_seconds, batch_size=batch_size, maximum_concurrency=functions),
        *others,
    ]
    queues = {
        "invoke": services.request,
        "split": services.split,
        "assemble": services.assembly,
        "crashed": services.crashed,
    }
    made = [SimulatedFunction(services, spec, queues[spec.name]) for spec in specs]
    for function in made:
        function.queue.visibility_seconds = 6 * function.spec.timeout_seconds
    services.at(1, lambda: services.upload(KEY, b"".join(one + b"\n" for one in records), metadata or {}))

    def stored() -> list[float]:
        return [time for (key, _), time in services.stored.items() if key == KEY + keys.OUT]

    async def main() -> None:
        while not stored() and services.scheduler.time < _MOST_SECONDS:
            await sleep(1)

    services.scheduler.run(main())
    assert stored(), "the file is not answered"
    found = services.results
    names = [name for name in found.versions if name.startswith(keys.PARTS_PREFIX) and name.endswith(keys.OUT)]
    answered = found.get(KEY + keys.OUT, None, None)
    return Speed(
        seconds=stored()[0] - 1,
        ideal_seconds=sum(map(endpoint.seconds, records)) / (functions * calls),
        calls=endpoint.made,
        at_once=endpoint.most_at_once,
        parts=len(names),
        invocations=made[0].invocations,
        answers=answered.body,
    )
