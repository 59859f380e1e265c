"""Objects and their outcomes, both listed once, page by page: the memory is the same for any number."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sluice.keys import ERR, OUT

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True, slots=True)
class Listed:
    """The newest version of an object. `version_id` is None in a bucket without versioning.

    `before` is the key that the listing had before it: to list again from here, start after that.
    """

    key: str
    size: int
    etag: str
    version_id: str | None
    modified: datetime
    before: str


@dataclass(slots=True)
class Judged:
    """An object, and when the outcomes that stand under its name were written."""

    listed: Listed
    answered: datetime | None = None
    failed: datetime | None = None

    def has(self, outcome: datetime | None) -> bool:
        """Whether `outcome` is of this upload: not older than it, to the second, which is all that S3 lists."""
        return outcome is not None and outcome >= self.listed.modified


def objects(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[Listed]:
    """The objects under `prefix`, by key. Raises botocore's errors.

    In a bucket with versioning ListObjectVersions says which version an S3 event would have named; ListObjectsV2 does
    not.
    """
    before = start_after
    versioned = s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    for one in _versions(s3, bucket, prefix, start_after) if versioned else _plain(s3, bucket, prefix, start_after):
        if one["Key"] <= start_after:
            continue
        version_id = one.get("VersionId")
        yield Listed(
            key=one["Key"],
            size=one["Size"],
            etag=one["ETag"].strip('"'),
            version_id=None if version_id == "null" else version_id,
            modified=one["LastModified"],
            before=before,
        )
        before = one["Key"]


def _versions(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[Any]:
    where: dict[str, Any] = {"KeyMarker": start_after}  # boto3's paginator can't begin at a key
    while where:
        page = s3.list_object_versions(Bucket=bucket, Prefix=prefix, **where)
        yield from (one for one in page.get("Versions", []) if one["IsLatest"])
        marks = ("KeyMarker", "VersionIdMarker")
        where = {mark: page.get(f"Next{mark}", "") for mark in marks} if page.get("IsTruncated") else {}


def _plain(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[Any]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, StartAfter=start_after)
    for page in pages:
        yield from page.get("Contents", [])


def outcomes(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[tuple[str, datetime]]:
    """The keys of the results bucket under `prefix`, in order, and when each was written. Raises botocore's errors."""
    for one in _plain(s3, bucket, prefix, start_after):
        yield one["Key"], one["LastModified"]


class Merge:
    """Each object with its outcomes, which lie under `name_prefix` + its key + `.out` or `.err`.

    Both listings are in the order of their keys, but keys with a suffix are in another order than keys without: `a.out`
    comes after `a-b.out`, and `a` before `a-b`. So what is looked for waits in a heap until no key to come can be
    before it. Only keys that are the beginning of the current one wait, so the heap is small. Objects come out in the
    order of their `.out`.
    """

    def __init__(self, listing: Iterable[Listed], name_prefix: str, stored: Iterable[tuple[str, datetime]]) -> None:
        self._listing = listing
        self._name_prefix = name_prefix
        self._stored = stored
        self._waiting: list[tuple[str, int, Judged]] = []

    def __iter__(self) -> Iterator[Judged]:
        results = _Cursor(self._stored)
        for number, listed in enumerate(self._listing):
            one = Judged(listed)
            for suffix in (ERR, OUT):
                heapq.heappush(self._waiting, (self._name_prefix + listed.key + suffix, number, one))
            yield from self._due(self._name_prefix + listed.key, results)
        yield from self._due(None, results)

    def resume_after(self, taken: Iterable[Listed]) -> str | None:
        """The last key before those of `taken` and all that were listed and have not come out yet; None without any."""
        waiting = (one.listed for _, _, one in self._waiting)
        return min((listed.before for listed in (*taken, *waiting)), default=None)

    def _due(self, until: str | None, results: "_Cursor") -> Iterator[Judged]:
        """Look up what waits and is before `until`, and give what has been looked up under both names."""
        while self._waiting and (until is None or self._waiting[0][0] < until):
            name, _, one = heapq.heappop(self._waiting)
            found = results.find(name)
            if name.endswith(ERR):
                one.failed = found
            else:
                one.answered = found
                yield one


class _Cursor:
    """Finds names in an ordered listing, when they are asked for in the same order."""

    def __init__(self, stored: Iterable[tuple[str, datetime]]) -> None:
        self._stored = iter(stored)
        self._next = next(self._stored, None)

    def find(self, name: str) -> datetime | None:
        while self._next is not None and self._next[0] < name:
            self._next = next(self._stored, None)
        return self._next[1] if self._next is not None and self._next[0] == name else None
