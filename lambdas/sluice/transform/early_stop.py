"""When the parts of a file stop because it is over its ErrorThreshold: the calls that are left would be in vain.

The parts count the refused records of the parts that are stored. Whether a file is over its threshold depends on all of
its records, so a percentage is taken of the number of its lines: the file is stopped only if it fails for certain. A
part of CSV that is cut by size may lie within a quoted field, whether it has quotes or not. What it has refused counts
if parts reach it without gap from the beginning of the file, or if there is no quote in the file before it.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

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
_MOST_COUNTED = 4 * 1024**3  # bytes of a file that is read to count its lines
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


@dataclass(frozen=True, slots=True)
class _Content:
    """How many records a file has at most, and the byte of its first quote, or its size."""

    records: int
    first_quote: int


@dataclass(slots=True)
class _Refused:
    """The refused records of the stored parts: those that are certain, and by the byte where a part begins, others."""

    certain: int = 0
    others: list[tuple[int, int]] = field(default_factory=list)

    @property
    def most(self) -> int:
        return self.certain + sum(failed for _, failed in self.others)

    def among(self, content: _Content) -> int:
        return self.certain + sum(failed for start, failed in self.others if start <= content.first_quote)


class EarlyStop:
    """Stops the parts of files. Its methods raise `ServiceError`, and `look` raises `Replaced`, too."""

    def __init__(self, settings: Settings, inputs: Buckets, results: Bucket) -> None:
        self._settings = settings
        self._inputs = inputs
        self._results = results
        self._failed: dict[
            str, tuple[int, int]
        ] = {}  # all and uncertain ones, by the key of a part, which never changes
        self._contents: dict[str, _Content] = {}  # by the folder of a file's parts

    async def is_stopped(self, attempt: _Part, options: Options) -> bool:
        """Whether the file of a part is over its threshold for certain, as far as any part has noticed."""
        key = _stop_key(attempt)
        return options.error_threshold.is_set and key is not None and await self._results.head(key) is not None

    async def look(self, attempt: _Part, work: Work) -> None:
        """Count the refused records of the stored parts, and stop the file if they are too many."""
        threshold, key = work.options.error_threshold, _stop_key(attempt)
        if not threshold.is_set or key is None:
            return
        refused = await self._refused(attempt)
        part = work.part
        if threshold.count is None:
            # Counting the lines reads the file, which is pointless while the threshold is far.
            density = len(work.lines) / max(1, part.end - part.start)
            if not threshold.is_exceeded(2 * refused.most, density * (part.file.size or 0)):
                return
            content = await self._content(part, keys.folder_of_part(attempt.identity.name))
        elif threshold.is_exceeded(refused.certain, 0) or not threshold.is_exceeded(refused.most, 0):
            content = _Content(0, 0)  # it does not matter
        else:
            content = await self._content(part, keys.folder_of_part(attempt.identity.name))
        failed = refused.among(content)
        if threshold.is_exceeded(failed, content.records):
            document = compact_bytes({"failed": failed, "error_threshold": str(threshold)})
            await self._results.put(key, document, content_type=_JSON)

    async def _refused(self, attempt: _Part) -> _Refused:
        """The refused records of the stored parts of the run, each counted once."""
        names = await self._results.list(keys.folder_of_part(attempt.identity.name))
        with_errors = keys.parts_with_errors(names)
        chain = {0}  # where parts begin that no gap divides from the beginning of the file
        for start, end, _ in keys.stored_parts(names):
            if start in chain:
                chain.add(end)
        chosen: list[tuple[int, str]] = []
        reached = 0
        for start, end, name in keys.stored_parts(of_run(names, attempt.request.run)):
            if start >= reached:
                reached = end
                if keys.stem_of_part(name) in with_errors:
                    chosen.append((start, name))
        unknown = [name for _, name in chosen if name not in self._failed]
        if len(self._failed) + len(unknown) > _MAX_KNOWN:
            self._failed.clear()
            unknown = [name for _, name in chosen]
        left = iter(unknown)
        async with aclosing(prefetch(self._results.head, unknown)) as heads:
            async for head in heads:
                found = head.metadata if head else {}
                self._failed[next(left)] = count(found, "failed"), count(found, UNCERTAIN)
        refused = _Refused()
        for start, name in chosen:
            failed, uncertain = self._failed[name]
            refused.certain += failed if start in chain else failed - uncertain
            if uncertain and start not in chain:
                refused.others.append((start, uncertain))
        return refused

    async def _content(self, part: TransformPart, folder: str) -> _Content:
        """What is known of a file: if it is too large to be read, half its bytes are taken for its records."""
        size = part.file.size or 0
        if size > _MOST_COUNTED:
            return _Content(size // 2 + 1, 0)
        if folder not in self._contents:
            if len(self._contents) >= _MAX_KNOWN:
                self._contents.clear()
            self._contents[folder] = await self._counted(part, folder)
        return self._contents[folder]

    async def _counted(self, part: TransformPart, folder: str) -> _Content:
        key = keys.lines_key(folder)
        try:
            stored = json.loads((await self._results.get(key)).body)
        except ServiceError as error:
            if error.status != 404:
                raise
        else:
            return _Content(stored["lines"], stored.get("first_quote", 0))  # an older version did not look for quotes
        lines, at, first_quote = 1, 0, part.file.size or 0
        async with aclosing(self._pieces(part, folder)) as pieces:
            async for piece in pieces:
                lines += piece.count(b"\n")
                if (quote := piece.find(b'"')) >= 0:
                    first_quote = min(first_quote, at + quote)
                at += len(piece)
        document = compact_bytes({"lines": lines, "first_quote": first_quote})
        await write_once(self._results, key, document, content_type=_JSON)
        return _Content(lines, first_quote)

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
