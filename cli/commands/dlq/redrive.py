"""`sluice dlq redrive`: send failed requests again."""

from datetime import UTC, datetime, timedelta

import click

from cli.deployment import Deployment
from cli.dlq.display import open_reader, print_groups, progress_bar, select, summarize
from cli.dlq.filters import Filter
from cli.dlq.options import filter_options, limit_option, visibility_timeout_option
from cli.dlq.redrive import Redrive, RedriveReport, dry_run
from cli.dlq.routing import MessageBuilder, parse_overrides
from cli.errors import CliError
from cli.lookup.failures import NOT_MARKED, Failures
from cli.options import deployment_options, max_per_second_option
from cli.output import Output
from cli.sqs import RateLimit, max_message_bytes, queue_url_of


@click.command(epilog="Exit code: 0 all selected messages are sent, 1 some are not and stay, 2 for an invalid --set.")
@filter_options
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only print what would be sent.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a parameter of the message, such as EndpointName=wine; KEY= removes it. The request stays the same.",
)
@max_per_second_option
@limit_option
@visibility_timeout_option
@deployment_options
def redrive(
    deployment: Deployment,
    output: Output,
    *,
    criteria: Filter,
    is_dry_run: bool,
    assignments: tuple[str, ...],
    max_per_second: float | None,
    limit: int | None,
    visibility_timeout: timedelta | None,
) -> None:
    """Send failed requests again, each to its queue.

    A message keeps its body, InferenceId, TraceId and the attributes of its sender. It is deleted after it is sent, so
    an interruption loses nothing. At worst a message is sent again, and still answered once.

    \b
    Examples:
      sluice dlq redrive --reason AccessDeniedException
      sluice dlq redrive --endpoint-name wime --set EndpointName=wine
      sluice dlq redrive --max-per-second 20 --limit 1000
    """
    overrides = parse_overrides(assignments)  # before any request to AWS
    with open_reader(deployment, output, visibility_timeout) as reader:
        builder = MessageBuilder(
            deployment.settings,
            lambda kind: queue_url_of(kind, deployment),
            overrides,
            max_message_bytes(deployment.sqs, deployment.request_queue_url),
        )
        if is_dry_run:
            groups, report = dry_run(select(reader, criteria), builder, limit)
            print_groups(output, groups)
            output.progress.print(f"{groups.total} would be sent.")
            _raise_failures(report)
            return
        failures = Failures(deployment.s3, deployment.results_bucket)
        now = datetime.now(UTC)
        work = Redrive(
            deployment.sqs,
            reader,
            lambda dead_letter: criteria.matches(dead_letter, now),
            builder,
            failures,
            RateLimit(max_per_second),
            limit,
        )
        with progress_bar(output, "Redriving", min(reader.depth, limit or reader.depth)) as advance:
            report = work.run(advance)
    if failures.are_hidden:
        output.progress.print(
            "The .err can't be read: messages were sent without their sender's attributes, and requests look failed "
            "until they are answered."
        )
    elif failures.tags_are_fixed:
        output.progress.print(NOT_MARKED)
    if not (report.sent or report.invalid or report.rejected):
        output.progress.print("No dead letter matches.")
    output.document({"Sent": report.sent, "Left": len(report.invalid) + len(report.rejected)})
    _raise_failures(report)


def _raise_failures(report: RedriveReport) -> None:
    """Raise `CliError` when a message was not sent or not deleted."""
    if report.undeleted:
        raise CliError(
            f"{len(report.undeleted)} were sent and are still on the dead-letter queue: "
            f"{summarize(report.undeleted)}; if they are redriven again, each is still answered once"
        )
    if report.rejected:
        raise CliError(f"SQS did not accept {len(report.rejected)}: {summarize(report.rejected)}")
    if report.invalid:
        raise CliError(f"--set makes {len(report.invalid)} invalid: {summarize(report.invalid)}")
