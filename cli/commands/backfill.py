"""`sluice backfill`: enqueue existing objects."""

import shlex
import sys
from typing import Any

import click
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from cli.backfill.listing import Merge, list_objects, list_outcomes
from cli.backfill.run import Backfill, Counts, Criteria
from cli.backfill.source import parse_uri, source_of
from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from cli.options import deployment_options, max_per_second_option
from cli.output import Output
from cli.sqs import RateLimit, queue_url_of


@click.command(epilog="Exit code: 0, 2 for an invalid bucket or prefix, 4 when there is no object.")
@click.argument("uri", metavar="S3://BUCKET/PREFIX")
@click.option("--failed", is_flag=True, help="Include failed objects, which have an .err.")
@click.option(
    "--force",
    is_flag=True,
    help="Include all objects. Existing answers are deleted first; the bucket is versioned, so they can be restored.",
)
@click.option("--include", multiple=True, metavar="GLOB", help="Only keys that match, such as '*.csv'; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No keys that match; repeatable.")
@click.option("--start-after", default="", metavar="KEY", help="Start after this key, to resume a run.")
@click.option("--dry-run", is_flag=True, help="Only list what would be sent.")
@max_per_second_option
@deployment_options
def backfill(
    deployment: Deployment,
    output: Output,
    *,
    uri: str,
    failed: bool,
    force: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    start_after: str,
    dry_run: bool,
    max_per_second: float | None,
) -> None:
    """Enqueue existing objects.

    The bucket is the input bucket, with a prefix under invoke/ or transform/, or a bucket in input_location_buckets.
    Objects with an outcome that is newer than the object are skipped, so the command can be repeated at any time.

    \b
    Examples:
      sluice backfill s3://my-archive/2026/ --include '*.png' --max-per-second 50
      sluice backfill s3://my-input-bucket/invoke/wine/ --dry-run
    """
    bucket, prefix = parse_uri(uri)  # before any request to AWS
    settings = deployment.settings
    source = source_of(bucket, prefix, settings)
    merge = Merge(
        list_objects(deployment.s3, source.bucket, source.prefix, start_after),
        source.name_prefix,
        list_outcomes(
            deployment.s3,
            settings.results_bucket,
            source.name_prefix + source.prefix,
            source.name_prefix + start_after if start_after else "",
        ),
    )
    counts = Counts(resume_after=start_after)
    criteria = Criteria(failed=failed, force=force, include=include, exclude=exclude)
    run = Backfill(source, settings, criteria, lambda kind: queue_url_of(kind, deployment), counts)
    if dry_run:
        for selected in run.select(merge):
            key = f"s3://{source.bucket}/{selected.object.key}"
            output.document({"Key": key}) if output.as_json else output.line(key)
            counts.sent += 1
    else:
        _send(deployment, output, run, merge, RateLimit(max_per_second))
    if not (counts.listed or start_after):
        raise CliError(f"there is no object under s3://{source.bucket}/{source.prefix}", ExitCode.NOT_FOUND)
    _report(output, counts, dry_run=dry_run)


def _send(deployment: Deployment, output: Output, run: Backfill, merge: Merge, rate_limit: RateLimit) -> None:
    """Send with a progress bar. When it is interrupted, print the command that resumes it."""
    counts = run.counts
    columns = (TextColumn("Sent {task.fields[sent]} of {task.fields[listed]} listed"), TimeElapsedColumn())
    with Progress(*columns, console=output.progress, disable=not output.progress.is_terminal) as progress:
        task = progress.add_task("", sent=0, listed=0)

        def on_sent() -> None:
            progress.update(task, sent=counts.sent, listed=counts.listed)

        try:
            run.send(merge, deployment.sqs, deployment.s3, rate_limit, on_sent)
        except BaseException:
            output.progress.print(f"Interrupted after {counts.sent} were sent. To resume:", highlight=False)
            output.progress.print(f"  {_resume_command(counts)}", highlight=False, soft_wrap=True, markup=False)
            raise


def _report(output: Output, counts: Counts, *, dry_run: bool) -> None:
    fields: dict[str, Any] = {
        "WouldBeSent" if dry_run else "Sent": counts.sent,
        "SkippedAsAnswered": counts.answered or None,
        "SkippedAsFailed": counts.failed or None,
        "SkippedByPattern": counts.excluded or None,
        "SkippedByName": counts.unnameable or None,
    }
    if dry_run:
        output.progress.print(", ".join(f"{name}: {count}" for name, count in fields.items() if count is not None))
    else:
        output.document(fields)
    if counts.failed:
        output.progress.print("For failed objects, see `sluice dlq ls`, or repeat the command with --failed.")
    if counts.unnameable:
        example = f"No result can be named after {counts.unnameable_example}"
        output.progress.print(example, markup=False, soft_wrap=True)


def _resume_command(counts: Counts) -> str:
    # When an option is given twice, click uses the last one.
    resumed = ["--start-after", counts.resume_after] if counts.resume_after else []
    return shlex.join(["sluice", *sys.argv[1:], *resumed])
