"""What commands print: tables for people, plain lines or JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table


class Output:
    """Standard output. On a terminal, tables; piped, tab-separated lines; with `--json`, one JSON document a line."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console()
        self.progress = Console(stderr=True)
        """Where progress bars go: standard output stays what a program can read."""

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads it."""
        return sys.stdout.isatty() and not self.as_json

    def line(self, text: str) -> None:
        """Print text as it is."""
        click.echo(text)

    def document(self, fields: Mapping[str, Any]) -> None:
        """Print one thing: `Name: value` lines, or a JSON object. What is None is left out."""
        kept = {name: value for name, value in fields.items() if value is not None}
        if self.as_json:
            click.echo(json.dumps(kept, ensure_ascii=False))
            return
        width = max((len(name) for name in kept), default=0) + 1
        for name, value in kept.items():
            click.echo(f"{name + ':':<{width}} {_plain(value)}")

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print many things of one kind: a table, tab-separated lines under a heading, or a JSON object a line.

        `columns` are the keys of `rows` that a table shows; JSON has them all.
        """
        if self.as_json:
            for row in rows:
                click.echo(json.dumps({k: v for k, v in row.items() if v is not None}, ensure_ascii=False))
            return
        if not self.is_terminal:
            click.echo("\t".join(columns))
            for row in rows:
                click.echo("\t".join(_plain(row.get(column)) for column in columns))
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_plain(row.get(column)) for column in columns))
        self.console.print(table)


def _plain(value: Any) -> str:
    """`value` in one line: what came from a model or a sender can't end a line, or command the terminal."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else " " for char in text)
