"""From what is known of a workload to settings.

How it is reckoned, and how well it predicts a simulation, is in docs/performance.md.
"""

import math
from dataclasses import dataclass

from cli.cost import Cost, cost_per_million

# What `make bench` measured on one core, rounded up, in seconds.
CPU_SECONDS_PER_MESSAGE = 0.0006
_MB_PER_VCPU = 1769  # Lambda, "Memory and computing power"
_UNFILLED_BATCH = 10  # larger ones need a batching window (a rule of Lambda's), which sparse messages would wait for
POLLERS_AT_FIRST, POLLERS_PER_SECOND = (
    5,
    300 / 60,
)  # AWS, "Configuring scaling behavior for SQS event source mappings"


@dataclass(frozen=True, slots=True)
class Workload:
    """What is known: seconds for one answer, how many requests the endpoint may see at once, and what arrives.

    A batch takes as long as its slowest call, `p99_seconds`; where that isn't known, as long as a usual one.
    """

    latency_seconds: float
    concurrent_requests: int
    arrivals_per_second: float
    memory_mb: int = 512
    backlog: int = 0
    p99_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Sizing:
    """Settings, and what to expect of them. `drain_seconds` is infinite where more arrives than can be answered."""

    batch_size: int
    batching_window_seconds: int
    maximum_concurrency: int
    messages_per_second: float
    busy: float
    drain_seconds: float
    cost: Cost


def batch_seconds(latency_seconds: float, batch: int, memory_mb: int) -> float:
    """How long a function takes for a batch whose calls all go out at once.

    The CPU time before the last call goes out is spent while the first is waited for; half of it remains to be seen.
    """
    cpu = batch * CPU_SECONDS_PER_MESSAGE / min(1.0, memory_mb / _MB_PER_VCPU)
    return max(latency_seconds + cpu / 2, cpu)


def size(workload: Workload) -> Sizing:
    """Settings for `workload`.

    Raises `ValueError` when one of its numbers makes no sense, naming it.
    """
    slowest = workload.latency_seconds if workload.p99_seconds is None else workload.p99_seconds
    if slowest < workload.latency_seconds:
        raise ValueError("p99_seconds must not be below latency_seconds")
    for name, least in (("latency_seconds", 0), ("concurrent_requests", 1), ("memory_mb", 127)):
        if getattr(workload, name) <= least:
            raise ValueError(f"{name} must be over {least}")
    if workload.arrivals_per_second < 0 or workload.backlog < 0:
        raise ValueError("arrivals_per_second and backlog must not be below 0")
    share = min(1.0, workload.memory_mb / _MB_PER_VCPU)
    useful = math.floor(share * workload.latency_seconds / CPU_SECONDS_PER_MESSAGE)
    fills = max(_UNFILLED_BATCH, math.floor(workload.arrivals_per_second), workload.backlog)
    batch = max(1, min(useful, fills, workload.concurrent_requests // 2, 10_000))
    window = 1 if batch > _UNFILLED_BATCH else 0
    functions = min(1000, workload.concurrent_requests // batch)
    seconds = batch_seconds(slowest, batch, workload.memory_mb)
    rate = functions * batch / seconds
    spare = rate - workload.arrivals_per_second
    return Sizing(
        batch_size=batch,
        batching_window_seconds=window,
        maximum_concurrency=functions,
        messages_per_second=rate,
        busy=workload.arrivals_per_second / rate,
        drain_seconds=_drain(workload.backlog, functions, rate, spare) if spare > 0 else math.inf,
        cost=cost_per_million(seconds, batch, workload.memory_mb),
    )


def _drain(backlog: int, functions: int, rate: float, spare: float) -> float:
    """Seconds until a backlog is gone, the event source mapping's own start included."""
    ramp = max(0.0, functions - POLLERS_AT_FIRST) / POLLERS_PER_SECOND
    not_yet = rate * ramp * (1 - min(1.0, POLLERS_AT_FIRST / functions)) / 2
    return (backlog + not_yet) / spare if backlog else 0.0


def explain(workload: Workload, sizing: Sizing) -> str:
    """The sizing in words, with the settings as cdk.json has them."""
    lines = [
        "Settings:",
        f'  "concurrent_requests": {workload.concurrent_requests},',
        f'  "batch_size": {sizing.batch_size},',
        f'  "batching_window_seconds": {sizing.batching_window_seconds},',
        f'  "function": {{"memory_mb": {workload.memory_mb}}}',
        "What follows:",
        f"  {sizing.maximum_concurrency} functions at once, each with {sizing.batch_size} calls under way",
        f"  up to {sizing.messages_per_second:,.0f} messages a second; {sizing.busy:.0%} of that arrives",
    ]
    if sizing.busy >= 1:
        needed = math.ceil(workload.arrivals_per_second * workload.latency_seconds * 1.25)
        lines.append(
            f"  the queue grows: the endpoint needs to take about {needed} requests at once, with a fifth to spare"
        )
    elif workload.backlog:
        lines.append(f"  a backlog of {workload.backlog:,} is gone after {sizing.drain_seconds:,.0f} s")
    cost = sizing.cost
    lines.append(
        f"  ${cost.total:.2f} for a million inferences beside the endpoint: Lambda ${cost.lambda_:.2f}, "
        f"SQS ${cost.sqs:.2f}, S3 ${cost.s3:.2f}"
    )
    return "\n".join(lines)
