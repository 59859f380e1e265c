"""The table of the rehearsal: on the terminal, and in docs/operations.md."""

import re
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from local.rehearsal.cdk import ROOT
from local.rehearsal.run import Outcome

PAGE = ROOT / "docs" / "operations.md"
_BLOCK = re.compile(r"(<!-- rehearsal -->\n).*?(<!-- end -->)", re.DOTALL)
_HEAD = ("settings", "`deploy`", "a changed setting, `diff`, `deploy`, `diff`", "`destroy`", "what this can't show")


def show(console: Console, prepared: str, outcomes: Sequence[Outcome]) -> None:
    """Print the table."""
    table = Table(*(one.replace("`", "") for one in _HEAD), show_lines=True)
    table.add_row("bootstrap, twice", prepared, "", "", "")
    for outcome in outcomes:
        if outcome.failed:
            table.add_row(outcome.case.name, f"FAILED {escape(outcome.failed)}", "", "", "")
        else:
            table.add_row(outcome.case.name, *(one.replace("`", "") for one in _cells(outcome)))
    console.print(table)


def write(prepared: str, outcomes: Sequence[Outcome]) -> None:
    """Write the table to docs/operations.md, between its markers."""
    page = PAGE.read_text()
    PAGE.write_text(_BLOCK.sub(lambda found: f"{found[1]}{table(prepared, outcomes)}\n{found[2]}", page))


def table(prepared: str, outcomes: Sequence[Outcome]) -> str:
    """The table as Markdown."""
    rows = [_HEAD, ("---",) * len(_HEAD), ("`bootstrap`, twice", prepared, "", "", "")]
    rows += [(f"[{one.case.name}]({one.case.page})", *_cells(one)) for one in outcomes]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    return (outcome.deployed, outcome.changed, outcome.destroyed, outcome.case.local)
