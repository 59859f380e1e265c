"""`sluice backfill`."""

import shlex
import sys
from typing import Any

import click
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from cli.backfill.listing import Merge, objects, outcomes
from cli.backfill.place import place_of
from cli.backfill.run import Backfill, Choice, Tally
from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from cli.options import deployed
from cli.output import Output
from cli.pace import Pace, max_per_second
from cli.routes import queue_of


@click.command(epilog="Exit code: 0, 2 for a prefix or bucket that can't be, 4 when nothing is there.")
@click.argument("uri", metavar="S3://BUCKET/PREFIX")
@click.option("--failed", is_flag=True, help="Send what has failed, too: what has an .err.")
@click.option(
    "--force",
    is_flag=True,
    help="Send everything. What is answered loses its answer first; in the versioned bucket it can be restored.",
)
@click.option("--include", multiple=True, metavar="GLOB", help="Only keys like this, such as '*.csv'; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No keys like this; repeatable.")
@click.option("--start-after", default="", metavar="KEY", help="Begin after this key, to go on from there.")
@click.option("--dry-run", is_flag=True, help="Send nothing; list what would be sent.")
@max_per_second
@deployed
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
    """Enqueue what lies in a bucket already.

    The bucket is the input bucket, with a prefix under invoke/ or transform/, or one on input_location_buckets. What
    has an outcome that is newer than the object is skipped, so that it can be run again at any time.

    \b
    Examples:
      sluice backfill s3://my-archive/2026/ --include '*.png' --max-per-second 50
      sluice backfill s3://my-input-bucket/invoke/wine/ --dry-run
    """
    settings = deployment.settings
    place = place_of(uri, settings)
    merge = Merge(
        objects(deployment.s3, place.bucket, place.prefix, start_after),
        place.name_prefix,
        outcomes(
            deployment.s3,
            settings.results_bucket,
            place.name_prefix + place.prefix,
            place.name_prefix + start_after if start_after else "",
        ),
    )
    tally = Tally(resume_after=start_after)
    choice = Choice(failed=failed, force=force, include=include, exclude=exclude)
    work = Backfill(place, settings, choice, lambda kind: queue_of(kind, deployment), tally)
    if dry_run:
        for pick in work.chosen(merge):
            key = f"s3://{place.bucket}/{pick.listed.key}"
            output.document({"Key": key}) if output.as_json else output.line(key)
            tally.sent += 1
    else:
        columns = (TextColumn("Sent {task.fields[sent]} of {task.fields[listed]} listed"), TimeElapsedColumn())
        terminal = output.progress.is_terminal
        with Progress(*columns, console=output.progress, disable=not terminal) as progress:
            task = progress.add_task("", sent=0, listed=0)
            try:
                work.run(
                    merge,
                    deployment.sqs,
                    deployment.s3,
                    Pace(max_per_second),
                    lambda: progress.update(task, sent=tally.sent, listed=tally.listed),
                )
            except BaseException:
                output.progress.print(f"Interrupted after {tally.sent} were sent. To go on:", highlight=False)
                output.progress.print(f"  {_go_on(tally)}", highlight=False, soft_wrap=True, markup=False)
                raise
    if not (tally.listed or start_after):
        raise CliError(f"there is no object under s3://{place.bucket}/{place.prefix}", ExitCode.NOT_FOUND)
    _report(output, tally, dry_run=dry_run)


def _report(output: Output, tally: Tally, *, dry_run: bool) -> None:
    counts: dict[str, Any] = {
        "WouldBeSent" if dry_run else "Sent": tally.sent,
        "SkippedAsAnswered": tally.answered or None,
        "SkippedAsFailed": tally.failed or None,
        "SkippedByPattern": tally.excluded or None,
        "SkippedByName": tally.unnameable or None,
    }
    if dry_run:
        output.progress.print(", ".join(f"{name}: {count}" for name, count in counts.items() if count is not None))
    else:
        output.document(counts)
    if tally.failed:
        output.progress.print("What failed is on the dead-letter queue: `sluice dlq ls`; or give --failed.")
    if tally.unnameable:
        output.progress.print(f"No result can be named after {tally.example}", markup=False, soft_wrap=True)


def _go_on(tally: Tally) -> str:
    """The command that goes on where this one was interrupted."""
    # Given twice, the later counts.
    resumed = ["--start-after", tally.resume_after] if tally.resume_after else []
    return shlex.join(["sluice", *sys.argv[1:], *resumed])
