"""The check of the parts of datasets: none without its dataset, none that the lifecycle rule should have deleted."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cli.audit.context import Context
from cli.audit.report import Check, Violation
from cli.deployment import is_denied
from sluice.inputs.identity import key_of_version
from sluice.keys import ERR, OUT, PARTS_PREFIX, TRANSFORM_PREFIX, dataset_of_part, folder_of_part
from sluice.processing.result import owner_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# S3 queues expired objects once a day, at midnight UTC, and deletes them later (S3 User Guide, "Expiring objects").
_LIFECYCLE_DELAY = timedelta(days=2)
_NO_RULE = "NoSuchLifecycleConfiguration"


def check_parts(context: Context) -> None:
    """Check the objects under `parts/`, folder by folder. Raises botocore's errors.

    The functions delete no parts: they are needed when a dataset is redriven. The lifecycle rule of the results bucket
    deletes them.
    """
    prefix = context.within(TRANSFORM_PREFIX)
    if prefix is None:
        return
    prefix = PARTS_PREFIX + (prefix if context.prefix else "")
    context.on_progress(f"parts under {prefix}")
    kept = _kept_for(context)
    items = context.list_results(prefix)
    for folder, parts in groupby(items, key=lambda item: folder_of_part(item[0])):
        _check_folder(context, folder, parts, kept)


def _check_folder(context: Context, folder: str, parts: Iterator[tuple[str, datetime]], kept: timedelta | None) -> None:
    report, uri = context.report, context.uri(folder)
    listed = list(parts)
    first, times = listed[0][0], [written for _, written in listed]
    report.add_checked(Check.PARTS, len(times))
    name, version = dataset_of_part(folder), folder.rstrip("/").rpartition("/")[2]
    if name is None or not name.startswith(TRANSFORM_PREFIX):
        _violate(context, uri, f"not named as a part is, such as {first}: {len(times)}", "delete them")
        return
    if kept is not None and min(times) + kept + _LIFECYCLE_DELAY < context.waiting.started:
        problem = f"the lifecycle rule has not deleted parts that are older than {kept.days} days"
        _violate(context, uri, problem, "see the lifecycle rule of the results bucket")
    if context.waiting.is_recent(max(times)):
        return
    known = _known_versions(context, name)
    if known is not None and version not in known and not _is_owner(context, name, version):
        problem = f"parts of no version of s3://{context.deployment.input_bucket}/{name}: {len(times)}"
        _violate(context, uri, problem, "its version was deleted, or the functions did not write them; delete them")


def _violate(context: Context, uri: str, problem: str, remedy: str) -> None:
    context.report.add_violation(Violation(Check.PARTS, uri, problem, remedy))


def _is_owner(context: Context, name: str, version: str) -> bool:
    """Whether an outcome of the dataset is of this version, although the version itself is gone."""
    heads = (context.head(name + suffix) for suffix in (OUT, ERR))
    return any(head is not None and owner_of(head) == version for head in heads)


def _known_versions(context: Context, name: str) -> set[str] | None:
    """The `Identity.key` of each version of a dataset; None when they can't be known."""
    bucket = context.deployment.input_bucket
    try:
        return _identities(context.deployment.s3, bucket, name, context)
    except ClientError as error:
        if not is_denied(error):
            raise
        context.report.add_unknown(Check.PARTS, f"s3:ListBucketVersions is not allowed on {bucket}")
        return None


def _identities(s3: "S3Client", bucket: str, key: str, context: Context) -> set[str] | None:
    found: set[str] = set()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        for version in page.get("Versions", []):
            if version["Key"] != key:
                return found
            if version["VersionId"] == "null":
                reason = "without versions in its bucket, the version of a dataset is known from its event only"
                context.report.add_unknown(Check.PARTS, reason, f"s3://{bucket}/{key}")
                return None
            found.add(key_of_version(bucket, key, version["VersionId"]))
    return found


def _kept_for(context: Context) -> timedelta | None:
    """After what time the results bucket deletes parts; None when that is not known, or never."""
    report, bucket = context.report, context.deployment.results_bucket
    try:
        rules: Any = context.deployment.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if is_denied(error):
            report.add_unknown(Check.PARTS, f"s3:GetLifecycleConfiguration is not allowed on {bucket}")
            return None
        if error.response["Error"]["Code"] != _NO_RULE:
            raise
        rules = []
    days = [
        rule["Expiration"]["Days"]
        for rule in rules
        if rule["Status"] == "Enabled" and "Days" in rule.get("Expiration", {}) and _selects_parts(rule)
    ]
    if not days:
        report.add_unknown(Check.PARTS, f"no lifecycle rule of {bucket} deletes parts: they stay until you delete them")
        return None
    return timedelta(days=min(days))


def _selects_parts(rule: Any) -> bool:
    """Whether a lifecycle rule selects all objects under `parts/`."""
    selected = rule.get("Filter", {})
    prefix = selected.get("Prefix", rule.get("Prefix", ""))
    return PARTS_PREFIX.startswith(prefix) and not set(selected) - {"Prefix"}
