"""Calls of one request that were billed more than once: each falls into a window that is documented, or is a fault."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.simulation.endpoint import Call
from tests.simulation.services import Services
from tests.simulation.violation import Violation


@dataclass(frozen=True, slots=True)
class BilledRequest:
    """A request. `call_key` is the InferenceId of its calls, `out` the key of its result."""

    client: str
    call_key: str
    owner: str
    out: str


def check_calls(services: Services, requests: Iterable[BilledRequest], counts: Counter[str]) -> Iterator[Violation]:
    """Count the calls by kind. Yields those for which there is no reason."""
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in services.endpoint.calls:
        calls[call.key].append(call)
    counts["InvokeEndpoint calls"] += services.endpoint.made
    counts["InvokeEndpoint calls answered"] += len(services.endpoint.calls)
    for one in requests:
        made = calls[one.call_key]
        for number in range(1, len(made)):
            kind = _kind(one, made[number - 1], made[number], services)
            if kind is None:
                yield Violation(one.client, f"{one.owner!r} is called again at {made[number].began:.3f} s")
            else:
                counts[f"billed twice: {kind}"] += 1


def _kind(one: BilledRequest, before: Call, again: Call, services: Services) -> str | None:
    """Why a request was called again; None if there is no reason."""
    looked = again.worker.looked_at(one.out, again.began)
    if looked is None:
        return None
    stored = services.stored.get((one.out, one.owner))
    if stored is not None and stored < looked:
        return None
    if before.ended > looked:
        return "two concurrent deliveries"
    if before.lost:
        return "the response was lost"
    if before.worker.died_at is not None and (stored is None or before.worker.died_at <= stored):
        return "killed between the call and the write"
    if stored is not None:
        return "two concurrent deliveries"
    return "the answer could not be stored"
