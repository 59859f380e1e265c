"""The verdict on one version of an input object: its outcome, and whose outcomes have its name."""

import glob
import shlex
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from cli.audit.context import Context
from cli.audit.failures import check_failure
from cli.audit.report import Check, Violation
from cli.audit.waiting import Fate
from cli.lookup.objects import ObjectHead, head_object
from cli.timefmt import format_utc
from sluice.inputs.identity import key_of_version, spare_error_name
from sluice.keys import ERR, OUT
from sluice.processing.result import SEQUENCER, SOURCE_VERSION, owner_of

QUEUED = "has no outcome yet; it may be one of the messages on the queues, which SQS does not search"
_RESTORE = "delete it: S3 then shows the version that the functions wrote; if there is none, send the request again"


@dataclass(frozen=True, slots=True)
class Subject:
    """The newest version of an input object. `name` is that of its result.

    `version_id` is None in a bucket without versions, where the `etag`, if it is known, tells uploads apart.
    `has_earlier` is whether the object has, or may have, other versions.
    """

    name: str
    bucket: str
    key: str
    version_id: str | None
    etag: str | None
    modified: datetime
    has_earlier: bool

    @property
    def uri(self) -> str:
        """The S3 URI of the object."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def identity(self) -> str | None:
        """The `Identity.key` of its request; None in a bucket without versions."""
        return None if self.version_id is None else key_of_version(self.bucket, self.key, self.version_id)

    def again(self, *options: str) -> str:
        """How to send it, and no other object, again."""
        # The key is also the prefix of others.
        return shlex.join(["sluice", "backfill", self.uri, "--include", glob.escape(self.key), *options])

    def is_later(self, written: datetime | None) -> bool:
        """Whether something was `written` after this version: S3 lists times to the second."""
        return written is not None and written >= self.modified


def judge(context: Context, subject: Subject, answered: datetime | None, failed: datetime | None) -> None:
    """Check one object. `answered` and `failed` are when its `.out` and its `.err` were written; None without one."""
    context.report.add_checked(Check.INPUTS)
    if subject.identity is None:
        reason = "without versions in its bucket, an outcome is matched with an upload by its ETag and the time"
        context.report.add_unknown(Check.INPUTS, reason, subject.uri)
    if (logged := context.logged.find(subject.name)) is not None:
        logged.is_judged = True
    err = context.head(subject.name + ERR) if failed else None
    if err is not None:
        if has_owner(context, subject.name + ERR, err):
            check_failure(context, subject.name + ERR, err, subject.again("--failed"))
        else:
            err = None
    has_out = _is_answered(context, subject, answered, has_err=err is not None)
    if has_out and err is not None:
        _check_both(context, subject, err)
    elif not has_out and (err is None or not _is_own(subject, err)):
        _check_missing(context, subject)


def _is_answered(context: Context, subject: Subject, answered: datetime | None, *, has_err: bool) -> bool:
    """Whether the `.out` is that of this version.

    The metadata is read only when there may be a doubt: an object with one version has no other version's result.
    """
    if answered is None:
        return False
    if not (context.reads_every_owner or subject.identity is None or subject.has_earlier or has_err):
        return subject.is_later(answered)
    out = context.head(subject.name + OUT)
    return out is not None and has_owner(context, subject.name + OUT, out) and _is_own(subject, out)


def _is_own(subject: Subject, outcome: ObjectHead) -> bool:
    if subject.identity is None:  # the request is identified by what only its event says
        etag = _source_version(outcome)
        return subject.is_later(outcome.modified) and (None in {etag, subject.etag} or etag == subject.etag)
    return owner_of(outcome) == subject.identity


def has_owner(context: Context, key: str, outcome: ObjectHead) -> bool:
    """Whether an outcome has an owner. If not, that is a violation."""
    context.report.add_checked(Check.OWNERS)
    if owner_of(outcome) is not None:
        return True
    problem = "it has no owner: the functions did not write it"
    context.report.add_violation(Violation(Check.OWNERS, context.uri(key), problem, _RESTORE))
    return False


def _check_both(context: Context, subject: Subject, err: ObjectHead) -> None:
    """The version has a result, and there is an `.err` with its name, which its success should have deleted."""
    key = subject.name + ERR
    out = context.head(subject.name + OUT)
    if out is None or context.head(key) is None:
        return  # deleted since they were listed
    if subject.identity is None and owner_of(out) != owner_of(err):
        return  # uploads of equal content: only their events say which of them is the newest
    if context.waiting.is_recent(max(out.modified, err.modified)):
        context.report.add_pending(Check.INPUTS)
        return
    whose = "" if _is_own(subject, err) else " of another version"
    problem = f"its newest version has a result, and there is a failure{whose}, too"
    remedy = f"the result counts; delete {context.uri(key)}"
    context.report.add_violation(Violation(Check.INPUTS, subject.uri, problem, remedy))


def _check_missing(context: Context, subject: Subject) -> None:
    """The object has no outcome of this version in the listings."""
    report, logged = context.report, context.logged.find(subject.name)
    fate = context.waiting.fate(subject.modified, logged)
    if fate is Fate.PENDING:
        report.add_pending(Check.INPUTS)
    elif fate is Fate.MAYBE_QUEUED:
        report.add_unknown(Check.INPUTS, QUEUED, subject.uri)
    elif not _has_changed(context, subject):
        problem = _why_missing(context, subject)
        report.add_violation(Violation(Check.INPUTS, subject.uri, problem, _remedy(context, subject)))


def _has_changed(context: Context, subject: Subject) -> bool:
    """Whether the object or its outcome has changed since they were listed."""
    newest = head_object(context.deployment, subject.bucket, subject.key)
    if newest is None or newest.version_id != subject.version_id:
        return True
    keys = [subject.name + OUT, subject.name + ERR]
    if subject.identity is not None:
        keys.append(spare_error_name(subject.identity) + ERR)
    outcomes = (context.head(key) for key in keys)
    return any(outcome is not None and _is_own(subject, outcome) for outcome in outcomes)


def _why_missing(context: Context, subject: Subject) -> str:
    problem = "its newest version has neither a result nor a failure, and no message of it is on a queue"
    logged = context.logged.find(subject.name)
    if context.was_deleted(subject.name + OUT):
        return f"{problem}; a result with its name was deleted"
    if logged is not None and logged.last >= subject.modified:
        return f"{problem}; its last log line says {logged.status} at {format_utc(logged.last)}"
    if context.logged.denied is not None:
        return problem
    return f"{problem}; the logs since {format_utc(context.logged.since)} have no event of it"


def _remedy(context: Context, subject: Subject) -> str:
    older = context.head(subject.name + OUT)
    # Without --force, backfill takes a result that is younger than the object for its answer.
    force = ["--force"] if older is not None and subject.is_later(older.modified) else []
    return f"send it again: {subject.again(*force)}"


def check_without_input(context: Context, bucket: str, key: str, name_key: str, why_gone: str) -> None:
    """Check an outcome without an input object, for the reason `why_gone`.

    `key` is that of the outcome, and `name_key` the same below the name of the `bucket` of its input.
    """
    head = context.head(key)
    if head is None:
        return  # deleted since it was listed
    if (logged := context.logged.find(_without_suffix(key))) is not None:
        logged.is_answered |= key.endswith(OUT)
        logged.is_failed |= key.endswith(ERR)
    if not has_owner(context, key, head):
        return
    input_key = _without_suffix(name_key)
    if not _may_be_of(bucket, input_key, head):
        problem = f"its owner is no version of s3://{bucket}/{input_key}: it was copied or renamed"
        context.report.add_violation(Violation(Check.OWNERS, context.uri(key), problem, "delete it"))
        return
    context.report.add_unknown(Check.OWNERS, why_gone, context.uri(key))
    if key.endswith(ERR):
        check_failure(context, key, head, f"upload s3://{bucket}/{input_key} again")
        check_not_both(context, key, head, _without_suffix(key) + OUT)


def check_not_both(context: Context, key: str, err: ObjectHead, result_key: str) -> None:
    """Check that the request whose `.err` is at `key` has no result, too, which would be at `result_key`."""
    out = context.head(result_key)
    if out is None or owner_of(out) != owner_of(err):
        return
    if context.waiting.is_recent(max(out.modified, err.modified)):
        context.report.add_pending(Check.MESSAGES)
    elif context.head(key) is not None:
        problem, remedy = "there is a result of the request, too", "the result counts; delete the .err"
        context.report.add_violation(Violation(Check.MESSAGES, context.uri(key), problem, remedy))


def _source_version(outcome: ObjectHead) -> str | None:
    """The version ID of the upload that an outcome is of, else its ETag; None when the metadata does not say it."""
    version = unquote(outcome.metadata.get(SOURCE_VERSION, ""))
    return None if version.endswith("...") else version or None  # it was cut, because the metadata was full


def _may_be_of(bucket: str, key: str, outcome: ObjectHead) -> bool:
    """Whether the owner of an outcome is a version of an object, as far as its metadata says."""
    version = _source_version(outcome)
    if version is None:
        return True
    # Without a version ID, the sequencer of the event identifies the request, and without one, the ETag.
    known = {key_of_version(bucket, key, one) for one in (version, outcome.metadata.get(SEQUENCER))}
    return owner_of(outcome) in known


def _without_suffix(key: str) -> str:
    return key.removesuffix(OUT) if key.endswith(OUT) else key.removesuffix(ERR)
