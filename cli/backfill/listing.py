"""Lists objects and their outcomes in one pass over both buckets. The memory does not depend on their number."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sluice.keys import ERR, OUT

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True, slots=True)
class ListedObject:
    """The newest version of an object. `version_id` is None in a bucket without versioning.

    `previous_key` is the key that was listed before it: a listing that starts after that key begins with this object.
    """

    key: str
    size: int
    etag: str
    version_id: str | None
    modified: datetime
    previous_key: str


@dataclass(slots=True)
class Candidate:
    """An object, and when its `.out` and its `.err` were written; None without one."""

    object: ListedObject
    answered: datetime | None = None
    failed: datetime | None = None

    def is_outcome(self, written: datetime | None) -> bool:
        """Whether an outcome that was `written` then is that of this version: S3 lists times to the second."""
        return written is not None and written >= self.object.modified


def list_objects(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[ListedObject]:
    """The objects under `prefix`, sorted by key. Raises botocore's errors.

    In a bucket with versioning ListObjectVersions is used, because ListObjectsV2 returns no version IDs.
    """
    previous_key = start_after
    versioned = "Status" in s3.get_bucket_versioning(Bucket=bucket)  # if suspended, older objects have version IDs
    list_items = _newest_versions if versioned else _items
    for item in list_items(s3, bucket, prefix, start_after):
        if item["Key"] <= start_after:
            continue
        version_id = item.get("VersionId")
        yield ListedObject(
            key=item["Key"],
            size=item["Size"],
            etag=item["ETag"].strip('"'),
            version_id=None if version_id == "null" else version_id,
            modified=item["LastModified"],
            previous_key=previous_key,
        )
        previous_key = item["Key"]


def list_outcomes(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[tuple[str, datetime]]:
    """The keys under `prefix` of the results bucket, sorted, and when each was written. Raises botocore's errors."""
    for item in _items(s3, bucket, prefix, start_after):
        yield item["Key"], item["LastModified"]


class Merge:
    """The objects with the times of their outcomes, whose keys are `name_prefix` + the object's key + `.out` or `.err`.

    Both listings are sorted by key, but the order of keys with a suffix is not that of keys without: `a` is before
    `a-b`, and `a.out` after `a-b.out`. Therefore the keys to look up wait in a heap until no smaller key can follow.
    Only prefixes of the current key wait, so the heap is small. The objects are returned in the order of their `.out`.

    With `on_unmatched`, `outcomes` is read to its end, and the function is called for each key without an object.
    """

    def __init__(
        self,
        listing: Iterable[ListedObject],
        name_prefix: str,
        outcomes: Iterable[tuple[str, datetime]],
        on_unmatched: Callable[[str, datetime], None] | None = None,
    ) -> None:
        self._listing = listing
        self._name_prefix = name_prefix
        self._outcomes = outcomes
        self._on_unmatched = on_unmatched
        self._waiting: list[tuple[str, int, Candidate]] = []

    def __iter__(self) -> Iterator[Candidate]:
        outcomes = _Cursor(self._outcomes, self._on_unmatched)
        for number, listed in enumerate(self._listing):
            candidate = Candidate(listed)
            for suffix in (ERR, OUT):
                heapq.heappush(self._waiting, (self._name_prefix + listed.key + suffix, number, candidate))
            yield from self._complete(self._name_prefix + listed.key, outcomes)
        yield from self._complete(None, outcomes)
        if self._on_unmatched is not None:
            outcomes.read_to_end()

    def resume_after(self, taken: Iterable[ListedObject]) -> str | None:
        """The last key before the objects `taken` and all objects that are not returned yet; None without any."""
        waiting = (candidate.object for _, _, candidate in self._waiting)
        return min((listed.previous_key for listed in (*taken, *waiting)), default=None)

    def _complete(self, until: str | None, outcomes: "_Cursor") -> Iterator[Candidate]:
        """Look up the waiting keys before `until`, and return the candidates for which both keys are looked up."""
        while self._waiting and (until is None or self._waiting[0][0] < until):
            key, _, candidate = heapq.heappop(self._waiting)
            written = outcomes.find(key)
            if key.endswith(ERR):
                candidate.failed = written
            else:
                candidate.answered = written
                yield candidate


class _Cursor:
    """Finds keys in a sorted listing. The keys must be looked up in the same order."""

    def __init__(
        self, items: Iterable[tuple[str, datetime]], on_unmatched: Callable[[str, datetime], None] | None = None
    ) -> None:
        self._items = iter(items)
        self._on_unmatched = on_unmatched
        self._next = next(self._items, None)
        self._is_found = False

    def find(self, key: str) -> datetime | None:
        while self._next is not None and self._next[0] < key:
            self._advance()
        self._is_found = self._next is not None and self._next[0] == key
        return self._next[1] if self._next is not None and self._is_found else None

    def read_to_end(self) -> None:
        while self._next is not None:
            self._advance()

    def _advance(self) -> None:
        if self._next is not None and not self._is_found and self._on_unmatched is not None:
            self._on_unmatched(*self._next)
        self._next = next(self._items, None)
        self._is_found = False


def _newest_versions(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[Any]:
    markers: dict[str, Any] = {"KeyMarker": start_after}  # boto3's paginator can't start at a key
    while markers:
        page = s3.list_object_versions(Bucket=bucket, Prefix=prefix, **markers)
        yield from (item for item in page.get("Versions", []) if item["IsLatest"])
        names = ("KeyMarker", "VersionIdMarker")
        markers = {name: page.get(f"Next{name}", "") for name in names} if page.get("IsTruncated") else {}


def _items(s3: "S3Client", bucket: str, prefix: str, start_after: str) -> Iterator[Any]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, StartAfter=start_after)
    for page in pages:
        yield from page.get("Contents", [])
