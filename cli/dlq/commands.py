"""`sluice dlq ls|show|redrive|purge`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.deployment import Deployment
from cli.dlq.filters import Filter, filtered
from cli.dlq.groups import COLUMNS, Groups, stamp
from cli.dlq.letter import Letter
from cli.dlq.reading import MAX_IN_FLIGHT, Reader
from cli.dlq.redrive import Errors, Redrive, Redriven
from cli.dlq.routing import Redriver, overrides
from cli.errors import CliError, ExitCode
from cli.options import deployed
from cli.output import Output
from cli.pace import Pace, max_per_second
from cli.pipeline import queue_of, settings_of
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


@dlq.command()
@filtered
@click.option("--each", is_flag=True, help="A line for each message rather than for each reason.")
@_visibility_timeout
@deployed
def ls(deployment: Deployment, output: Output, *, chosen: Filter, each: bool, visibility_timeout: int | None) -> None:
    """List what failed, grouped by reason and endpoint.

    \b
    sluice dlq ls
    sluice dlq ls --newer-than 1h
    sluice dlq ls --each --reason ModelError --endpoint wine
    """
    with _reading(deployment, output, visibility_timeout) as reader:
        letters = _chosen(reader, chosen)
        if each:
            columns = ("MessageId", "ErrorCode", "EndpointName", "FailedAt", "TraceId", "InferenceId", "ErrorMessage")
            output.table(columns, ({**one.attributes, **_facts(one)} for one in letters))
            return
        groups = Groups()
        for letter in letters:
            groups.add([letter])
        _table(output, groups)


@dlq.command()
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
    sluice dlq show --inference-id order-7
    sluice dlq show --inference-id order-7 --body-only > order-7.json
    """
    shown = 0
    with _reading(deployment, output, visibility_timeout) as reader:
        for letter in _chosen(reader, chosen):
            if body_only:
                output.line(_seen(letter.body))
            elif output.as_json:
                output.document({**letter.attributes, **_facts(letter), "Body": letter.body})
            else:
                if shown:
                    output.line("")
                facts = {**_facts(letter), **letter.attributes}
                output.document({name: _seen(value) for name, value in facts.items()})
                output.line("\n" + _seen(letter.body))
            shown += 1
            if shown == limit:
                break
    if not shown:
        raise CliError("no message on the dead-letter queue is such", ExitCode.NOT_FOUND)


@dlq.command()
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
    sluice dlq redrive --reason AccessDeniedException
    sluice dlq redrive --endpoint wime --set EndpointName=wine
    sluice dlq redrive --max-per-second 20 --limit 1000
    """
    with _reading(deployment, output, visibility_timeout) as reader:
        queue = deployment.sqs.get_queue_attributes(
            QueueUrl=deployment.request_queue_url, AttributeNames=["MaximumMessageSize"]
        )
        redriver = Redriver(
            settings_of(deployment),
            lambda kind: queue_of(kind, deployment),
            overrides(changes),
            int(queue["Attributes"]["MaximumMessageSize"]),
        )
        if dry_run:
            _rehearse(output, _chosen(reader, chosen), redriver, limit)
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
        with _progress(output, "Redriving", min(reader.depth, limit or reader.depth)) as advance:
            done = work.run(advance)
    if errors.forbidden:
        output.progress.print("The .err can't be read, so messages went without their sender's own attributes.")
    _report(output, done)


@dlq.command()
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
    sluice dlq purge --older-than 7d
    sluice dlq purge --reason InvalidMessage --yes
    """
    if not (dry_run or yes or sys.stdin.isatty()):
        raise CliError("there is no terminal to ask; give --yes, or --dry-run to see what would go", ExitCode.USAGE)
    groups, listed = Groups(), set()
    with _reading(deployment, output, visibility_timeout) as reader:
        for letter in _chosen(reader, chosen):
            groups.add([letter])
            listed.add(letter.message_id)
    _table(output, groups)
    if dry_run or not listed:
        output.progress.print(f"{len(listed)} would be deleted." if dry_run else "There is nothing to delete.")
        return
    if not yes:
        click.confirm(f"Delete these {len(listed)} messages for good?", abort=True, err=True)
    deleted = 0
    refused: dict[str, str] = {}
    # Read anew: while the question stood, they were for others to take.
    with (
        _reading(deployment, output, visibility_timeout) as reader,
        _progress(output, "Deleting", len(listed)) as advance,
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


def _table(output: Output, groups: Groups) -> None:
    output.table(COLUMNS, groups.brief(datetime.now(UTC)) if output.is_terminal else groups.rows())


def _chosen(reader: Reader, chosen: Filter) -> Iterator[Letter]:
    now = datetime.now(UTC)
    for batch in reader.batches():
        yield from (letter for letter in batch if chosen.matches(letter, now))


@contextmanager
def _reading(deployment: Deployment, output: Output, visibility_timeout: int | None) -> Iterator[Reader]:
    """A reader of the dead-letter queue; at the end it is said what of the queue could not be seen."""
    with Reader(deployment.sqs, deployment.dead_letter_queue_url, visibility_timeout=visibility_timeout) as reader:
        yield reader
    if reader.elsewhere:
        output.progress.print(
            f"{reader.elsewhere} more are in flight: another command has received them, or one that was killed. "
            "They come back when its visibility timeout is over; run the same again then."
        )
    if reader.unread:
        output.progress.print(
            f"About {reader.unread} more were not read: the visibility timeout was over before the queue's end was "
            f"reached, or {MAX_IN_FLIGHT:,} were in flight, which is SQS's limit. Give a longer --visibility-timeout, "
            "or redrive or purge first what the filters find."
        )


@contextmanager
def _progress(output: Output, what: str, total: int) -> Iterator[Any]:
    """A bar on standard error, where that is a terminal; gives the function that moves it."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.progress, disable=not output.progress.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda completed: progress.update(task, completed=completed)


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
    _table(output, groups)
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


def _facts(letter: Letter) -> dict[str, str]:
    return {"MessageId": letter.message_id, "ErrorCode": letter.reason, "FailedAt": stamp(letter.failed_at)}


def _seen(text: str) -> str:
    """`text` verbatim for a program; for a person's terminal, without what would command it."""
    if not sys.stdout.isatty():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
