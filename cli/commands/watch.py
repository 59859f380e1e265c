"""`sluice watch`: show the activity of a deployment."""

import time
from datetime import timedelta
from pathlib import Path

import click
from rich.live import Live

from cli.deployment import Deployment
from cli.options import deployment_options
from cli.output import Output
from cli.timefmt import Duration
from cli.watch.snapshot import Snapshot
from cli.watch.view import render, render_lines, render_svg
from cli.watch.watcher import Watcher


@click.command(short_help="Show the activity of a deployment.", epilog="Exit code: 0, also after Ctrl-C.")
@deployment_options
@click.option(
    "--interval",
    type=Duration(shortest=timedelta(seconds=1)),
    default="5s",
    show_default=True,
    help="Time between two updates.",
)
@click.option("--period", type=Duration(), default="15m", show_default=True, help="How far back counts go.")
@click.option("--once", is_flag=True, help="Print the current state and exit.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), hidden=True, help="Save the first update as an SVG."
)
@click.pass_context
def watch(
    ctx: click.Context,
    deployment: Deployment,
    output: Output,
    *,
    interval: timedelta,
    period: timedelta,
    once: bool,
    svg: Path | None,
) -> None:
    """Show the activity of a deployment: queues, outcomes per minute, reasons, latest outcomes. Ctrl-C ends it.

    The counts and reasons come from the logs of the functions. The age of the oldest message comes from CloudWatch,
    with a delay of one or two minutes. With --json, each update is one document.

    \b
    Examples:
      sluice watch
      sluice watch --once --json | jq '.Queues[] | select(.Queue == "dead letters").Visible'
    """
    watcher, stack = Watcher(deployment, period), str(ctx.params["stack"])
    try:
        if once or not output.is_terminal:
            _print(output, watcher.snapshot(), stack, svg)
            while not once:
                time.sleep(interval.total_seconds())
                _print(output, watcher.snapshot(), stack, None)
            return
        with Live(render(watcher.snapshot(), stack), console=output.console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval.total_seconds())
                live.update(render(watcher.snapshot(), stack), refresh=True)
    except KeyboardInterrupt:
        return


def _print(output: Output, snapshot: Snapshot, stack: str, svg: Path | None) -> None:
    if output.as_json:
        output.document(snapshot.document())
    elif output.is_terminal:
        output.console.print(render(snapshot, stack))
    else:
        for line in render_lines(snapshot, stack):
            output.line(line)
    if svg is not None:
        svg.write_text(render_svg(snapshot, stack))
