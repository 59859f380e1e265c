"""When the parts of a file stop because it is over its ErrorThreshold: the calls that are left would be in vain.

The parts count the refused records of the parts that are stored. Whether a file is over its threshold depends on all of
its records, so a percentage is taken of the number of its lines: the file is stopped only if it fails for certain. What
may have been found within quotes does not count.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sluice import keys
from sluice.failures import ServiceError
from sluice.inputs.requests import TransformPart
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Bucket, Buckets
from sluice.processing.attempt import Attempt
from sluice.processing.prefetch import prefetch
from sluice.processing.storing import write_once
from sluice.settings import Settings
from sluice.transform.bisect import PATIENCE
from sluice.transform.lines import ranges
from sluice.transform.options import Options
from sluice.transform.part_store import UNCERTAIN
from sluice.transform.progress import count, of_run
from sluice.transform.replaced import read_range
from sluice.transform.threshold import ErrorThreshold
from sluice.transform.work import MAX_REFUSED, Work

_SHARE = 8  # a part that refuses this share of what the threshold allows is stored, so that others see it
_MOST_COUNTED = 4 * 1024**3  # bytes of a file whose lines are counted
_PIECE = 1024 * 1024
_MAX_KNOWN = 50_000  # parts, of about 200 bytes each
_JSON = "application/json"

_Part = Attempt[TransformPart]


def enough_refused(threshold: ErrorThreshold, lines: int) -> int:
    """How many refused records of a part are stored at once, so that the other parts see them.

    With C parts at a time, a file stops after as many refused records as the threshold allows, and C times this.
    """
    if not threshold.is_set:
        return MAX_REFUSED
    share = threshold.count // _SHARE if threshold.count is not None else threshold.allowed(lines)
    return min(MAX_REFUSED, max(PATIENCE, share))


class EarlyStop:
    """Stops the parts of files. Its methods raise `ServiceError`, and `look` raises `Replaced`, too."""

    def __init__(self, settings: Settings, inputs: Buckets, results: Bucket) -> None:
        self._settings = settings
        self._inputs = inputs
        self._results = results
        self._failed: dict[str, int] = {}  # by the key of a stored part, which never changes
        self._lines: dict[str, int] = {}  # by the folder of a file's parts

    async def is_stopped(self, attempt: _Part, options: Options) -> bool:
        """Whether the file of a part is over its threshold for certain, as far as any part has noticed."""
        key = _stop_key(attempt)
        return options.error_threshold.is_set and key is not None and await self._results.head(key) is not None

    async def look(self, attempt: _Part, work: Work) -> None:
        """Count the refused records of the stored parts, and stop the file if they are too many."""
        threshold, key = work.options.error_threshold, _stop_key(attempt)
        if not threshold.is_set or key is None:
            return
        failed = await self._count_failed(attempt)
        if threshold.count is None:
            # Counting the lines reads the file, which is pointless while the threshold is far.
            part = work.part
            density = len(work.lines) / max(1, part.end - part.start)
            if not threshold.is_exceeded(2 * failed, density * (part.file.size or 0)):
                return
        if threshold.is_exceeded(failed, 0 if threshold.count is not None else await self._most_records(attempt)):
            document = compact_bytes({"failed": failed, "error_threshold": str(threshold)})
            await self._results.put(key, document, content_type=_JSON)

    async def _count_failed(self, attempt: _Part) -> int:
        """The failed records of the stored parts of the run, each counted once."""
        names = await self._results.list(keys.folder_of_part(attempt.identity.name))
        with_errors = keys.parts_with_errors(names)
        chosen: list[str] = []
        reached = 0
        for start, end, name in keys.stored_parts(of_run(names, attempt.request.run)):
            if start >= reached:
                reached = end
                if keys.stem_of_part(name) in with_errors:
                    chosen.append(name)
        unknown = [name for name in chosen if name not in self._failed]
        if len(self._failed) + len(unknown) > _MAX_KNOWN:
            self._failed.clear()
            unknown = chosen
        left = iter(unknown)
        async with aclosing(prefetch(self._results.head, unknown)) as heads:
            async for head in heads:
                self._failed[next(left)] = (
                    count(head.metadata, "failed") - count(head.metadata, UNCERTAIN) if head else 0
                )
        return sum(self._failed[name] for name in chosen)

    async def _most_records(self, attempt: _Part) -> int:
        """How many records the file has at most: its lines, or half its bytes if it is too large to count them."""
        part, folder = attempt.request, keys.folder_of_part(attempt.identity.name)
        size = part.file.size or 0
        if size > _MOST_COUNTED:
            return size // 2 + 1
        if folder not in self._lines:
            if len(self._lines) >= _MAX_KNOWN:
                self._lines.clear()
            self._lines[folder] = await self._counted_lines(part, folder)
        return self._lines[folder]

    async def _counted_lines(self, part: TransformPart, folder: str) -> int:
        key = keys.lines_key(folder)
        try:
            found: int = json.loads((await self._results.get(key)).body)["lines"]
        except ServiceError as error:
            if error.status != 404:
                raise
        else:
            return found
        lines = 1
        async with aclosing(self._pieces(part, folder)) as pieces:
            async for piece in pieces:
                lines += piece.count(b"\n")
        await write_once(self._results, key, compact_bytes({"lines": lines}), content_type=_JSON)
        return lines

    async def _pieces(self, part: TransformPart, folder: str) -> AsyncGenerator[bytes]:
        """The content of a file. Raises `Replaced`."""
        bucket, key, etag = self._inputs(part.file.bucket), part.file.key, part.file.etag
        if part.unpacked:
            bucket, key, etag = self._inputs(self._settings.results_bucket), keys.unpacked_key(folder), None
        for start, end in ranges(part.file.size or 0, _PIECE):
            yield await read_range(bucket, key, start, end, etag=etag)


def _stop_key(attempt: _Part) -> str | None:
    """The key of the object that stops the run of a part; None for a part of no run."""
    run = attempt.request.run
    return None if run is None else keys.stop_key(keys.folder_of_part(attempt.identity.name), run.id)
