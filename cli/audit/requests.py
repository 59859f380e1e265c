"""The check of the requests in the logs, and of the outcomes of messages."""

import json
from functools import partial

from botocore.exceptions import ClientError

from cli.audit.context import Context
from cli.audit.failures import check_failure
from cli.audit.judge import QUEUED, check_not_both, has_owner
from cli.audit.logged import LoggedRequest
from cli.audit.report import Check, Violation
from cli.audit.waiting import Fate
from cli.lookup.objects import is_gone
from cli.timefmt import format_utc
from sluice.failures import Failure
from sluice.inputs.identity import id_of_owner, owner_of_message, spare_error_name
from sluice.keys import ERR, FILES_PREFIX, MESSAGES_PREFIX, OUT, error_name_of, file_name, id_and_filename, object_name
from sluice.processing.outcome import Status
from sluice.processing.result import owner_of

_ANSWERED = {Status.SUCCEEDED, Status.DUPLICATE}


def check_outcomes_of_messages(context: Context) -> None:
    """Check the failures of messages, and note which requests in the logs have an outcome. Raises botocore's errors."""
    for family in (MESSAGES_PREFIX, FILES_PREFIX):
        if (prefix := context.within(family)) is not None:
            context.on_progress(f"outcomes under {prefix}")
            keys = (key for key, _ in context.list_results(prefix))
            context.in_parallel(partial(_check_outcome, context), keys)


def _check_outcome(context: Context, key: str) -> None:
    # The name of a file can be that of several requests, so its owner is read when the request is checked.
    if not key.startswith(MESSAGES_PREFIX) or not key.endswith((OUT, ERR)):
        return
    name = key.removesuffix(OUT) if key.endswith(OUT) else key.removesuffix(ERR)
    request_id, filename = id_and_filename(name)
    if not request_id:  # an event that its object does not confirm
        _check_failure(context, key, filename)
        _check_spare(context, key, filename)
        return
    result = file_name(filename, folder=name.removeprefix(MESSAGES_PREFIX).rpartition("/")[0]) if filename else name
    owner = owner_of_message(request_id, result)
    logged = context.logged.find(result, owner)
    if key.endswith(OUT):
        if logged is not None:
            logged.is_answered = True
        if context.reads_every_owner and (head := context.head(key)) is not None and has_owner(context, key, head):
            _check_owner(context, key, owner_of(head), owner)
        return
    if logged is not None:
        logged.is_failed = True
    _check_failure(context, key, owner, result + OUT)


def _check_failure(context: Context, key: str, owner: str, result_key: str | None = None) -> None:
    head = context.head(key)
    if head is None or not has_owner(context, key, head):
        return
    _check_owner(context, key, owner_of(head), owner)
    check_failure(context, key, head, "send the message again")
    if result_key is not None:
        check_not_both(context, key, head, result_key)


def _check_spare(context: Context, key: str, owner: str) -> None:
    """Check that the version of an object whose failure has the spare name has no outcome under the object's own."""
    if (name := _name_of_source(context, key)) is None:
        return
    for own_key in (name + OUT, name + ERR):
        own = context.head(own_key)
        if own is None or owner_of(own) != owner or (spare := context.head(key)) is None:
            continue
        if context.waiting.is_recent(max(own.modified, spare.modified)):
            context.report.add_pending(Check.MESSAGES)
        else:
            problem = f"its object's version has an outcome of its own, too: {context.uri(own_key)}"
            context.report.add_violation(Violation(Check.MESSAGES, context.uri(key), problem, "delete it"))


def _name_of_source(context: Context, key: str) -> str | None:
    """The name of the outcomes of the object that a failure is about; None when the failure does not say it."""
    deployment = context.deployment
    try:
        stored = deployment.s3.get_object(Bucket=deployment.results_bucket, Key=key)
        uri = json.loads(stored["Body"].read())["Source"]
        bucket, _, object_key = uri.removeprefix("s3://").partition("/")
        return object_name(bucket, object_key, deployment.input_bucket)
    except (ValueError, LookupError, TypeError, AttributeError, Failure):
        return None
    except ClientError as error:
        if is_gone(error):
            return None
        raise


def _check_owner(context: Context, key: str, owner: str | None, named_after: str) -> None:
    if owner != named_after:
        problem = f"its owner is {owner}, but it is named after {named_after}: it was copied or renamed"
        context.report.add_violation(Violation(Check.OWNERS, context.uri(key), problem, "delete it"))


def check_requests(context: Context) -> None:
    """Check the requests in the logs, except those whose input object was checked. Raises botocore's errors.

    The outcomes in the results bucket must have been listed before.
    """
    if context.logged.denied is not None:
        context.report.add_unknown(Check.MESSAGES, f"the logs can't be read: {context.logged.denied}")
        return
    if context.logged.has_no_lines_of(Status.SUCCEEDED):
        reason = "the functions' log level leaves out the lines of successes: those messages are not checked"
        context.report.add_unknown(Check.MESSAGES, reason)
    context.on_progress("requests in the logs")
    requests = (one for one in context.logged.requests() if not one.is_judged and one.name.startswith(context.prefix))
    context.in_parallel(partial(_check_request, context), requests)


def _check_request(context: Context, request: LoggedRequest) -> None:
    report = context.report
    report.add_checked(Check.MESSAGES)
    if request.is_answered or request.is_failed or request.status is Status.SUPERSEDED:
        return
    if _has_outcome(context, request):
        return
    if context.waiting.is_recent(request.last):
        report.add_pending(Check.MESSAGES)
        return
    uri = context.uri(request.name + OUT)
    if request.is_final:
        said = f"its log says {request.status} at {format_utc(request.last)}"
        if request.status in _ANSWERED:
            deleted = context.was_deleted(request.name + OUT)
            lost = "its result was deleted" if deleted else "there is neither a result nor a failure"
            remedy = "restore the earlier version of the result" if deleted else "send it again"
            report.add_violation(Violation(Check.MESSAGES, uri, f"{said}, but {lost}", remedy))
        else:
            problem = f"{said} ({request.error_code}), but there is no .err"
            remedy = "its dead letter has the reason: sluice dlq ls --each"
            report.add_violation(Violation(Check.MESSAGES, context.uri(request.name + ERR), problem, remedy))
        return
    fate = context.waiting.fate(request.last, request)
    if fate is Fate.PENDING:
        report.add_pending(Check.MESSAGES)
    elif fate is Fate.MAYBE_QUEUED:
        report.add_unknown(Check.MESSAGES, QUEUED, uri)
    else:
        reason = f" ({request.error_code})" if request.error_code else ""
        problem = (
            f"its last log line says {request.status}{reason} at {format_utc(request.last)}, there is neither a result "
            "nor a failure, and no message of it is on a queue"
        )
        report.add_violation(Violation(Check.MESSAGES, uri, problem, "send it again"))


def _has_outcome(context: Context, request: LoggedRequest) -> bool:
    """Whether the request has an outcome that the listings did not show, or do not show whose it is."""
    owner = request.owner
    if owner is None:
        names = [request.name + OUT, request.name + ERR]
        if request.version is not None:  # an event that its object does not confirm
            names.append(spare_error_name(request.version) + ERR)
        return any(context.head(key) is not None for key in names)
    for key in (request.name + OUT, error_name_of(request.name, id_of_owner(owner)) + ERR):
        head = context.head(key)
        if head is not None and owner_of(head) == owner:
            return True
    return False
