"""`sluice audit`: check that every request has exactly one outcome."""

from datetime import timedelta

import click
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from cli.audit.dead_letters import failed_requests
from cli.audit.report import Check, Report, Violation
from cli.audit.run import Options, run_audit
from cli.deployment import Deployment
from cli.dlq.display import open_reader, select
from cli.dlq.filters import Filter
from cli.dlq.options import visibility_timeout_option
from cli.errors import ExitCode
from cli.lookup.requests import DEFAULT_SINCE
from cli.options import deployment_options
from cli.output import Output
from cli.timefmt import Duration, humanize

_TASK = TaskID(0)
_STYLES = {"ok": "green", "violated": "bold red", "can't tell": "yellow"}


@click.command(
    short_help="Check that every request has exactly one outcome.",
    epilog="Exit code: 0 when nothing is violated, 3 with violations.",
)
@deployment_options
@click.option(
    "--prefix", default="", metavar="PREFIX", help="Only requests whose results have this prefix, such as invoke/wine/."
)
@click.option(
    "--since",
    type=Duration(),
    default=humanize(DEFAULT_SINCE.total_seconds()),
    show_default=True,
    help="How far back to read the logs.",
)
@click.option(
    "--grace",
    type=Duration(),
    default="15m",
    show_default=True,
    help="What is younger than this may be incomplete, and is no violation.",
)
@click.option(
    "--every-owner",
    is_flag=True,
    help="Read the metadata of every result, also where the listings leave no doubt whose it is.",
)
@click.option(
    "--read-dead-letters",
    is_flag=True,
    help="Receive the dead letters, too, which hides them from others meanwhile.",
)
@visibility_timeout_option
@click.pass_context
def audit(
    ctx: click.Context,
    deployment: Deployment,
    output: Output,
    *,
    prefix: str,
    since: timedelta,
    grace: timedelta,
    every_owner: bool,
    read_dead_letters: bool,
    visibility_timeout: timedelta | None,
) -> None:
    """Check that every request has exactly one outcome, and every failure its dead letter.

    Nothing is changed, and without --read-dead-letters no message is received. What can't be known is printed with the
    reason.

    \b
    Examples:
      sluice audit
      sluice audit --prefix invoke/wine/ --since 1d
      sluice audit --json | jq 'select(.State == "violated")'
    """
    deployment.outputs  # noqa: B018 - raises `CliError` when there is no such stack
    options = Options(prefix, since, grace, every_owner)
    dead_lettered = None
    if read_dead_letters:
        with open_reader(deployment, output, visibility_timeout) as reader:
            dead_lettered = failed_requests(select(reader, Filter()), deployment.settings)
    with _progress(output) as progress:
        report = Report(lambda violation: _print_violation(output, violation, progress))
        run_audit(deployment, options, report, lambda text: progress.update(_TASK, description=text), dead_lettered)
    for unknown in sorted(report.unknown, key=lambda one: list(Check).index(one.check)):
        count = unknown.count or None
        text = f"{unknown.count:,}, such as {unknown.example}: {unknown.reason}" if unknown.count else unknown.reason
        _print(output, "can't tell", unknown.check, text, Key=unknown.example, Count=count, Reason=unknown.reason)
    for check in Check:
        _print_total(output, report, check)
    if not report.checked.total():
        output.progress.print(f"There was nothing to check{' under ' + prefix if prefix else ''}.", markup=False)
    if report.violated.total():
        ctx.exit(ExitCode.FAILED)


def _print_violation(output: Output, violation: Violation, progress: Progress) -> None:
    text = f"{violation.key}: {violation.problem}"
    progress.stop()  # which clears its line
    _print(output, "violated", violation.check, text, violation.remedy, Key=violation.key, Reason=violation.problem)
    progress.start()


def _print_total(output: Output, report: Report, check: Check) -> None:
    checked, pending, violated = report.checked[check], report.pending[check], report.violated[check]
    text = f"{checked:,} checked, {pending:,} pending, {violated:,} violated"
    state = "violated" if violated else "ok"
    _print(output, state, check, text, Checked=checked, Pending=pending, Violated=violated)


def _print(
    output: Output, state: str, check: Check, text: str, remedy: str | None = None, **fields: str | int | None
) -> None:
    if output.as_json:
        output.document({"State": state, "Check": check.value, **fields, "WhatToDo": remedy})
    elif not output.is_terminal:
        output.line("\t".join([state, check, text, remedy or ""]))
    else:
        style = _STYLES[state]
        output.console.print(f"[{style}]{state:<10}[/]  [bold]{escape(check)}[/]: {escape(text)}", highlight=False)
        if remedy:
            output.console.print(f"{'':<10}  → {escape(remedy)}", highlight=False)


def _progress(output: Output) -> Progress:
    """A line on standard error, if that is a terminal, that says what is being read."""
    columns = (SpinnerColumn(), TextColumn("Reading {task.description}", markup=False), TimeElapsedColumn())
    disable = not output.progress.is_terminal
    progress = Progress(*columns, console=output.progress, transient=True, disable=disable)
    progress.add_task("", total=None)
    return progress
