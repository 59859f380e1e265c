"""Reading the dead-letter queue with notes and a progress bar, and printing groups and reasons."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.deployment import Deployment
from cli.dlq.dead_letter import DeadLetter
from cli.dlq.filters import Filter
from cli.dlq.groups import COLUMNS, Groups
from cli.dlq.reader import MAX_IN_FLIGHT, Reader
from cli.output import Output

_MAX_REASONS = 5  # in one error line


@contextmanager
def open_reader(deployment: Deployment, output: Output, visibility_timeout: timedelta | None) -> Iterator[Reader]:
    """A reader of the dead-letter queue. At the end, a note says how many messages could not be read."""
    seconds = None if visibility_timeout is None else math.ceil(visibility_timeout.total_seconds())
    with Reader(deployment.sqs, deployment.dead_letter_queue_url, visibility_timeout=seconds) as reader:
        yield reader
    if reader.in_flight_elsewhere:
        output.progress.print(
            f"{reader.in_flight_elsewhere} more messages are in flight: another command has received them, or one that "
            "was killed. They become visible when their visibility timeout is over; then run the command again."
        )
    if reader.unread:
        output.progress.print(
            f"About {reader.unread} more messages were not read: the visibility timeout was over before the end of the "
            f"queue was reached, or {MAX_IN_FLIGHT:,} messages were in flight, which is the SQS limit. Give a longer "
            "--visibility-timeout, or first redrive or purge the messages that were read."
        )


@contextmanager
def progress_bar(output: Output, description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal. Returns the function that sets its value."""
    columns = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.progress, disable=not output.progress.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda completed: bar.update(task, completed=completed)


def select(reader: Reader, criteria: Filter) -> Iterator[DeadLetter]:
    """The dead letters of `reader` that match the filter."""
    now = datetime.now(UTC)
    for batch in reader.batches():
        yield from (dead_letter for dead_letter in batch if criteria.matches(dead_letter, now))


def print_groups(output: Output, groups: Groups) -> None:
    """Print a row per group: shortened on a terminal, else complete."""
    output.table(COLUMNS, groups.short_rows(datetime.now(UTC)) if output.is_terminal else groups.rows())


def summarize(reasons: Mapping[str, str]) -> str:
    """The distinct values of `reasons`, as many as an error line has room for."""
    distinct = sorted(set(reasons.values()))
    return "; ".join(distinct[:_MAX_REASONS]) + ("; …" if len(distinct) > _MAX_REASONS else "")
