"""`sluice watch`: a deployment at work."""

import os
import re
import time
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from cli.deployment import Deployment
from cli.durations import DURATION
from cli.options import deployed
from cli.output import Output
from cli.watch_view import view
from cli.watched import Frame, Watcher

_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)  # they would be fetched from elsewhere


@click.command(short_help="Show a deployment at work.", epilog="Exit code: 0, also after Ctrl-C.")
@deployed
@click.option("--interval", type=DURATION, default=timedelta(seconds=5), show_default="5s", help="Between two looks.")
@click.option(
    "--period", type=DURATION, default=timedelta(minutes=15), show_default="15m", help="How far back counts go."
)
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), hidden=True, help="Save a picture of it.")
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
    """Show what a deployment is doing: queues, outcomes for each minute, reasons, the latest outcomes. Ctrl-C ends it.

    Counts come from the functions' logs, and so do reasons; the age of the oldest message is CloudWatch's, which is a
    minute or two behind. With --json, each look is one document.

    \b
    Examples:
      sluice watch
      sluice watch --once --json | jq '.Queues[] | select(.Queue == "dead letters").Visible'
    """
    watcher, stack = Watcher(deployment, period), str(ctx.params["stack"])
    try:
        if once or not output.is_terminal:
            _print(output, watcher.look(), stack, svg)
            while not once:
                time.sleep(interval.total_seconds())
                _print(output, watcher.look(), stack, None)
            return
        with Live(view(watcher.look(), stack), console=output.console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval.total_seconds())
                live.update(view(watcher.look(), stack), refresh=True)
    except KeyboardInterrupt:
        return


def _print(output: Output, frame: Frame, stack: str, svg: Path | None) -> None:
    if output.as_json:
        output.document(frame.document())
    else:
        output.console.print(view(frame, stack))
    if svg is not None:
        svg.write_text(picture(frame, stack))


def picture(frame: Frame, stack: str) -> str:
    """The frame as an SVG of a terminal."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=120, file=nowhere, force_terminal=True)
        console.print(view(frame, stack))
    return _FONTS.sub("", console.export_svg(title="sluice watch", unique_id="watch"))
