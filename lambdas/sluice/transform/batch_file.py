"""Recognizes OpenAI batch files when they are split, and finds the requests whose custom_id an earlier line has."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sluice import keys
from sluice.failures import ServiceError, invalid
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Bucket
from sluice.transform.content_types import is_json_lines
from sluice.transform.lines import BOM, ranges
from sluice.transform.openai_batch import digest_of_custom_id, is_request
from sluice.transform.options import Options

MAX_REQUESTS = 500_000  # of a file, because a digest of each custom_id is in memory
MAX_DUPLICATES = 10_000
_FIRST = 64 * 1024  # bytes that are read at first to find the first record
_PIECE = 8 * 1024 * 1024
_MAX_KNOWN = 16  # files
_JSON = "application/json"

Read = Callable[[int, int], Awaitable[bytes]]
"""Reads the bytes `start` to `end` (exclusive) of a file's content."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file, which is `size` bytes long, of its stated type. No record is over `limit` bytes."""

    read: Read
    size: int
    content_type: str
    limit: int


async def is_batch_file(content: Content, options: Options) -> bool:
    """Whether a file is an OpenAI batch file: as it is set, or as its first record is.

    Options that describe lines of another kind tell that it is none. Raises `Failure` (invalid) when it is set to be
    one, and such an option is set, too; and what `read` raises.
    """
    others = _of_other_lines(options)
    if options.record_format == "OpenAIBatch" and others:
        raise invalid("record-format", f"OpenAIBatch cannot be combined with {', '.join(others)}")
    if options.record_format is not None:
        return options.record_format == "OpenAIBatch"
    return not others and is_json_lines(content.content_type) and is_request(await _first_record(content))


def _of_other_lines(options: Options) -> list[str]:
    described = {
        "split-type": options.split_type != "Line",
        "input-filter": not options.input_filter.is_root,
        "output-filter": not options.output_filter.is_root,
        "join-source": options.join_source != "None",
        "answer-format": options.answer_format is not None,
    }
    return [name for name, is_set in described.items() if is_set]


async def _first_record(content: Content) -> bytes:
    """The first line that is not empty, as far as a record may be long."""
    upto = _FIRST
    while True:
        data = (await content.read(0, min(upto, content.size))).removeprefix(BOM).lstrip(b"\r\n")
        line, line_end, _ = data.partition(b"\n")
        if line_end or upto >= min(content.size, content.limit):
            return line
        upto *= 4


@dataclass(slots=True)
class Requests:
    """The requests of a batch file: how many, and the bytes at which those begin whose custom_id an earlier one has."""

    count: int = 0
    duplicates: list[int] = field(default_factory=list)


async def requests_of(content: Content) -> Requests:
    """Read all of a batch file.

    Raises `Failure` (invalid) when there are too many requests or duplicates, and what `read` raises.
    """
    seen: set[bytes] = set()
    found = Requests()

    def look(line: bytes, place: int) -> None:
        found.count += bool(line.strip())
        digest = digest_of_custom_id(line)
        if digest is None:
            return
        if digest in seen:
            found.duplicates.append(place)
        seen.add(digest)
        if len(seen) > MAX_REQUESTS:
            raise invalid("file", f"has over {MAX_REQUESTS:,} requests; split it into several files")
        if len(found.duplicates) > MAX_DUPLICATES:
            raise invalid("custom_id", f"over {MAX_DUPLICATES:,} requests have the same as an earlier one")

    rest, place, is_too_long = b"", 0, False
    for start, end in ranges(content.size, _PIECE):
        data = rest + await content.read(start, end)
        if start == 0 and data.startswith(BOM):
            data, place = data.removeprefix(BOM), len(BOM)
        *lines, rest = data.split(b"\n")
        for line in lines:
            if not is_too_long:
                look(line, place)
            is_too_long = False
            place += len(line) + 1
        if len(rest) > content.limit:  # No more of it is kept: it is refused, whatever follows.
            if not is_too_long:
                look(rest, place)
            is_too_long = True
            place += len(rest)
            rest = b""
    if not is_too_long:
        look(rest, place)
    return found


class BatchStore:
    """What is known of the requests of batch files, in the folders of their parts. It never changes."""

    def __init__(self, results: Bucket) -> None:
        self._results = results
        self._known: dict[str, frozenset[int]] = {}

    async def save(self, folder: str, found: Requests) -> None:
        """Store what was found of a file. Raises `ServiceError`."""
        document = {"requests": found.count, "duplicates": found.duplicates}
        await self._results.put(keys.batch_key(folder), compact_bytes(document), content_type=_JSON)

    async def is_saved(self, folder: str) -> bool:
        """Whether an earlier delivery has stored what was found of a file. Raises `ServiceError`."""
        return await self._results.head(keys.batch_key(folder)) is not None

    async def load(self, folder: str) -> frozenset[int]:
        """The duplicates of a file. Raises `Failure` (invalid) when they have expired, and `ServiceError`."""
        if folder not in self._known:
            try:
                stored = await self._results.get(keys.batch_key(folder))
            except ServiceError as error:
                if error.status == 404:
                    raise invalid("file", "its parts have expired; drop it again") from None
                raise
            if len(self._known) >= _MAX_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[folder] = frozenset(json.loads(stored.body)["duplicates"])
        return self._known[folder]
