"""Runs the demo and prints its outcomes."""

import contextlib
import textwrap
import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.demo.cases import cases
from local.demo.outcomes import Outcome, check_dead_letters, follow, start
from local.demo.prompts import run_prompts
from local.demo.transform import Dataset, transform
from local.engine import running

SETTINGS: dict[str, Any] = {
    # Retryable failures are retried within seconds, and dead-lettered on the third receive.
    "retry": {"max_receive_count": 3, "base_seconds": 1, "cap_seconds": 1},
    # The cases depend on these settings, regardless of cdk.json.
    "max_body_bytes": 6_291_456,
    "custom_attributes_template": None,
    "input_location_buckets": [],
}
_REASON = 110  # characters of a reason that the table shows; the .err has the full text
_WIDTH = 160  # columns, if the output is not a terminal


def run(directory: Path) -> int:
    """Run the demo with its files in `directory`, and return the exit code: 0 if every outcome is as expected."""
    console = Console(highlight=False, width=None if Console().is_terminal else _WIDTH)
    results = directory / "results"
    began = time.monotonic()
    console.print("[bold]Sluice[/bold], on this machine: a local AWS, and three sample models behind an endpoint.")
    with contextlib.ExitStack() as stack:
        with console.status("Synthesizing the CDK stack, training the models, starting the local AWS…"):
            engine = stack.enter_context(running(directory, SETTINGS))
        console.print(f"Synthesized the stack and deployed it there in {time.monotonic() - began:.1f} s.")
        given = cases(engine.input_bucket)
        pending = start(engine, given)
        console.print(
            f"Dropped {sum(case.title.startswith('drop') for case in given)} files under "
            f"s3://{engine.input_bucket}/invoke/ and sent the rest to the request queue."
        )
        ended: list[Outcome] = []
        columns = (SpinnerColumn(), TextColumn("Outcomes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=len(given))
            for one in follow(engine, pending, results):
                ended.append(one)
                progress.advance(task)
        wrong = [check_dead_letters(engine, ended, directory)]
        ended.sort(key=lambda one: given.index(one.case))
        console.print(_table(ended))
        wrong += transform(console, engine, directory, Dataset.make())
        wrong += run_prompts(console, engine, directory)
    return _sum_up(console, ended, [one for one in wrong if one], directory)


def _table(ended: list[Outcome]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        caption="(In parentheses: the trace ID of the request, because the model returned none.)",
        caption_justify="right",
    )
    table.add_column("Input", no_wrap=True)
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Prediction, or reason", overflow="fold", min_width=34)
    table.add_column("Trace ID, back from the model", overflow="fold")
    table.add_column("Time", justify="right")
    for one in ended:
        outcome = "[green]answered[/green]" if one.prediction else "[yellow]dead-lettered[/yellow]"
        if one.wrong:
            outcome = "[red]NOT EXPECTED[/red]"
        trace = one.trace_id if one.prediction else f"[dim]({one.trace_id})[/dim]"
        text = escape(textwrap.shorten(one.prediction or one.reason, _REASON, placeholder=" …"))
        table.add_row(one.case.title, outcome, text, trace, f"{one.seconds:.1f} s")
    return table


def _sum_up(console: Console, ended: list[Outcome], wrong: list[str], directory: Path) -> int:
    unexpected = [f"{one.case.title.strip()}: {one.wrong}" for one in ended if one.wrong] + wrong
    answered = sum(bool(one.prediction) for one in ended)
    where = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    console.print(
        f"Of the others, {answered} answered, {len(ended) - answered} dead-lettered with their reason. The results, "
        f"byte for byte as the models returned them, and an .err for each failure: {where}/results/. The dead-letter "
        f"queue: {where}/dead-letters.json."
    )
    for line in unexpected:
        console.print(f"[red]Not expected:[/red] {line}")
    if not unexpected:
        console.print(
            "Every outcome is the expected one. Next: [bold]make up[/bold] keeps all this running for the plain AWS "
            "CLI; [bold]make synth[/bold] writes the template; [bold]make deploy[/bold] puts it before your endpoint."
        )
    return 1 if unexpected else 0
