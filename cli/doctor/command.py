"""`sluice doctor`."""

from collections import Counter

import click
from rich.markup import escape

from cli.deployment import Deployment
from cli.doctor.examine import examine
from cli.doctor.facts import Facts
from cli.doctor.finding import Finding, State
from cli.errors import ExitCode
from cli.options import deployed
from cli.output import Output

_STYLES = {State.OK: "green", State.WRONG: "bold red", State.UNKNOWN: "yellow"}


@click.command(epilog="Exit code: 0, or 1 when something is wrong.")
@deployed
@click.pass_context
def doctor(context: click.Context, deployment: Deployment, output: Output) -> None:
    """Say what is wrong with a deployment.

    It looks at stack, functions, event source mappings, times, endpoints, permissions, notifications and queues. Each
    is ok, or wrong, with what to do; or can't be told, where AWS refuses to say. Ends with exit code 1 when something
    is wrong.

    \b
    Examples:
      sluice doctor
      sluice doctor --json | jq 'select(.State == "wrong")'
    """
    deployment.outputs  # noqa: B018 - without a stack there is nothing to examine
    states: Counter[State] = Counter()
    for finding in examine(Facts(deployment)):
        states[finding.state] += 1
        _show(output, finding)
    if not output.as_json:
        output.progress.print(", ".join(f"{states[state]} {state}" for state in State), highlight=False)
    if states[State.WRONG]:
        context.exit(ExitCode.ERROR)


def _show(output: Output, finding: Finding) -> None:
    if output.as_json:
        output.document(
            {"State": finding.state, "Check": finding.check, "Finding": finding.says, "WhatToDo": finding.do}
        )
        return
    if not output.is_terminal:
        output.line("\t".join([finding.state, finding.check, finding.says, finding.do or ""]))
        return
    style = _STYLES[finding.state]
    text = f"[{style}]{finding.state:<10}[/]  [bold]{escape(finding.check)}[/]: {escape(finding.says)}"
    output.console.print(text, highlight=False)
    if finding.do:
        output.console.print(f"{'':<10}  → {escape(finding.do)}", highlight=False)
