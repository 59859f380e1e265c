"""`sluice size`: settings for a workload."""

import json
import math
from dataclasses import asdict

import click

from cli.errors import CliError, ExitCode
from cli.sizing import Workload, explain, size


@click.command(
    "size",
    short_help="Settings for a workload, and what it costs.",
    epilog="Exit code: 0, or 2 when a number makes no sense. It asks nothing of AWS.",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="One call's, at the concurrency below.",
)
@click.option(
    "--p99-ms", type=click.FloatRange(min=0, min_open=True), help="The slowest calls'. Default: as --latency-ms."
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=2),
    required=True,
    help="How many requests the endpoint may see at once.",
)
@click.option("--per-second", type=click.FloatRange(min=0), required=True, help="How many messages arrive.")
@click.option("--memory-mb", type=click.IntRange(128, 10_240), default=512, show_default=True, help="Of the function.")
@click.option("--backlog", type=click.IntRange(min=0), default=0, show_default=True, help="Messages that wait already.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    *,
    latency_ms: float,
    p99_ms: float | None,
    concurrency: int,
    per_second: float,
    memory_mb: int,
    backlog: int,
    as_json: bool,
) -> None:
    """Say what settings suit a workload, what to expect of them, and what it costs.

    \b
    Examples:
      sluice size --latency-ms 200 --concurrency 100 --per-second 150
      sluice size --latency-ms 200 --p99-ms 400 --concurrency 100 --per-second 20 --backlog 1000000
    """
    workload = Workload(
        latency_ms / 1000,
        concurrency,
        per_second,
        memory_mb=memory_mb,
        backlog=backlog,
        p99_seconds=None if p99_ms is None else p99_ms / 1000,
    )
    try:
        sizing = size(workload)
    except ValueError as error:
        raise CliError(str(error), ExitCode.USAGE) from None
    if not as_json:
        click.echo(explain(workload, sizing))
        return
    drains = None if math.isinf(sizing.drain_seconds) else sizing.drain_seconds  # JSON has no infinity
    click.echo(json.dumps({**asdict(sizing), "drain_seconds": drains}).replace('"lambda_"', '"lambda"'))
