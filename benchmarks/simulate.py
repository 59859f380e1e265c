"""A discrete simulation of the queue, the event source mapping and the functions, used to check the sizing."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cli.sizing.calculator import POLLERS_AT_FIRST, POLLERS_PER_SECOND, Sizing, Workload, batch_seconds


@dataclass
class Run:
    """The result: the number of waiting messages by second, and the maximum of concurrent requests."""

    depths: list[tuple[float, float]] = field(default_factory=list)
    most_concurrent: int = 0
    ended: float = 0.0
    batches: int = 0


def simulate(
    workload: Workload, sizing: Sizing, arrived: Callable[[float], float], messages: int, seed: int = 1
) -> Run:
    """Process `messages`, of which `arrived(t)` have arrived by second t.

    The mapping starts with five pollers and adds 300 a minute while messages wait, up to MaximumConcurrency; a batch
    that isn't full waits for the batching window. Latency varies by ±20 % from call to call, and a batch takes as long
    as its slowest call.
    """
    jitter = random.Random(seed)  # noqa: S311 - a simulation
    run = Run()
    taken = 0
    now = 0.0
    in_flight: list[tuple[float, int]] = []
    waiting_since: float | None = None
    calls = 0
    while taken < messages or in_flight:
        while in_flight and in_flight[0][0] <= now:
            calls -= heapq.heappop(in_flight)[1]
        queued = min(messages, int(arrived(now))) - taken
        if queued > 0 and waiting_since is None:
            waiting_since = now
        pollers = POLLERS_AT_FIRST + (POLLERS_PER_SECOND * (now - waiting_since) if waiting_since is not None else 0)
        free = int(min(sizing.maximum_concurrency, pollers)) - len(in_flight)
        while free > 0 and queued > 0:
            batch = min(sizing.batch_size, queued)
            slowest = jitter.random() ** (1 / batch)  # the maximum of `batch` uniform random numbers
            latency = workload.latency_seconds * (0.8 + 0.4 * slowest)
            wait = 0.0 if batch == sizing.batch_size else sizing.batching_window_seconds
            heapq.heappush(in_flight, (now + wait + batch_seconds(latency, batch, workload.memory_mb), batch))
            calls += batch
            taken += batch
            queued -= batch
            free -= 1
            run.batches += 1
        if queued <= 0:
            waiting_since = None
        run.most_concurrent = max(run.most_concurrent, calls)
        if not run.depths or now - run.depths[-1][0] >= 1 or (queued == 0 and run.depths[-1][1] > 0):
            run.depths.append((now, queued))
        run.ended = now
        # Advance to the next completion, by at most 50 ms, because messages arrive continuously.
        now = min(in_flight[0][0], now + 0.05) if in_flight else now + 0.05
    return run
