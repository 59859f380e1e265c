"""The output of the commands: tables on a terminal, plain lines or JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cli.timefmt import format_utc


class Output:
    """Standard output: tables on a terminal, tab-separated lines in a pipe, one JSON document per line with `--json`.

    Values may be datetimes; all are printed in the same format. A value that is None is left out.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console()
        self.progress = Console(stderr=True)
        """Standard error, for progress bars and notes: standard output stays machine-readable."""

    @property
    def is_terminal(self) -> bool:
        """Whether standard output is a terminal and the output is not JSON."""
        return sys.stdout.isatty() and not self.as_json

    def line(self, text: str) -> None:
        """Print `text` unchanged, as a line."""
        click.echo(text)

    def document(self, fields: Mapping[str, Any]) -> None:
        """Print one item: `Name: value` lines, or a JSON object."""
        present = _present(fields)
        if self.as_json:
            click.echo(json.dumps(present, ensure_ascii=False))
            return
        width = max((len(name) for name in present), default=0) + 1
        for name, value in present.items():
            click.echo(f"{name + ':':<{width}} {_single_line(value)}")

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print items of one kind: a table, tab-separated lines with a header, or a JSON object per line.

        `columns` are the keys that the table shows. JSON contains all keys of a row.
        """
        if self.as_json:
            for row in rows:
                click.echo(json.dumps(_present(row), ensure_ascii=False))
            return
        if not self.is_terminal:
            click.echo("\t".join(columns))
            for row in rows:
                shown = _present(row)
                click.echo("\t".join(_single_line(shown.get(column, "")) for column in columns))
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            shown = _present(row)
            table.add_row(*(_single_line(shown.get(column, "")) for column in columns))
        self.console.print(table)


def sanitize(text: str) -> str:
    """`text` for printing: unchanged in a pipe; on a terminal, without control sequences that the terminal obeys."""
    if not sys.stdout.isatty():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: format_utc(value) if isinstance(value, datetime) else value
        for name, value in fields.items()
        if value is not None
    }


def _single_line(value: Any) -> str:
    """`value` in one line. A model or a sender may have put line breaks or control sequences into it."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return "".join(char if char.isprintable() else " " for char in text)
