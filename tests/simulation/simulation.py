"""One run: the clients, the faults, and then a time without faults in which everything that is left is delivered."""

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from sluice.concurrency import sleep
from sluice.transform import division, options
from tests.simulation.audit import Audit
from tests.simulation.clients import MESSAGES, Client
from tests.simulation.functions import SPECS, SimulatedFunction
from tests.simulation.hostile import Hostile
from tests.simulation.redrives import Operator
from tests.simulation.requests import Registry
from tests.simulation.services import Services
from tests.simulation.uploads import UPLOADS
from tests.simulation.violation import Violation

_PER_SECOND = 12.0  # clients that begin
_REQUESTS_PER_CLIENT = 1.18  # on average; the number of clients follows from it
_HOSTILE_WEIGHT = 5.0
_FAULTS_SECONDS = 3600.0  # the faults go on, after the last client has begun
_LIMIT_SECONDS = 10 * 24 * 3600.0  # for what is left
_ACTS = {**MESSAGES, **UPLOADS}
_KINDS = {**{name: weight for name, (weight, _) in _ACTS.items()}, "hostile": _HOSTILE_WEIGHT}
_CUMULATED = list(itertools.accumulate(_KINDS.values()))


@dataclass(frozen=True)
class Plan:
    """What determines a run. `only` are the numbers of the clients that take part; all, if it is None.

    `off` are the kinds of faults that do not occur.
    """

    seed: int
    requests: int
    only: frozenset[int] | None = None
    off: frozenset[str] = frozenset()

    @property
    def clients(self) -> int:
        """The number of clients, those that do not take part included."""
        return max(1, round(self.requests / _REQUESTS_PER_CLIENT))

    @property
    def numbers(self) -> list[int]:
        """The numbers of the clients that take part."""
        return list(range(self.clients)) if self.only is None else sorted(self.only)


@dataclass(frozen=True)
class Result:
    """What a run came to. `sha256` is the digest of its log."""

    plan: Plan
    sha256: str
    lines: int
    seconds: float  # of virtual time
    counts: Counter[str]
    violations: tuple[Violation, ...]
    requests: int = field(default=0)


def run(plan: Plan, file: IO[str] | None = None) -> Result:
    """Run a plan, and audit it. The log is written to `file`, if there is one."""
    with _small_scale():
        return _run(plan, file)


@contextmanager
def _small_scale() -> Iterator[None]:
    """Datasets are smaller here than real ones, and their calls faster; yet they have several parts, or are divided."""
    before = options._MIN_CHUNK_BYTES, division._WORTH_SECONDS
    options._MIN_CHUNK_BYTES, division._WORTH_SECONDS = 64 * 1024, 0.02
    try:
        yield
    finally:
        options._MIN_CHUNK_BYTES, division._WORTH_SECONDS = before


def _run(plan: Plan, file: IO[str] | None = None) -> Result:
    services = Services(plan.seed, plan.off, file)
    registry = Registry()
    queues = {
        "invoke": services.request,
        "split": services.split,
        "assemble": services.assembly,
        "crashed": services.crashed,
    }
    functions = [SimulatedFunction(services, spec, queues[spec.name]) for spec in SPECS]
    span = plan.clients / _PER_SECOND
    for number in plan.numbers:
        _begin(services, registry, plan, number, span)
    until = span + _FAULTS_SECONDS
    Operator(services).plan(until)
    left: list[str] = []

    async def main() -> None:
        await sleep(until)
        services.faults.is_over = True
        while busy := _busy(services, functions):
            if services.scheduler.time > until + _LIMIT_SECONDS:
                left.extend(busy)
                return
            await sleep(60)

    services.scheduler.run(main())
    audit = Audit(services, registry)
    violations = audit.violations()
    violations += [Violation("", f"left at the end: {one}") for one in left]
    counts = services.faults.counts + audit.counts
    for function in functions:
        counts[f"invocations of {function.spec.name}"] += function.invocations
    return Result(
        plan,
        services.log.sha256(),
        services.log.lines,
        services.scheduler.time,
        counts,
        tuple(violations),
        registry.count,
    )


def _begin(services: Services, registry: Registry, plan: Plan, number: int, span: float) -> None:
    """Plan what the client with a number does."""
    numbers = services.dice.stream(f"client {number}")
    begin = numbers.random() * span + 1
    kind = numbers.choices(list(_KINDS), cum_weights=_CUMULATED)[0]
    if kind == "hostile":
        if "hostile" not in plan.off:
            victim = f"u{numbers.randrange(plan.clients)}"
            for _ in range(4):
                hostile = Hostile(services, registry, f"u{number}", victim, numbers)
                services.at(numbers.random() * (span + 300), hostile.act)
        return
    _ACTS[kind][1](Client(services, registry, number, begin))


def _busy(services: Services, functions: list[SimulatedFunction]) -> list[str]:
    """What is not at its end: messages on the queues, events under way, invocations, actions of the clients."""
    busy = [f"{one.message_id} on {queue.name}" for queue in services.working_queues for one in queue.messages.values()]
    busy += [f"{function.running} invocations of {function.spec.name}" for function in functions if function.running]
    busy += [f"{services.events} S3 events"] * bool(services.events)
    busy += [f"{services.actions} actions of clients"] * bool(services.actions)
    return busy
