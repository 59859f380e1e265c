"""The answers that a retry of a part keeps: those of the stored part, and where in it answers are missing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sluice import keys
from sluice.failures import ServiceError
from sluice.inputs.requests import TransformPart
from sluice.ports import Bucket
from sluice.transform.lines import Lines
from sluice.transform.progress import count

# Of an error in the document of a part: where its record begins in the dataset, and where in the part's answers its
# answer would be.
AT, OFFSET = "At", "Offset"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a stored part has of the lines of `Work`.

    `gaps` are the indices of the lines without an answer, each with the stored answers between the gap before it and
    itself; `rest` are those after the last one. `kept` are the indices of the records that have an answer.
    """

    gaps: dict[int, bytes]
    rest: bytes
    kept: frozenset[int]
    calls: int  # that were made for the stored part
    started: str
    content_type: str | None

    @property
    def size(self) -> int:
        """The bytes of the answers that are kept."""
        return sum(map(len, self.gaps.values())) + len(self.rest)

    def before(self, gap: int) -> "Earlier":
        """What it has of the lines before one of the gaps."""
        gaps = {index: piece for index, piece in self.gaps.items() if index < gap}
        return replace(self, gaps=gaps, rest=self.gaps[gap], kept=frozenset(one for one in self.kept if one < gap))


async def load(
    results: Bucket, folder: str, part: TransformPart, lines: Lines, *, sizes: Sequence[int], separator: bytes
) -> Earlier | None:
    """What the stored part that `part` retries has of its `lines`; `sizes` is 0 for those that are never sent.

    None when its answers can't be told apart any more, so that all records must be sent: it has expired, or was stored
    by a version of the functions that read other lines. Raises `ServiceError`.
    """
    stem = part.earlier or ""
    begin, end = (int(number) for number in stem[:31].split("-"))
    try:
        stored = await results.get(folder + stem + keys.OUT)
        if "errors" not in stored.metadata:
            return None
        document = (await results.get(folder + stem + stored.metadata["errors"])).body
    except ServiceError as error:
        if error.status == 404:
            return None
        raise
    errors = [json.loads(line) for line in document.splitlines()]
    if lines.is_cut or lines.is_crossing or not all(OFFSET in error for error in errors):
        return None
    offsets: dict[int, int] = {error[AT]: error[OFFSET] for error in errors}
    first = 0 if part.start == begin else offsets.get(part.start)
    last = len(stored.body) if part.end == end else offsets.get(part.end)
    is_whole = (begin, end) == (part.start, part.end)
    if first is None or last is None or (is_whole and count(stored.metadata, "records") != len(lines)):
        return None
    indices = {lines.place(index): index for index in range(len(lines))}
    places = sorted(at for at in offsets if part.start <= at < part.end)
    if not all(at in indices for at in places):
        return None
    # In the place of an answer there is nothing, or a line with the error of a request of an OpenAI batch file.
    begins = [first, *(stored.body.index(separator, offsets[at]) + len(separator) for at in places)]
    ends = [*(offsets[at] for at in places), last]
    *pieces, rest = (stored.body[one:other] for one, other in zip(begins, ends, strict=True))
    gaps = dict(zip((indices[at] for at in places), pieces, strict=True))
    return Earlier(
        gaps,
        rest,
        frozenset(index for index, size in enumerate(sizes) if size and index not in gaps),
        count(stored.metadata, "calls") if part.start == begin else 0,
        stored.metadata["started"],
        stored.content_type,
    )
