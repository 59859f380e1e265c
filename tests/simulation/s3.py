"""S3 buckets with versions: conditional writes and deletions, delete markers, listings."""

import hashlib
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sluice.ports import LISTED, Condition, ObjectHead, ObjectTooLarge, PreconditionFailed, StoredObject

_MAX_METADATA_BYTES = 2048


class S3Error(Exception):
    """An error response of S3."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an object; without `body` it is a delete marker. `sequencer` rises within a key."""

    version_id: str
    sequencer: str
    body: bytes | None
    etag: str = ""
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def head(self) -> ObjectHead:
        """As HeadObject describes it."""
        return ObjectHead(len(self.body or b""), self.etag, self.version_id, self.content_type, self.metadata)


class SimulatedBucket:
    """A versioned bucket. `new_id` makes a version ID from the key and the number of the version.

    In a bucket of inputs, the functions may not read the objects with `-denied` in their keys. `in_progress` says
    whether another write of an object is in progress, which fails in the end.
    """

    def __init__(
        self,
        name: str,
        new_id: Callable[[str], str],
        *,
        is_input: bool,
        in_progress: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self.name = name
        self.is_input = is_input
        self.in_progress = in_progress
        self.versions: dict[str, list[Version]] = {}  # oldest first
        self._new_id = new_id
        self._keys: list[str] = []  # sorted
        self._made: dict[str, int] = {}
        self._numbers: dict[str, str] = {}  # the sequencer of each version, also of those that were deleted

    def current(self, key: str) -> Version | None:
        """The newest version; None if there is none, or if it is a delete marker."""
        versions = self.versions.get(key)
        return versions[-1] if versions and versions[-1].body is not None else None

    def head(self, key: str, version_id: str | None = None) -> ObjectHead | None:
        """HeadObject; None for 404. Raises `S3Error`."""
        self._check_readable(key)
        found = self._find(key, version_id)
        return found.head if found else None

    def get(self, key: str, version_id: str | None = None, max_bytes: int | None = None) -> StoredObject:
        """GetObject. Raises `S3Error`, and `ObjectTooLarge` when it is over `max_bytes`."""
        self._check_readable(key)
        found = self._find(key, version_id)
        if found is None or found.body is None:
            raise S3Error("NoSuchKey", 404)
        if max_bytes is not None and len(found.body) > max_bytes:
            raise ObjectTooLarge(len(found.body))
        head = found.head
        return StoredObject(head.size, head.etag, head.version_id, head.content_type, head.metadata, found.body)

    def get_range(self, key: str, start: int, end: int, etag: str | None) -> bytes:
        """GetObject of a range, with If-Match. Raises `S3Error` and `PreconditionFailed`."""
        found = self.get(key)
        if etag and found.etag != etag:
            raise PreconditionFailed
        return found.body[start:end]

    def list(self, prefix: str, start_after: str | None) -> list[str]:
        """ListObjectsV2: all keys in the folder, or the first hundred after `start_after`."""
        at = bisect_right(self._keys, start_after or prefix[:-1])
        found: list[str] = []
        for key in self._keys[at:]:
            if key.startswith(prefix):
                if "/" not in key.removeprefix(prefix) and self.current(key) is not None:
                    found.append(key)
            elif key > prefix:
                break
        return found if start_after is None else found[:LISTED]

    def put(
        self,
        key: str,
        body: bytes,
        content_type: str | None,
        metadata: Mapping[str, str] | None,
        condition: Condition | None,
    ) -> str:
        """PutObject. Returns the ID of the version.

        Raises `PreconditionFailed`, and `S3Error` for bad metadata, or if another write is in progress.
        """
        described = dict(metadata or {})
        if any(not value.isascii() or not value.isprintable() for value in described.values()):
            raise S3Error("InvalidArgument", 400)
        if sum(len(name) + len(value) for name, value in described.items()) > _MAX_METADATA_BYTES:
            raise S3Error("MetadataTooLarge", 400)
        self._check(key, condition)
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        # As the adapter does, which stores an answer without a type that is no header's value.
        usable = content_type and content_type.isascii() and content_type.isprintable()
        return self._add(key, body, etag, content_type if usable else "binary/octet-stream", described)

    def delete(self, key: str, version_id: str | None, condition: Condition | None) -> None:
        """DeleteObject: of a version, or with a delete marker. Raises `PreconditionFailed`, and `S3Error` as `put`."""
        self._check(key, condition)
        if version_id is not None:
            self.versions[key] = [one for one in self.versions.get(key, []) if one.version_id != version_id]
        else:
            self._add(key, None, "", None, {})

    def previous(self, key: str, version_id: str) -> ObjectHead | None:
        """The version before the named one, which may be deleted; None if there is none, or it is a delete marker."""
        number = self._numbers.get(version_id, "")
        older = [one for one in self.versions.get(key, []) if one.sequencer < number]
        return older[-1].head if older and older[-1].body is not None else None

    def _add(self, key: str, body: bytes | None, etag: str, content_type: str | None, meta: dict[str, str]) -> str:
        if key not in self._made:
            insort(self._keys, key)
        number = self._made[key] = self._made.get(key, 0) + 1
        version_id = self._new_id(f"{self.name}/{key} {number}")
        self._numbers[version_id] = f"{number:016X}"
        version = Version(version_id, self._numbers[version_id], body, etag, content_type, meta)
        self.versions.setdefault(key, []).append(version)
        return version_id

    def _find(self, key: str, version_id: str | None) -> Version | None:
        if version_id is None:
            return self.current(key)
        found = (one for one in self.versions.get(key, []) if one.version_id == version_id)
        return next((one for one in found if one.body is not None), None)

    def _check(self, key: str, condition: Condition | None) -> None:
        if condition is not None:
            if self.in_progress(f"{self.name}/{key}"):
                raise S3Error("ConditionalRequestConflict", 409)
            there = self.current(key)
            if (there.etag if there else None) != condition.etag:
                raise PreconditionFailed

    def _check_readable(self, key: str) -> None:
        if self.is_input and "-denied" in key:
            raise S3Error("AccessDenied", 403)
