"""What the commands of `sluice dlq` have in common: how they read the queue, and how they show what they find."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.deployment import Deployment
from cli.dlq.filters import Filter
from cli.dlq.groups import COLUMNS, Groups, stamp
from cli.dlq.letter import Letter
from cli.dlq.reading import MAX_IN_FLIGHT, Reader
from cli.output import Output


def table(output: Output, groups: Groups) -> None:
    """Show groups: briefly on a terminal, else whole."""
    output.table(COLUMNS, groups.brief(datetime.now(UTC)) if output.is_terminal else groups.rows())


def chosen_of(reader: Reader, chosen: Filter) -> Iterator[Letter]:
    """The letters of `reader` that are meant."""
    now = datetime.now(UTC)
    for batch in reader.batches():
        yield from (letter for letter in batch if chosen.matches(letter, now))


@contextmanager
def reading(deployment: Deployment, output: Output, visibility_timeout: int | None) -> Iterator[Reader]:
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
def progress(output: Output, what: str, total: int) -> Iterator[Any]:
    """A bar on standard error, where that is a terminal; gives the function that moves it."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.progress, disable=not output.progress.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda completed: bar.update(task, completed=completed)


def facts(letter: Letter) -> dict[str, str]:
    """What a letter is, besides its attributes."""
    return {"MessageId": letter.message_id, "ErrorCode": letter.reason, "FailedAt": stamp(letter.failed_at)}


def seen(text: str) -> str:
    """`text` verbatim for a program; for a person's terminal, without what would command it."""
    if not sys.stdout.isatty():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
