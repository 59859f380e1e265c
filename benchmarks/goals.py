"""The figures that Sluice must reach, from results.json."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# vCPU of a 512 MB function: memory ÷ 1,769 MB (Lambda documentation, "Memory and computing power").
SMALL_CPU = 0.29
LATENCIES_MS = (50, 200, 1000)
IN_FLIGHT, IN_FLIGHT_MS = 1000, 10_000  # calls at once in one function, each of which takes so long
Results = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """A figure and its limit: a minimum if `at_least`, otherwise a maximum."""

    name: str
    must: float
    aim: float | None
    figure: float
    at_least: bool = False

    @property
    def held(self) -> bool:
        """Whether the figure is within the limit."""
        return self.figure >= self.must if self.at_least else self.figure <= self.must


def find(results: Results, contestant: str, latency_ms: int, batch: int, cpu: float) -> dict[str, float] | None:
    """The row of a batch measurement, or None if it was not measured."""
    for row in results["batches"]:
        if (row["contestant"], row["latency_ms"], row["batch"], row["cpu"]) == (contestant, latency_ms, batch, cpu):
            return dict(row)
    return None


def limit_seconds(results: Results, latency_ms: int) -> float:
    """The minimum time of any batch: the latency and one PutObject."""
    row = find(results, "limit", latency_ms, 1, 1.0)
    assert row is not None  # noqa: S101 - it is always measured
    return row["warm_batch_seconds"]


def goals(results: Results) -> list[Goal]:
    """All goals that could be measured."""

    def ratio(field: str, latency_ms: int, batch: int, cpu: float) -> float | None:
        row = find(results, "sluice", latency_ms, batch, cpu)
        return row[field] / limit_seconds(results, latency_ms) if row else None

    def against(
        contestant: str, what: Callable[[dict[str, float], dict[str, float]], float], cpu: float
    ) -> float | None:
        theirs, ours = find(results, contestant, 200, 100, cpu), find(results, "sluice", 200, 100, cpu)
        return what(theirs, ours) if theirs and ours else None

    def faster(theirs: dict[str, float], ours: dict[str, float]) -> float:
        return theirs["warm_batch_seconds"] / ours["warm_batch_seconds"]

    cold = results["cold_starts"]
    growth = results["cpu_ms_per_message_by_batch"].values()
    slowest = [r for latency in LATENCIES_MS if (r := ratio("warm_batch_seconds", latency, 10, 1.0))]
    cpu_ratios = [
        ours["cpu_ms_per_message"] / theirs["cpu_ms_per_message"]
        for batch in (10, 100)
        if (ours := find(results, "sluice", 200, batch, 1.0)) and (theirs := find(results, "naive", 200, batch, 1.0))
    ]
    found: list[tuple[str, float, float | None, float | None, bool]] = [
        ("warm batch of 10, the worst latency, ÷ limit", 1.15, 1.05, max(slowest), False),
        ("warm batch of 100, 200 ms, 1 CPU, ÷ limit", 1.35, 1.10, ratio("warm_batch_seconds", 200, 100, 1.0), False),
        (
            "warm batch of 100, 200 ms, 0.29 CPU, ÷ limit",
            2.0,
            1.25,
            ratio("warm_batch_seconds", 200, 100, SMALL_CPU),
            False,
        ),
        ("the same, times as fast as naive", 50, 90, against("naive", faster, SMALL_CPU), True),
        (
            "the same, times as fast as Powertools BatchProcessor",
            50,
            90,
            against("powertools", faster, SMALL_CPU),
            True,
        ),
        (
            "first batch of 10, 200 ms, 0.29 CPU, ÷ limit",
            1.8,
            1.3,
            ratio("first_batch_seconds", 200, 10, SMALL_CPU),
            False,
        ),
        ("CPU per message ÷ naive's, the worse batch", 0.45, 0.2, max(cpu_ratios), False),
        (
            "cold start to ready ÷ the usual imports and clients",
            0.65,
            0.4,
            cold["sluice"]["ready_ms"] / cold["usual"]["ready_ms"],
            False,
        ),
        ("code and layer unpacked, MB", 30, 12, results["unpacked_bytes"] / 1e6, False),
        (
            "a file's records: CPU of a boto3 loop ÷ ours",
            20,
            None,
            results["transform"]["loop"]["cpu_ms_per_record"] / results["transform"]["multi"]["cpu_ms_per_record"],
            True,
        ),
        (
            "1,000 calls of 10 s at once in one function, without open connections, 1 CPU, ÷ 10 s",
            1.2,
            1.03,
            results["in_flight"][0]["first_batch_seconds"] * 1000 / IN_FLIGHT_MS,
            False,
        ),
        (
            "CPU per message at batch 10, 100 and 1,000, 0 ms model: largest ÷ smallest",
            1.15,
            None,
            max(growth) / min(growth),
            False,
        ),
    ]
    return [Goal(name, must, aim, figure, side) for name, must, aim, figure, side in found if figure is not None]
