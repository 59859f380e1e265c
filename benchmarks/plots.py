"""The plots of docs/performance.md, as reproducible SVG: equal figures give equal files."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from goals import SMALL_CPU, Results, find, limit_seconds
from matplotlib import pyplot as plt
from simulate import simulate

from cli.sizing.calculator import Workload, batch_seconds, calculate
from cli.sizing.cost import cost_per_million

NAMES = {
    "naive": "samples' loop",
    "powertools": "BatchProcessor",
    "powertools_async": "AsyncBatchProcessor",
    "shared_aiobotocore": "aiobotocore",
    "sluice": "Sluice",
}
_OURS, _THEIRS = "#0b7a75", "#b8b8b8"
MILLION = 1_000_000
_BURST = 90_000  # messages within one minute, every 15 minutes


def draw(results: Results, folder: Path) -> None:
    """Draw all plots into `folder`."""
    mpl.rcParams.update(
        {"svg.hashsalt": "sluice", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("batches", _batches(results)),
        ("cost", _cost(results)),
        ("backlog", _backlog()),
    ):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)


def _batches(results: Results) -> Any:
    cpus = [cpu for cpu in (1.0, SMALL_CPU) if find(results, "sluice", 200, 10, cpu)]
    columns = [(batch, cpu) for cpu in cpus for batch in (10, 100)]
    figure, axes = plt.subplots(1, len(columns), figsize=(2.6 * len(columns), 2.4), sharey=True, layout="constrained")
    limit = limit_seconds(results, 200)
    for axis, (batch, cpu) in zip(axes, columns, strict=True):
        ratios = [find(results, name, 200, batch, cpu)["warm_batch_seconds"] / limit for name in NAMES]  # type: ignore[index]
        colours = [_OURS if name == "sluice" else _THEIRS for name in NAMES]
        bars = axis.barh(list(NAMES.values()), ratios, color=colours)
        axis.bar_label(bars, [f"{ratio:.3g}" for ratio in ratios], padding=2)
        axis.set(xscale="log", xlim=(0.9, 300), title=f"batch of {batch}, {cpu:g} CPU")
        axis.title.set_fontsize(9)
    axes[0].invert_yaxis()  # shared by all axes; Sluice is last, as in the table
    figure.supxlabel("time for a warm batch ÷ limit, 200 ms model")
    return figure


def _cost(results: Results) -> Any:
    figure, axis = plt.subplots(figsize=(6, 3))
    batches = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    for latency, style in ((0.05, ":"), (0.2, "--"), (1.0, "-")):
        ours = [cost_per_million(batch_seconds(latency, b, 512), b, 512).lambda_ for b in batches]
        axis.plot(batches, ours, style, color=_OURS, label=f"Sluice, {latency * 1000:,.0f} ms model")
        row = find(results, "naive", round(latency * 1000), 10, SMALL_CPU)
        if row:
            per_message = row["warm_batch_seconds"] / 10
            theirs = [cost_per_million(per_message * b, b, 512).lambda_ for b in batches]
            axis.plot(batches, theirs, style, color="#777777", label=f"samples' loop, {latency * 1000:,.0f} ms model")
    axis.set(xscale="log", yscale="log", xlabel="batch = calls at once", ylabel="Lambda, $ per million")
    axis.legend(fontsize=7, frameon=False)
    return figure


def bursts(base: float) -> Any:
    """The number of messages that have arrived by second t: `base` a second, and a burst every 15 minutes."""

    def arrived(t: float) -> float:
        whole, part = divmod(t, 900)
        return base * t + _BURST * (whole + min(1.0, part / 60))

    return arrived


def _backlog() -> Any:
    figure, axis = plt.subplots(figsize=(6, 3))
    for concurrency, colour in ((50, "#c9a227"), (100, _OURS), (200, "#2b4c7e")):
        workload = Workload(0.2, concurrency, 150, backlog=_BURST, p99_seconds=0.24)
        run = simulate(workload, calculate(workload), bursts(150), MILLION)
        axis.plot(*zip(*run.depths, strict=True), color=colour, label=f"endpoint takes {concurrency} at once")
    axis.set(xlabel="seconds", ylabel="messages that wait")
    axis.legend(fontsize=7, frameon=False)
    return figure
