"""Runs all checks."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cli.audit.context import THREADS, Context
from cli.audit.dead_letters import Failed
from cli.audit.inputs import check_inputs
from cli.audit.logged import read_logs
from cli.audit.other_buckets import check_other_buckets
from cli.audit.parts import check_parts
from cli.audit.report import Check, Report
from cli.audit.requests import check_outcomes_of_messages, check_requests
from cli.audit.waiting import look_at_queues
from cli.deployment import Deployment
from cli.sqs import queue_depth


@dataclass(frozen=True, slots=True)
class Options:
    """What is checked.

    `prefix` selects names of results, `since` is how far back the logs are read, and what is younger than `grace` may
    be incomplete.
    """

    prefix: str
    since: timedelta
    grace: timedelta
    reads_every_owner: bool


def run_audit(
    deployment: Deployment,
    options: Options,
    report: Report,
    on_progress: Callable[[str], None],
    dead_lettered: Collection[Failed] | None = None,
) -> None:
    """Run all checks, and add what they find to `report`. `on_progress` is called with what is being read.

    `dead_lettered` are the requests whose dead letters are on the queue; None when that was not read. Raises botocore's
    errors.
    """
    started = datetime.now(UTC)
    # The queues are looked at before the outcomes: a message that is processed meanwhile counts as waiting.
    waiting = look_at_queues(deployment, started, options.grace)
    on_progress("the logs")
    logged = read_logs(deployment, started - options.since, on_progress)
    with ThreadPoolExecutor(THREADS) as pool:
        context = Context(
            deployment,
            report,
            logged,
            waiting,
            dead_lettered or (),
            options.prefix,
            options.reads_every_owner,
            pool,
            on_progress,
        )
        check_inputs(context)
        check_other_buckets(context)
        check_outcomes_of_messages(context)
        check_requests(context)
        check_parts(context)
    if report.checked[Check.DEAD_LETTERS] and dead_lettered is None:
        depth = queue_depth(deployment.sqs, deployment.dead_letter_queue_url).total
        reason = "which dead letters are still on the queue, and which were purged, SQS shows only by receiving them"
        report.add_unknown(Check.DEAD_LETTERS, f"{reason}; there are about {depth:,}")
    report.add_unknown(Check.MESSAGES, "a message that no function has received yet leaves no trace")
