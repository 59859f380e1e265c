"""Calculates settings for a workload. docs/performance.md explains the model and how well it predicts a simulation."""

import math
from dataclasses import dataclass

from cli.quotas import FIRST_POLLERS, POLLERS_A_MINUTE
from cli.sizing.cost import Cost, cost_per_million
from cli.sizing.limits import exceeded

CPU_SECONDS_PER_MESSAGE = 0.0006
"""CPU time per message on one core, as `make bench` measured it, rounded up."""

POLLERS_AT_FIRST, POLLERS_PER_SECOND = FIRST_POLLERS, POLLERS_A_MINUTE.value / 60
"""How an event source mapping scales."""

_LEAST_SHARE = 2  # Lambda's lowest MaximumConcurrency: each function that calls endpoints makes at least two calls

_MB_PER_VCPU = 1769  # AWS, "Configure Lambda function memory"
_MAX_BATCH_WITHOUT_WINDOW = 10  # Lambda requires a batching window for larger batches, which delays single messages


@dataclass(frozen=True, slots=True)
class Workload:
    """What is known of a workload.

    `latency_seconds` is the latency of one call, `concurrent_requests` the most requests that the endpoint may get at
    once, `memory_mb` the memory of the function, and `backlog` the number of messages already on the queue. A batch
    takes as long as its slowest call: `p99_seconds`, or without it `latency_seconds`. `dataset_requests` are those of
    the concurrent requests that only files under transform/ use; 0 if they have no share of their own.
    """

    latency_seconds: float
    concurrent_requests: int
    arrivals_per_second: float
    memory_mb: int = 512
    backlog: int = 0
    p99_seconds: float | None = None
    dataset_requests: int = 0

    @property
    def live_requests(self) -> int:
        """The concurrent requests of messages and files under invoke/."""
        return self.concurrent_requests - self.dataset_requests


@dataclass(frozen=True, slots=True)
class Sizing:
    """Settings and their effects.

    `busy` is the arrival rate as a fraction of `messages_per_second`, the highest rate that can be answered.
    `drain_seconds` is infinite when the queue grows. `quotas` has a line for each quota of AWS that they may exceed.
    """

    batch_size: int
    batching_window_seconds: int
    maximum_concurrency: int
    messages_per_second: float
    busy: float
    drain_seconds: float
    cost: Cost
    quotas: tuple[str, ...] = ()


def batch_seconds(latency_seconds: float, batch: int, memory_mb: int) -> float:
    """How long a function takes for a batch whose calls are all concurrent.

    While the first call is in progress, the function uses CPU time to start the others. On average, half of it adds to
    the duration.
    """
    cpu = batch * CPU_SECONDS_PER_MESSAGE / min(1.0, memory_mb / _MB_PER_VCPU)
    return max(latency_seconds + cpu / 2, cpu)


def calculate(workload: Workload) -> Sizing:
    """The settings for `workload`. Raises `ValueError`, which names the field, for a number that is out of range."""
    slowest = workload.latency_seconds if workload.p99_seconds is None else workload.p99_seconds
    if slowest < workload.latency_seconds:
        raise ValueError("p99_seconds must not be below latency_seconds")
    for name, limit in (("latency_seconds", 0), ("concurrent_requests", 1), ("memory_mb", 127)):
        if getattr(workload, name) <= limit:
            raise ValueError(f"{name} must be over {limit}")
    least, most = _LEAST_SHARE, workload.concurrent_requests - _LEAST_SHARE
    if workload.dataset_requests and not least <= workload.dataset_requests <= most:
        raise ValueError(
            f"dataset_requests must be 0, because concurrent_requests is under {2 * least}"
            if most < least
            else f"dataset_requests must be 0, or from {least} to {most}"
        )
    if workload.arrivals_per_second < 0 or workload.backlog < 0:
        raise ValueError("arrivals_per_second and backlog must not be below 0")
    vcpus = min(1.0, workload.memory_mb / _MB_PER_VCPU)
    startable = math.floor(vcpus * workload.latency_seconds / CPU_SECONDS_PER_MESSAGE)
    available = max(_MAX_BATCH_WITHOUT_WINDOW, math.floor(workload.arrivals_per_second), workload.backlog)
    batch = max(1, min(startable, available, workload.live_requests // _LEAST_SHARE, 10_000))
    functions = min(1000, workload.live_requests // batch)
    seconds = batch_seconds(slowest, batch, workload.memory_mb)
    rate = functions * batch / seconds
    spare_rate = rate - workload.arrivals_per_second
    drain = _drain_seconds(workload.backlog, functions, rate, spare_rate) if spare_rate > 0 else math.inf
    return Sizing(
        batch_size=batch,
        batching_window_seconds=1 if batch > _MAX_BATCH_WITHOUT_WINDOW else 0,
        maximum_concurrency=functions,
        messages_per_second=rate,
        busy=workload.arrivals_per_second / rate,
        drain_seconds=drain,
        cost=cost_per_million(seconds, batch, workload.memory_mb),
        quotas=tuple(exceeded(functions, rate, drain)),
    )


def explain(workload: Workload, sizing: Sizing) -> str:
    """The sizing as text, with the settings as they are written in cdk.json."""
    lines = [
        "Settings:",
        f'  "concurrent_requests": {workload.concurrent_requests},',
        f'  "concurrent_dataset_requests": {workload.dataset_requests},',
        f'  "batch_size": {sizing.batch_size},',
        f'  "batching_window_seconds": {sizing.batching_window_seconds},',
        f'  "function": {{"memory_mb": {workload.memory_mb}}}',
        "Expected:",
        f"  {sizing.maximum_concurrency} concurrent functions with {sizing.batch_size} concurrent calls each",
        f"  up to {sizing.messages_per_second:,.0f} messages per second; the workload is {sizing.busy:.0%} of that",
    ]
    if sizing.busy >= 1:
        needed = math.ceil(workload.arrivals_per_second * workload.latency_seconds * 1.25)
        lines.append(
            f"  the queue grows: the endpoint needs to take about {needed} requests at once, which leaves a fifth spare"
        )
    elif workload.backlog:
        lines.append(f"  a backlog of {workload.backlog:,} is gone after {sizing.drain_seconds:,.0f} s")
    if not workload.dataset_requests:
        lines.append(
            "  files under transform/ have no share: they would use the same requests, and others would wait behind "
            "them; --dataset-concurrency gives them one"
        )
    cost = sizing.cost
    lines.append(
        f"  ${cost.total:.2f} per million inferences without the endpoint: Lambda ${cost.lambda_:.2f}, "
        f"SQS ${cost.sqs:.2f}, S3 ${cost.s3:.2f}"
    )
    if sizing.quotas:
        lines += ["Quotas:", *(f"  {one}" for one in sizing.quotas)]
    return "\n".join(lines)


def _drain_seconds(backlog: int, functions: int, rate: float, spare_rate: float) -> float:
    """Seconds until the backlog is gone, with the time that the event source mapping takes to scale up."""
    ramp = max(0.0, functions - POLLERS_AT_FIRST) / POLLERS_PER_SECOND
    missed = rate * ramp * (1 - min(1.0, POLLERS_AT_FIRST / functions)) / 2
    return (backlog + missed) / spare_rate if backlog else 0.0
