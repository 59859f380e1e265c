"""The check of an `.err`: its dead letter, or a redrive."""

from urllib.parse import unquote

from cli.audit.context import Context
from cli.audit.report import Check, Violation
from cli.lookup.objects import ObjectHead
from cli.timefmt import format_utc
from sluice.keys import ERR
from sluice.processing.outcome import Status
from sluice.processing.result import MESSAGE_ID, owner_of

_SEND_AGAIN = "redrive it if `sluice dlq ls` has it; otherwise {again}"


def check_failure(context: Context, key: str, head: ObjectHead, again: str) -> None:
    """Check that the dead letter of an `.err` was sent. `again` says how its request is sent again.

    SQS shows a dead letter only by receiving it, which hides it from others. Therefore the logs decide, unless the dead
    letters are to be received: the functions log each dead letter after they have sent it. The `.err` has the ID of the
    message.
    """
    report, logged, waiting = context.report, context.logged, context.waiting
    report.add_checked(Check.DEAD_LETTERS)
    message_id = unquote(head.metadata.get(MESSAGE_ID, ""))
    if (key, owner_of(head)) in context.dead_lettered or message_id in logged.dead_lettered:
        return
    if _was_redriven(context, key, head, message_id):
        return
    uri = context.uri(key)
    if waiting.is_recent(head.modified):
        report.add_pending(Check.DEAD_LETTERS)
    elif not message_id:
        reason = "the .err has no message ID in its metadata, so its dead letter can't be found in the logs"
        report.add_unknown(Check.DEAD_LETTERS, reason, uri)
    elif logged.denied is not None:
        report.add_unknown(Check.DEAD_LETTERS, f"the logs can't be read: {logged.denied}", uri)
    elif head.modified < logged.since:
        reason = f"the .err is older than the logs that were read, which begin at {format_utc(logged.since)}"
        report.add_unknown(Check.DEAD_LETTERS, reason, uri)
    elif logged.is_retention_unknown:
        reason = "no dead letter is logged, and logs:DescribeLogGroups is not allowed: the logs may begin after it"
        report.add_unknown(Check.DEAD_LETTERS, reason, uri)
    elif logged.has_no_lines_of(Status.DEAD_LETTERED):
        report.add_unknown(Check.DEAD_LETTERS, "the functions' log level leaves out the lines of dead letters", uri)
    elif waiting.messages and head.modified + waiting.retention > waiting.started:
        reason = "no dead letter is logged, but the message may be on a queue; its next delivery sends the dead letter"
        report.add_unknown(Check.DEAD_LETTERS, reason, uri)
    else:
        problem = "no dead letter of it is logged, and its message is on no queue"
        report.add_violation(Violation(Check.DEAD_LETTERS, uri, problem, _SEND_AGAIN.format(again=again)))


def _was_redriven(context: Context, key: str, head: ObjectHead, message_id: str) -> bool:
    """Whether another message has processed the request since. It was redriven, or its sender sent it again."""
    name = key.removesuffix(ERR)
    owner = owner_of(head)
    request = context.logged.find(name, owner) or context.logged.find(name)
    return request is not None and request.message_id != message_id and request.last > head.modified
