"""A frame of `sluice watch`, as a terminal shows it."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.durations import spoken
from cli.watched import Frame

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


def view(frame: Frame, stack: str) -> RenderableType:
    """The frame."""
    parts: list[RenderableType] = [
        Text.assemble(("sluice watch  ", "bold"), (stack, "bold cyan"), f"   {frame.at:%Y-%m-%d %H:%M:%S} UTC"),
        Text(""),
        _queues(frame),
        Text(""),
        _rates(frame),
    ]
    if frame.reasons:
        parts += [Text(""), _reasons(frame)]
    if frame.latest:
        parts += [Text(""), _latest(frame)]
    if frame.note:
        parts += [Text(""), Text(frame.note, style="yellow")]
    return Group(*parts)


def _table(*columns: str, numbers: int = 0, fold: str = "") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, expand=bool(fold))
    for place, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if 0 < place <= numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column == fold else None,
        )
    return table


def _queues(frame: Frame) -> Table:
    table = _table("Queue", "Visible", "In flight", "Delayed", "Oldest", numbers=4)
    for name, depth in frame.depths.items():
        oldest = frame.oldest_seconds.get(name)
        alarming = name in {"dead letters", "crashed"} and depth.all
        table.add_row(
            Text(name, style="red" if alarming else ""),
            Text(f"{depth.visible:,}", style="bold red" if alarming else ""),
            f"{depth.in_flight:,}",
            f"{depth.delayed:,}",
            "-" if oldest is None else spoken(oldest),
        )
    return table


def _rates(frame: Frame) -> Table:
    minutes = len(next(iter(frame.per_minute.values())))
    table = _table("Requests", "Last minute", f"Last {minutes} min", "Minute by minute", numbers=2)
    for name, counts in frame.per_minute.items():
        most = max(counts)
        bars = "".join(_BARS[-(-count * 7 // most)] if count else " " for count in counts)
        table.add_row(name.lower(), f"{counts[-1]:,}", f"{sum(counts):,}", Text(bars, style=_STYLES[name]))
    return table


def _reasons(frame: Frame) -> Table:
    table = _table("Reason", "Count", "Endpoint", "Outcome", "Last message", numbers=1, fold="Last message")
    for one in frame.reasons[:_MAX_REASONS]:
        table.add_row(
            _safe(one.error_code),
            f"{one.count:,}",
            _safe(one.endpoint_name or "-"),
            Text(one.status, style=_STYLES.get(one.status, "")),
            _safe(one.last_message),
        )
    return table


def _latest(frame: Frame) -> Table:
    table = _table("Latest", "Outcome", "Result", "Trace ID", fold="Result")
    for line in frame.latest:
        table.add_row(
            f"{line.at:%H:%M:%S}",
            Text(line.status.value, style=_STYLES.get(line.status.value, "")),
            _safe(line.result or "-"),
            _safe(str(line.fields.get("trace_id", "-"))),
        )
    return table


def _safe(text: str) -> Text:
    """`text` in one line and as it is: rich would take brackets for its markup."""
    return Text("".join(char if char.isprintable() else " " for char in text))
