"""`sluice dlq purge`: delete messages of the dead-letter queue."""

import sys
from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.dlq.display import open_reader, print_groups, progress_bar, select, summarize
from cli.dlq.filters import Filter
from cli.dlq.groups import Groups
from cli.dlq.options import filter_options, visibility_timeout_option
from cli.errors import CliError, ExitCode
from cli.options import deployment_options
from cli.output import Output


@click.command(epilog="Exit code: 0, or 2 when there is neither a terminal for the prompt nor --yes.")
@filter_options
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only print what would be deleted.")
@click.option("--yes", is_flag=True, help="Delete without a prompt.")
@visibility_timeout_option
@deployment_options
def purge(
    deployment: Deployment,
    output: Output,
    *,
    criteria: Filter,
    is_dry_run: bool,
    yes: bool,
    visibility_timeout: timedelta | None,
) -> None:
    """Delete messages after a prompt.

    Only the messages that are listed before the prompt are deleted.

    \b
    Examples:
      sluice dlq purge --older-than 7d
      sluice dlq purge --reason InvalidMessage --yes
    """
    if not (is_dry_run or yes or sys.stdin.isatty()):
        raise CliError(
            "there is no terminal for a prompt; give --yes, or --dry-run to see what matches", ExitCode.USAGE
        )
    groups, listed = Groups(), set[str]()
    with open_reader(deployment, output, visibility_timeout) as reader:
        for dead_letter in select(reader, criteria):
            groups.add(dead_letter)
            listed.add(dead_letter.message_id)
    print_groups(output, groups)
    if is_dry_run or not listed:
        output.progress.print(f"{len(listed)} would be deleted." if is_dry_run else "There is nothing to delete.")
        return
    if not yes:
        click.confirm(f"Delete these {len(listed)} messages permanently?", abort=True, err=True)
    deleted, refused = _delete(deployment, output, listed, visibility_timeout)
    output.progress.print(f"Deleted {deleted} of {len(listed)}.")
    if refused:
        raise CliError(f"SQS did not delete {len(refused)}: {summarize(refused)}; run the command again")


def _delete(
    deployment: Deployment, output: Output, listed: set[str], visibility_timeout: timedelta | None
) -> tuple[int, dict[str, str]]:
    """Delete the messages with the IDs `listed`: how many were deleted, and the reason for each that was not.

    They are received again, because they were visible to other consumers during the prompt.
    """
    deleted = 0
    refused: dict[str, str] = {}
    with (
        open_reader(deployment, output, visibility_timeout) as reader,
        progress_bar(output, "Deleting", len(listed)) as advance,
    ):
        for batch in reader.batches():
            dead_letters = [dead_letter for dead_letter in batch if dead_letter.message_id in listed]
            failed = reader.delete(dead_letters)
            refused |= failed
            deleted += len(dead_letters) - len(failed)
            advance(deleted)
            if deleted + len(refused) == len(listed):
                break
    return deleted, refused
