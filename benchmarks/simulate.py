"""A discrete simulation of the queue, the event source mapping and the functions, to check the sizing against."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cli.sizing.calculator import POLLERS_AT_FIRST, POLLERS_PER_SECOND, Sizing, Workload, batch_seconds


@dataclass
class Run:
    """How it went: (second, messages that wait) as it goes on, and the most requests that the endpoint saw at once."""

    depths: list[tuple[float, float]] = field(default_factory=list)
    most_at_once: int = 0
    ended: float = 0.0
    batches: int = 0


def simulate(
    workload: Workload, sizing: Sizing, arrived: Callable[[float], float], messages: int, seed: int = 1
) -> Run:
    """Answer `messages`, of which `arrived(t)` have arrived by second t.

    The mapping takes batches with five pollers at first and 300 more a minute while messages wait, up to
    MaximumConcurrency; a batch that isn't full waits for its window. Latency varies by a fifth either way from call to
    call, and a batch takes as long as its slowest.
    """
    jitter = random.Random(seed)  # noqa: S311 - a simulation
    run = Run()
    taken = 0
    now = 0.0
    under_way: list[tuple[float, int]] = []
    waiting_since: float | None = None
    calls = 0
    while taken < messages or under_way:
        while under_way and under_way[0][0] <= now:
            calls -= heapq.heappop(under_way)[1]
        queued = min(messages, int(arrived(now))) - taken
        if queued > 0 and waiting_since is None:
            waiting_since = now
        pollers = POLLERS_AT_FIRST + (POLLERS_PER_SECOND * (now - waiting_since) if waiting_since is not None else 0)
        free = int(min(sizing.maximum_concurrency, pollers)) - len(under_way)
        while free > 0 and queued > 0:
            batch = min(sizing.batch_size, queued)
            slowest = jitter.random() ** (1 / batch)  # the largest of as many numbers between 0 and 1
            latency = workload.latency_seconds * (0.8 + 0.4 * slowest)
            wait = 0.0 if batch == sizing.batch_size else sizing.batching_window_seconds
            heapq.heappush(under_way, (now + wait + batch_seconds(latency, batch, workload.memory_mb), batch))
            calls += batch
            taken += batch
            queued -= batch
            free -= 1
            run.batches += 1
        if queued <= 0:
            waiting_since = None
        run.most_at_once = max(run.most_at_once, calls)
        if not run.depths or now - run.depths[-1][0] >= 1 or (queued == 0 and run.depths[-1][1] > 0):
            run.depths.append((now, queued))
        run.ended = now
        # On to the next end, or a little: messages arrive all the time.
        now = min(under_way[0][0], now + 0.05) if under_way else now + 0.05
    return run
