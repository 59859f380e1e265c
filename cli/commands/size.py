"""`sluice size`: calculate settings for a workload."""

import json
import math
from dataclasses import asdict

import click

from cli.errors import CliError, ExitCode
from cli.options import POSITIVE, Number, WholeNumber
from cli.sizing.calculator import Workload, calculate, explain


@click.command(
    short_help="Calculate settings and costs for a workload.",
    epilog="Exit code: 0, or 2 when a number is out of range. The command makes no AWS request.",
)
@click.option(
    "--latency-ms",
    type=POSITIVE,
    required=True,
    help="Latency of one call at --concurrency.",
)
@click.option(
    "--p99-ms",
    type=POSITIVE,
    help="Latency of the slowest calls.  [default: --latency-ms]",
)
@click.option(
    "--concurrency",
    type=WholeNumber("a whole number from 2 to 10000", min=2, max=10_000),
    required=True,
    help="The most requests that the endpoint may get at once.",
)
@click.option(
    "--dataset-concurrency",
    type=WholeNumber("a whole number of at least 0", min=0),
    default=0,
    show_default=True,
    help="How many of --concurrency only files under transform/ use; 0 if they share all.",
)
@click.option(
    "--per-second",
    type=Number("a number of at least 0, such as 150 or 0.5", min=0),
    required=True,
    help="Messages that arrive per second.",
)
@click.option(
    "--memory-mb",
    type=WholeNumber("a whole number from 128 to 10240", min=128, max=10_240),
    default=512,
    show_default=True,
    help="Memory of the function.",
)
@click.option(
    "--backlog",
    type=WholeNumber("a whole number of at least 0", min=0),
    default=0,
    show_default=True,
    help="Messages that are on the queue already.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def size(
    *,
    latency_ms: float,
    p99_ms: float | None,
    concurrency: int,
    dataset_concurrency: int,
    per_second: float,
    memory_mb: int,
    backlog: int,
    as_json: bool,
) -> None:
    """Calculate settings for a workload, what to expect of them, and what they cost.

    \b
    Examples:
      sluice size --latency-ms 200 --concurrency 100 --per-second 150
      sluice size --latency-ms 200 --concurrency 100 --dataset-concurrency 40 --per-second 100
      sluice size --latency-ms 200 --p99-ms 400 --concurrency 100 --per-second 20 --backlog 1000000
    """
    workload = Workload(
        latency_ms / 1000,
        concurrency,
        per_second,
        memory_mb=memory_mb,
        backlog=backlog,
        p99_seconds=None if p99_ms is None else p99_ms / 1000,
        dataset_requests=dataset_concurrency,
    )
    try:
        sizing = calculate(workload)
    except ValueError as error:
        raise CliError(str(error), ExitCode.USAGE) from None
    if not as_json:
        click.echo(explain(workload, sizing))
        return
    drain_seconds = None if math.isinf(sizing.drain_seconds) else sizing.drain_seconds  # JSON has no infinity
    click.echo(json.dumps({**asdict(sizing), "drain_seconds": drain_seconds}).replace('"lambda_"', '"lambda"'))
