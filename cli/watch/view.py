"""Renders a snapshot for a terminal, and as an SVG."""

import os
import re
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.timefmt import format_utc, humanize
from cli.watch.snapshot import ALARMING, Snapshot

_BARS = "▁▂▃▄▅▆▇█"
_STYLES = {
    "succeeded": "green",
    "duplicate": "green",
    "superseded": "dim",
    "retry": "yellow",
    "dead-lettered": "red",
    "Done": "green",
    "Failed": "red",
    "Retried": "yellow",
}
_MAX_REASONS = 8
_WIDEST = 100_000  # characters: wider than any line, so that none is cut
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def render(snapshot: Snapshot, stack: str, *, is_whole: bool = False) -> RenderableType:
    """The snapshot as tables. They fill the width and cut what is longer, unless all of it is shown (`is_whole`)."""
    parts: list[RenderableType] = [
        Text.assemble(("sluice watch  ", "bold"), (stack, "bold cyan"), f"   {format_utc(snapshot.at)}"),
        Text(""),
        _queues(snapshot),
        Text(""),
        _rates(snapshot),
    ]
    if snapshot.reasons:
        parts += [Text(""), _reasons(snapshot, is_whole=is_whole)]
    if snapshot.latest:
        parts += [Text(""), _latest(snapshot, is_whole=is_whole)]
    if snapshot.note:
        parts += [Text(""), Text(snapshot.note, style="yellow")]
    return Group(*parts)


def render_lines(snapshot: Snapshot, stack: str) -> list[str]:
    """The snapshot as lines of text for a pipe: names and messages are whole, however long they are."""
    with Path(os.devnull).open("w") as null:
        console = Console(width=_WIDEST, file=null, force_terminal=False, color_system=None)
        with console.capture() as capture:
            console.print(render(snapshot, stack, is_whole=True))
    return [line.rstrip() for line in capture.get().splitlines()]


def render_svg(snapshot: Snapshot, stack: str) -> str:
    """The snapshot as an SVG of a terminal."""
    with Path(os.devnull).open("w") as null:
        console = Console(record=True, width=120, file=null, force_terminal=True)
        console.print(render(snapshot, stack))
    # The font faces would be fetched from another site.
    return _FONTS.sub("", console.export_svg(title="sluice watch", unique_id="watch"))


def _table(*columns: str, numbers: int = 0, fold: str = "") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, expand=bool(fold))
    for index, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if 0 < index <= numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column == fold else None,
        )
    return table


def _queues(snapshot: Snapshot) -> Table:
    table = _table("Queue", "Visible", "In flight", "Delayed", "Oldest", numbers=4)
    for name, depth in snapshot.depths.items():
        oldest = snapshot.oldest_seconds.get(name)
        is_alarming = name in ALARMING and depth.total
        table.add_row(
            Text(name, style="red" if is_alarming else ""),
            Text(f"{depth.visible:,}", style="bold red" if is_alarming else ""),
            f"{depth.in_flight:,}",
            f"{depth.delayed:,}",
            "-" if oldest is None else humanize(oldest),
        )
    return table


def _rates(snapshot: Snapshot) -> Table:
    minutes = len(next(iter(snapshot.per_minute.values())))
    table = _table("Requests", "Last minute", f"Last {minutes} min", "Per minute", numbers=2)
    for name, counts in snapshot.per_minute.items():
        maximum = max(counts)
        bars = "".join(_BARS[-(-count * 7 // maximum)] if count else " " for count in counts)
        table.add_row(name.lower(), f"{counts[-1]:,}", f"{sum(counts):,}", Text(bars, style=_STYLES[name]))
    return table


def _reasons(snapshot: Snapshot, *, is_whole: bool) -> Table:
    fold = "" if is_whole else "Last message"
    table = _table("Reason", "Count", "Endpoint", "Outcome", "Last message", numbers=1, fold=fold)
    for reason in snapshot.reasons[:_MAX_REASONS]:
        table.add_row(
            _single_line(reason.error_code),
            f"{reason.count:,}",
            _single_line(reason.endpoint_name or "-"),
            Text(reason.status, style=_STYLES.get(reason.status, "")),
            _single_line(reason.last_message),
        )
    return table


def _latest(snapshot: Snapshot, *, is_whole: bool) -> Table:
    table = _table("Latest", "Outcome", "Result", "Trace ID", fold="" if is_whole else "Result")
    for outcome in snapshot.latest:
        table.add_row(
            format_utc(outcome.at),
            Text(outcome.status.value, style=_STYLES.get(outcome.status.value, "")),
            _single_line(outcome.result or "-"),
            _single_line(str(outcome.fields.get("trace_id", "-"))),
        )
    return table


def _single_line(text: str) -> Text:
    """`text` in one line, unchanged otherwise: as a plain string, rich would interpret brackets as markup."""
    return Text("".join(char if char.isprintable() else " " for char in text))
