"""Writes the tables and plots of the docs from results.json, between their markers."""

import re
import sys
from pathlib import Path

import plots
from goals import IN_FLIGHT, IN_FLIGHT_MS, LATENCIES_MS, SMALL_CPU, Results, find, goals, limit_seconds

from cli.quotas import HEAD_REQUESTS
from cli.sizing.calculator import Workload, calculate
from cli.sizing.cost import PRICES_AS_OF, cost_per_million

_ROOT = Path(__file__).parents[1]
CONCURRENT_REQUESTS = (2, 10, 20, 50, 100, 200, 1000)
USED = 0.7  # share of the endpoint's concurrency in use, so that batches fill and no backlog grows
NAMES = {
    "naive": "the samples' loop (boto3)",
    "powertools": "Powertools BatchProcessor",
    "powertools_async": "Powertools AsyncBatchProcessor, threads",
    "shared_aiobotocore": "shared aiobotocore clients",
    "sluice": "**Sluice**",
}


def batches_table(results: Results) -> str:
    """Time of warm and first batches ÷ limit, at 200 ms."""
    columns = [(batch, cpu) for cpu in (1.0, SMALL_CPU) for batch in (10, 100)]
    columns = [one for one in columns if find(results, "sluice", 200, *one)]
    head = " | ".join(f"batch {batch}, {cpu:g} CPU" for batch, cpu in columns)
    lines = [f"| | {head} | CPU ms per message | peak MB |", "| --- |" + " ---: |" * (len(columns) + 2)]
    limit = limit_seconds(results, 200)
    for contestant, name in NAMES.items():
        rows = [row for one in columns if (row := find(results, contestant, 200, *one))]
        cells = [f"{row['warm_batch_seconds'] / limit:.2f} / {row['first_batch_seconds'] / limit:.2f}" for row in rows]
        cpu = [row["cpu_ms_per_message"] for row in rows]
        memory = max(row["peak_memory_mb"] for row in rows)
        lines.append(f"| {name} | {' | '.join(cells)} | {min(cpu):.2f}–{max(cpu):.2f} | {memory:.0f} |")
    return "\n".join(lines)


def latencies_table(results: Results) -> str:
    """Sluice's warm batch ÷ limit at each latency."""
    cpus = [cpu for cpu in (1.0, SMALL_CPU) if find(results, "sluice", 200, 10, cpu)]
    columns = [(batch, cpu) for cpu in cpus for batch in (10, 100)]
    head = " | ".join(f"batch {batch}, {cpu:g} CPU" for batch, cpu in columns)
    lines = [f"| model | {head} |", "| --- |" + " ---: |" * len(columns)]
    for latency in LATENCIES_MS:
        limit = limit_seconds(results, latency)
        cells = [f"{find(results, 'sluice', latency, *one)['warm_batch_seconds'] / limit:.2f}" for one in columns]  # type: ignore[index]
        lines.append(f"| {latency:,} ms | {' | '.join(cells)} |")
    return "\n".join(lines)


def goals_table(results: Results) -> str:
    """The required and the measured figures."""
    lines = ["| figure | must | aim | measured |", "| --- | ---: | ---: | ---: |"]
    for goal in goals(results):
        sign = "≥" if goal.at_least else "≤"
        aim = f"{sign} {goal.aim:g}" if goal.aim is not None else ""
        lines.append(f"| {goal.name} | {sign} {goal.must:g} | {aim} | {goal.figure:.3g} |")
    return "\n".join(lines)


def cold_table(results: Results) -> str:
    """Cold starts as ratios, and the share of each imported package."""
    cold = results["cold_starts"]
    usual = cold["usual"]
    lines = ["| | process start → ready | → first answer |", "| --- | ---: | ---: |"]
    names = {"usual": "boto3 × 3 clients, Powertools Logger, Metrics and batch, pydantic", "sluice": "**Sluice**"}
    for name, row in cold.items():
        ready, first = row["ready_ms"] / usual["ready_ms"], row["first_answer_ms"] / usual["first_answer_ms"]
        lines.append(f"| {names.get(name, 'Sluice without its bytecode')} | {ready:.2f} | {first:.2f} |")
    for name, title in names.items():
        shares = results["imports_ms"][name]
        total = sum(shares.values())
        listed = ", ".join(f"{package} {100 * ms / total:.0f} %" for package, ms in list(shares.items())[:6])
        lines.append(f"\nImports of {title.strip('*')}: {listed}.")
    return "\n".join(lines)


def transform_table(results: Results) -> str:
    """The records of a file, as ratios to the boto3 loop."""
    names = {
        "loop": "one process, a boto3 call for each row",
        "single": "Sluice `transform/`, SingleRecord, one function",
        "multi": "**Sluice `transform/`**, MultiRecord, one function",
    }
    lines = [
        "| | records per second ÷ the loop's | calls per record | CPU ms per record |",
        "| --- | ---: | ---: | ---: |",
    ]
    loop = results["transform"]["loop"]
    for kind, name in names.items():
        row = results["transform"][kind]
        ratio = row["records_per_second"] / loop["records_per_second"]
        speed = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2f}"
        lines.append(f"| {name} | {speed} | {row['calls_per_record']:.4g} | {row['cpu_ms_per_record']:.3g} |")
    return "\n".join(lines)


def cost_table(results: Results) -> str:
    """Dollars for a million inferences."""
    cpu = SMALL_CPU if find(results, "sluice", 200, 10, SMALL_CPU) else 1.0
    lines = [
        "| | model | batch 10: Lambda | SQS | S3 | total | batch 100: Lambda | total |",
        "| --- | ---: |" + " ---: |" * 6,
    ]
    for contestant in ("naive", "powertools", "sluice"):
        for latency in LATENCIES_MS:
            costs = []
            for batch in (10, 100):
                row = find(results, contestant, latency, batch, cpu)
                assert row is not None  # noqa: S101 - all are measured on each CPU
                head_requests = HEAD_REQUESTS if contestant == "sluice" else 0
                costs.append(cost_per_million(row["warm_batch_seconds"], batch, 512, head_requests=head_requests))
            small, large = costs
            lines.append(
                f"| {NAMES[contestant]} | {latency:,} ms | {small.lambda_:.2f} | {small.sqs:.2f} | {small.s3:.2f} | "
                f"{small.total:.2f} | {large.lambda_:.2f} | {large.total:.2f} |"
            )
    lines.append(
        f"\nUS dollars, list prices of {PRICES_AS_OF}; 512 MB on arm64; excluding the endpoint and free tiers."
    )
    return "\n".join(lines)


def concurrency_table(_results: Results) -> str:
    """Dollars per million inferences for endpoints of different concurrency, with the settings of `make size`."""
    lines = [
        "| concurrency | batch × functions | messages per s | Lambda: 50 ms | 200 ms | 1,000 ms | SQS | S3 | total |",
        "| ---: |" + " ---: |" * 8,
    ]
    for concurrent in CONCURRENT_REQUESTS:
        sizings = []
        for latency in (0.05, 0.2, 1.0):
            messages_per_second = USED * concurrent / latency
            sizings.append(calculate(Workload(latency, concurrent, messages_per_second)))
        middle = sizings[1]
        costs = " | ".join(f"{one.cost.lambda_:.2f}" for one in sizings)
        lines.append(
            f"| {concurrent:,} | {middle.batch_size} × {middle.maximum_concurrency} | "
            f"{middle.messages_per_second:,.0f} | {costs} | {middle.cost.sqs:.2f} | {middle.cost.s3:.2f} | "
            f"{middle.cost.total:.2f} |"
        )
    return "\n".join(lines)


def conditions(results: Results) -> str:
    """The conditions of the measurement."""
    stub, growth = results["stub"], results["cpu_ms_per_message_by_batch"]
    waiting = ", ".join(
        f"{row['cpu_ms_per_message']:.2f} ms in batches of {batch}"
        for batch in (10, 100)
        if (row := find(results, "sluice", 200, batch, 1.0))
    )
    flat = ", ".join(f"{ms:.2f} ms in batches of {int(batch):,}" for batch, ms in growth.items())
    return (
        f"Python {results['python']}; the run took {results['minutes']:.0f} minutes. At Sluice's highest load here, "
        f"{stub['requests_per_second']:,.0f} requests a second, the stub's core is "
        f"{stub['share_of_its_core']:.0%} busy.\n"
        f"Sluice's CPU time per message with ten calls at once and a model that responds immediately (0 ms): {flat}.\n"
        f"With a model that takes 200 ms and a call for each message: {waiting}. A core is\n"
        "slower after it has waited; therefore the growth with the batch is measured at 0 ms, where only the batch "
        "size changes."
    )


def in_flight(results: Results) -> str:
    """What a function with many slow calls at once takes."""
    each = IN_FLIGHT_MS / 1000
    lines = [
        f"A batch of {IN_FLIGHT:,} messages to a model that takes {each:g} s, all called at once by one function,",
        "which may open 1,024 files and connections, as in Lambda:\n",
        f"| CPU | first batch ÷ {each:g} s | warm batch ÷ {each:g} s | peak MB |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in results["in_flight"]:
        first, warm = row["first_batch_seconds"] / each, row["warm_batch_seconds"] / each
        lines.append(f"| {row['cpu']:g} | {first:.2f} | {warm:.2f} | {row['peak_memory_mb']:.0f} |")
    return "\n".join(lines)


def headline(results: Results) -> str:
    """The README's sentence."""
    held = {goal.name: goal.figure for goal in goals(results)}
    limit = limit_seconds(results, 200)
    row = find(results, "sluice", 200, 100, SMALL_CPU) or find(results, "sluice", 200, 100, 1.0)
    assert row is not None  # noqa: S101 - it is always measured
    times = held.get("the same, times as fast as Powertools BatchProcessor", 0)
    cold = held["cold start to ready ÷ the usual imports and clients"]
    cpu = held["CPU per message ÷ naive's, the worse batch"]
    return (
        f"A batch of 100 messages to a model that takes 200 ms is done in {row['warm_batch_seconds'] / limit:.1f} × "
        f"the time of a single call, by a 512 MB function:\n{times:.0f} times as fast as Powertools' BatchProcessor, "
        f"on {cpu:.0%} of the CPU time of the usual boto3 loop, after {cold:.0%} of the usual cold\nstart."
    )


def write(results: Results) -> None:
    """Replace the text between the markers, and draw the plots."""
    parts = {
        "goals": goals_table,
        "batches": batches_table,
        "latencies": latencies_table,
        "cold": cold_table,
        "cost": cost_table,
        "concurrency": concurrency_table,
        "transform": transform_table,
        "conditions": conditions,
        "in flight": in_flight,
        "headline": headline,
    }
    for path in (_ROOT / "docs" / "performance.md", _ROOT / "README.md"):
        text = path.read_text()
        for name, part in parts.items():
            pattern = rf"(<!-- bench: {name} -->\n).*?(<!-- end -->)"
            text = re.sub(pattern, lambda m, p=part: f"{m[1]}{p(results)}\n{m[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
        path.write_text(text)
    plots.draw(results, _ROOT / "docs" / "images")


def report(results: Results) -> int:
    """Write the docs and print the tables. Return 1 if a required figure is missed, otherwise 0."""
    write(results)
    sys.stdout.write(f"\n{batches_table(results)}\n\n{goals_table(results)}\n\n{conditions(results)}\n")
    missed = [goal for goal in goals(results) if not goal.held]
    for goal in missed:
        sys.stdout.write(f"missed: {goal.name}: {goal.figure:.3g}, must be {goal.must:g}\n")
    return 1 if missed else 0
