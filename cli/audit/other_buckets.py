"""The check of the objects of other buckets: those that have an outcome."""

import re
from functools import partial

from botocore.exceptions import ClientError

from cli.audit.context import Context
from cli.audit.judge import Subject, check_without_input, judge
from cli.audit.report import Check, Violation
from cli.deployment import is_denied
from cli.lookup.objects import ObjectHead, head_object
from sluice.inputs.identity import key_of_version
from sluice.inputs.message import S3_URI
from sluice.keys import ERR, OTHER_BUCKETS_PREFIX, OUT
from sluice.processing.result import owner_of


def check_other_buckets(context: Context) -> None:
    """Check the outcomes under `buckets/` against their input objects. Raises botocore's errors.

    Such a bucket may hold much that was never meant for the deployment. Therefore it is not listed: the outcomes say
    which of its objects are requests.
    """
    prefix = context.within(OTHER_BUCKETS_PREFIX)
    if prefix is None:
        return
    context.on_progress(f"outcomes under {prefix}")
    context.in_parallel(partial(_check, context), (key for key, _ in context.list_results(prefix)))
    settings = context.deployment.settings_if_allowed
    if settings is None or settings.input_location_buckets:
        reason = "only the objects that have an outcome are checked: others may never have been sent"
        context.report.add_unknown(Check.INPUTS, f"of the buckets in input_location_buckets, {reason}")


def _check(context: Context, key: str) -> None:
    if not key.endswith((OUT, ERR)):
        return
    name = key.removesuffix(OUT) if key.endswith(OUT) else key.removesuffix(ERR)
    location = name.removeprefix(OTHER_BUCKETS_PREFIX)
    if not re.fullmatch(S3_URI, f"s3://{location}"):
        problem, remedy = "it is named after no object: the functions did not write it", "delete it"
        context.report.add_violation(Violation(Check.OWNERS, context.uri(key), problem, remedy))
        return
    bucket, _, input_key = location.partition("/")
    out = context.head(name + OUT)
    if key.endswith(ERR) and out is not None:
        return  # it is checked with the result
    try:
        newest = head_object(context.deployment, bucket, input_key)
    except ClientError as error:
        if not is_denied(error):
            raise
        newest, why = None, f"s3:GetObject is not allowed on {bucket}, so its input can't be known"
    else:
        why = "its input object is gone, so whether it is of its newest version can't be known"
    if newest is None:
        for suffix in (OUT, ERR):
            check_without_input(context, bucket, name + suffix, input_key + suffix, why)
        return
    err = context.head(name + ERR)
    subject = Subject(name, bucket, input_key, newest.version_id, None, newest.modified, has_earlier=True)
    if _was_not_sent(context, subject, out, err):
        reason = "its newest version has no outcome and no log line: it may never have been sent"
        context.report.add_unknown(Check.INPUTS, reason, subject.uri)
        return
    judge(context, subject, out.modified if out else None, err.modified if err else None)


def _was_not_sent(context: Context, subject: Subject, out: ObjectHead | None, err: ObjectHead | None) -> bool:
    """Whether nothing says that the newest version is a request: only an older one has an outcome."""
    if subject.version_id is None:
        return False
    identity = key_of_version(subject.bucket, subject.key, subject.version_id)
    if any(outcome is not None and owner_of(outcome) in {None, identity} for outcome in (out, err)):
        return False
    logged = context.logged.find(subject.name)
    return logged is None or logged.last < subject.modified
