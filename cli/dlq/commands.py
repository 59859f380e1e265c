"""`sluice dlq ls|show|redrive|purge`."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from cli.deployment import Deployment
from cli.dlq.common import chosen_of, facts, progress, reading, seen, table
from cli.dlq.filters import Filter, filtered
from cli.dlq.groups import Groups
from cli.dlq.letter import Letter
from cli.dlq.redrive import Errors, Redrive, Redriven
from cli.dlq.routing import Redriver, overrides
from cli.errors import CliError, ExitCode
from cli.options import deployed
from cli.output import Output
from cli.pace import Pace, max_per_second
from cli.routes import queue_of
from sluice.failures import Failure

_SHOWN = 5  # reasons that an error line names

_visibility_timeout = click.option(
    "--visibility-timeout",
    type=click.IntRange(1, 43_200),
    metavar="SECONDS",
    help="How long what is read is hidden from others, should this command be killed. "
    "Default: what reading takes, a minute at least.",
)
_limit = click.option("--limit", type=click.IntRange(min=1), help="No more messages than this.")


@click.group()
def dlq() -> None:
    """See what failed for good, send it again or delete it.

    SQS shows messages only by receiving them. They are given back when a command ends, also with Ctrl-C; after a kill
    they come back when the visibility timeout is over. At most 120,000 can be received at once.
    """


@dlq.command(epilog="Exit code: 0.")
@filtered
@click.option("--each", is_flag=True, help="A line for each message rather than for each reason.")
@_visibility_timeout
@deployed
def ls(deployment: Deployment, output: Output, *, chosen: Filter, each: bool, visibility_timeout: int | None) -> None:
    """List what failed, grouped by reason and endpoint.

    \b
    Examples:
      sluice dlq ls
      sluice dlq ls --newer-than 1h
      sluice dlq ls --each --reason ModelError --endpoint wine
    """
    with reading(deployment, output, visibility_timeout) as reader:
        letters = chosen_of(reader, chosen)
        if each:
            columns = ("MessageId", "ErrorCode", "EndpointName", "FailedAt", "TraceId", "InferenceId", "ErrorMessage")
            output.table(columns, ({**one.attributes, **facts(one)} for one in letters))
            return
        groups = Groups()
        for letter in letters:
            groups.add([letter])
        table(output, groups)


@dlq.command(epilog="Exit code: 0, or 4 when no message is such.")
@filtered
@click.option("--body-only", is_flag=True, help="The bodies, as they were sent.")
@_limit
@_visibility_timeout
@deployed
def show(
    deployment: Deployment,
    output: Output,
    *,
    chosen: Filter,
    body_only: bool,
    limit: int | None,
    visibility_timeout: int | None,
) -> None:
    """Show messages whole: attributes and body.

    \b
    Examples:
      sluice dlq show --inference-id order-7
      sluice dlq show --inference-id order-7 --body-only > order-7.json
    """
    shown = 0
    with reading(deployment, output, visibility_timeout) as reader:
        for letter in chosen_of(reader, chosen):
            if body_only:
                output.line(seen(letter.body))
            elif output.as_json:
                output.document({**letter.attributes, **facts(letter), "Body": letter.body})
            else:
                if shown:
                    output.line("")
                whole = {**facts(letter), **letter.attributes}
                output.document({name: seen(value) for name, value in whole.items()})
                output.line("\n" + seen(letter.body))
            shown += 1
            if shown == limit:
                break
    if not shown:
        raise CliError("no message on the dead-letter queue is such", ExitCode.NOT_FOUND)


@dlq.command(
    epilog="Exit code: 0 when all that was chosen is sent, 1 when some could not be (they stay), 2 for a wrong --set."
)
@filtered
@click.option("--dry-run", is_flag=True, help="Send nothing; say what would be sent.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Send with another parameter, such as EndpointName=wine; KEY= takes one out. The identity stays.",
)
@max_per_second
@_limit
@_visibility_timeout
@deployed
def redrive(
    deployment: Deployment,
    output: Output,
    *,
    chosen: Filter,
    dry_run: bool,
    changes: tuple[str, ...],
    max_per_second: float | None,
    limit: int | None,
    visibility_timeout: int | None,
) -> None:
    """Send messages again, each to the queue it belongs to.

    They keep body, InferenceId, TraceId and their sender's own attributes. Each is deleted once it is sent: interrupted
    at any point, nothing is lost; at worst a message is sent again, which is answered once.

    \b
    Examples:
      sluice dlq redrive --reason AccessDeniedException
      sluice dlq redrive --endpoint wime --set EndpointName=wine
      sluice dlq redrive --max-per-second 20 --limit 1000
    """
    with reading(deployment, output, visibility_timeout) as reader:
        queue = deployment.sqs.get_queue_attributes(
            QueueUrl=deployment.request_queue_url, AttributeNames=["MaximumMessageSize"]
        )
        redriver = Redriver(
            deployment.settings,
            lambda kind: queue_of(kind, deployment),
            overrides(changes),
            int(queue["Attributes"]["MaximumMessageSize"]),
        )
        if dry_run:
            _rehearse(output, chosen_of(reader, chosen), redriver, limit)
            return
        errors = Errors(deployment.s3, deployment.results_bucket, redriver)
        now = datetime.now(UTC)
        work = Redrive(
            deployment.sqs,
            reader,
            lambda letter: chosen.matches(letter, now),
            redriver,
            errors,
            Pace(max_per_second),
            limit,
        )
        with progress(output, "Redriving", min(reader.depth, limit or reader.depth)) as advance:
            done = work.run(advance)
    if errors.forbidden:
        output.progress.print("The .err can't be read, so messages went without their sender's own attributes.")
    _report(output, done)


@dlq.command(epilog="Exit code: 0, or 2 without a terminal to ask and without --yes.")
@filtered
@click.option("--dry-run", is_flag=True, help="Delete nothing; say what would be deleted.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_visibility_timeout
@deployed
def purge(
    deployment: Deployment,
    output: Output,
    *,
    chosen: Filter,
    dry_run: bool,
    yes: bool,
    visibility_timeout: int | None,
) -> None:
    """Delete messages, after asking.

    Only those go that are listed before you are asked.

    \b
    Examples:
      sluice dlq purge --older-than 7d
      sluice dlq purge --reason InvalidMessage --yes
    """
    if not (dry_run or yes or sys.stdin.isatty()):
        raise CliError("there is no terminal to ask; give --yes, or --dry-run to see what would go", ExitCode.USAGE)
    groups, listed = Groups(), set()
    with reading(deployment, output, visibility_timeout) as reader:
        for letter in chosen_of(reader, chosen):
            groups.add([letter])
            listed.add(letter.message_id)
    table(output, groups)
    if dry_run or not listed:
        output.progress.print(f"{len(listed)} would be deleted." if dry_run else "There is nothing to delete.")
        return
    if not yes:
        click.confirm(f"Delete these {len(listed)} messages for good?", abort=True, err=True)
    deleted = 0
    refused: dict[str, str] = {}
    # Read anew: while the question stood, they were for others to take.
    with (
        reading(deployment, output, visibility_timeout) as reader,
        progress(output, "Deleting", len(listed)) as advance,
    ):
        for batch in reader.batches():
            going = [letter for letter in batch if letter.message_id in listed]
            failed = reader.delete(going)
            refused |= failed
            deleted += len(going) - len(failed)
            advance(deleted)
            if deleted + len(refused) == len(listed):
                break
    output.progress.print(f"Deleted {deleted} of {len(listed)}.")
    if refused:
        raise CliError(f"SQS did not delete {len(refused)}: {_some(refused)}; run the same again")


def _rehearse(output: Output, letters: Iterator[Letter], redriver: Redriver, limit: int | None) -> None:
    groups, would = Groups(), Redriven()
    for letter in letters:
        try:
            redriver.message(letter, {})
        except Failure as failure:
            would.unsuitable[letter.message_id] = failure.message
            continue
        groups.add([letter])
        if groups.total == limit:
            break
    table(output, groups)
    output.progress.print(f"{groups.total} would be sent.")
    _complain(would)


def _report(output: Output, done: Redriven) -> None:
    output.document({"Sent": done.sent, "Left": len(done.unsuitable) + len(done.refused)})
    _complain(done)


def _complain(done: Redriven) -> None:
    if done.undeleted:
        raise CliError(
            f"{len(done.undeleted)} were sent and are still on the dead-letter queue: {_some(done.undeleted)}; "
            "redriven again, they are answered once"
        )
    if done.refused:
        raise CliError(f"SQS did not take {len(done.refused)}: {_some(done.refused)}")
    if done.unsuitable:
        raise CliError(f"--set does not suit {len(done.unsuitable)}: {_some(done.unsuitable)}")


def _some(reasons: dict[str, str]) -> str:
    """The reasons, each once, and no more than a line takes."""
    distinct = sorted(set(reasons.values()))
    return "; ".join(distinct[:_SHOWN]) + ("; …" if len(distinct) > _SHOWN else "")
