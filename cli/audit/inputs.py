"""The check of the input bucket: the newest version of each object has one outcome."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from cli.audit.context import Context
from cli.audit.judge import Subject, check_without_input, judge
from cli.audit.report import Check
from cli.backfill.listing import Candidate, ListedObject, Merge
from cli.deployment import is_denied
from sluice.failures import Failure
from sluice.keys import ERR, INVOKE_PREFIX, OUT, TRANSFORM_PREFIX, object_name

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True, slots=True)
class Upload(ListedObject):
    """The newest version of an object. `has_earlier` is whether there are earlier ones."""

    has_earlier: bool


def list_uploads(s3: "S3Client", bucket: str, prefix: str) -> Iterator[Upload]:
    """The objects under `prefix` that are not deleted, sorted by key. Raises botocore's errors."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    for key, versions in groupby(_versions(pages), key=itemgetter("Key")):
        newest, *earlier = islice(versions, 2)
        if "Size" not in newest:  # a delete marker
            continue
        version_id = newest["VersionId"]
        yield Upload(
            key=key,
            size=newest["Size"],
            etag=newest["ETag"].strip('"'),
            version_id=None if version_id == "null" else version_id,
            modified=newest["LastModified"],
            previous_key="",
            has_earlier=bool(earlier),
        )


def _versions(pages: Any) -> Iterator[Any]:
    """The versions and delete markers of all pages, sorted by key, the newest of each key first."""
    for page in pages:
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        # Both lists have the order of S3, but they are apart. Times have no fraction, so IsLatest decides first.
        versions.sort(key=lambda one: (one["Key"], not one["IsLatest"]))
        yield from versions


def check_inputs(context: Context) -> None:
    """Check the objects under `invoke/` and `transform/`, and the outcomes there. Raises botocore's errors."""
    for family in (INVOKE_PREFIX, TRANSFORM_PREFIX):
        prefix = context.within(family)
        if prefix is None:
            continue
        context.on_progress(f"inputs and outcomes under {prefix}")
        context.in_parallel(lambda task: task(), _tasks(context, prefix))


def _tasks(context: Context, prefix: str) -> Iterator[Callable[[], None]]:
    deployment = context.deployment
    unmatched: list[tuple[str, datetime]] = []
    uploads, why_gone = _readable(context, list_uploads(deployment.s3, deployment.input_bucket, prefix))
    outcomes = context.list_results(prefix)
    for candidate in Merge(uploads, "", outcomes, lambda *item: unmatched.append(item)):
        yield partial(_check, context, candidate)
        yield from _take(context, unmatched, why_gone)
    yield from _take(context, unmatched, why_gone)


def _readable(context: Context, uploads: Iterator[Upload]) -> tuple[Iterator[Upload], str]:
    """The uploads that a result can be named after, and what an outcome without one of them means."""
    bucket = context.deployment.input_bucket
    try:
        first = next(uploads, None)
    except ClientError as error:
        if not is_denied(error):
            raise
        context.report.add_unknown(Check.INPUTS, f"s3:ListBucketVersions is not allowed on {bucket}")
        return iter(()), "the input bucket can't be listed, so its input can't be known"
    found = uploads if first is None else chain([first], uploads)
    return (
        (upload for upload in found if _is_input(context, upload)),
        "its input object is gone, so whether it is of its newest version can't be known",
    )


def _is_input(context: Context, upload: Upload) -> bool:
    bucket = context.deployment.input_bucket
    if upload.key.endswith("/") and not upload.size:  # the marker of a folder
        return False
    try:
        object_name(bucket, upload.key, bucket)
    except Failure:
        reason = "no result can be named after it; its failure is named after the ID of its message"
        context.report.add_unknown(Check.INPUTS, reason, f"s3://{bucket}/{upload.key}")
        return False
    return True


def _check(context: Context, candidate: Candidate) -> None:
    upload = cast("Upload", candidate.object)
    bucket = context.deployment.input_bucket
    judge(
        context,
        Subject(
            name=upload.key,
            bucket=bucket,
            key=upload.key,
            version_id=upload.version_id,
            etag=upload.etag,
            modified=upload.modified,
            has_earlier=upload.has_earlier,
        ),
        candidate.answered,
        candidate.failed,
    )


def _take(context: Context, unmatched: list[tuple[str, datetime]], why_gone: str) -> Iterator[Callable[[], None]]:
    """The checks of the outcomes without an object. A dataset has other results, too, which end with its `.out`."""
    taken, unmatched[:] = list(unmatched), []
    for key, _ in taken:
        if key.endswith((OUT, ERR)):
            yield partial(check_without_input, context, context.deployment.input_bucket, key, key, why_gone)
