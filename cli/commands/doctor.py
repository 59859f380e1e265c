"""`sluice doctor`: check a deployment."""

from collections import Counter

import click
from rich.markup import escape

from cli.deployment import Deployment
from cli.doctor.checks import run_checks
from cli.doctor.deployment_state import DeploymentState
from cli.doctor.finding import Finding, Verdict
from cli.errors import ExitCode
from cli.options import deployment_options
from cli.output import Output

_STYLES = {Verdict.OK: "green", Verdict.WRONG: "bold red", Verdict.UNKNOWN: "yellow"}


@click.command(epilog="Exit code: 0, or 1 when something is wrong.")
@deployment_options
@click.pass_context
def doctor(context: click.Context, deployment: Deployment, output: Output) -> None:
    """Check a deployment and say how to correct what is wrong.

    The checks cover the stack, functions, event source mappings, timeouts, endpoints, permissions, notifications and
    queues. The result of a check is ok, wrong, or can't tell when AWS refuses the information.

    \b
    Examples:
      sluice doctor
      sluice doctor --json | jq 'select(.State == "wrong")'
    """
    deployment.outputs  # noqa: B018 - raises `CliError` when there is no such stack
    verdicts: Counter[Verdict] = Counter()
    for finding in run_checks(DeploymentState(deployment)):
        verdicts[finding.verdict] += 1
        _print(output, finding)
    if not output.as_json:
        totals = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict)
        output.progress.print(totals, highlight=False)
    if verdicts[Verdict.WRONG]:
        context.exit(ExitCode.ERROR)


def _print(output: Output, finding: Finding) -> None:
    if output.as_json:
        output.document(
            {
                "State": finding.verdict,
                "Check": finding.check,
                "Finding": finding.explanation,
                "WhatToDo": finding.remedy,
            }
        )
        return
    if not output.is_terminal:
        output.line("\t".join([finding.verdict, finding.check, finding.explanation, finding.remedy or ""]))
        return
    style = _STYLES[finding.verdict]
    text = f"[{style}]{finding.verdict:<10}[/]  [bold]{escape(finding.check)}[/]: {escape(finding.explanation)}"
    output.console.print(text, highlight=False)
    if finding.remedy:
        output.console.print(f"{'':<10}  → {escape(finding.remedy)}", highlight=False)
