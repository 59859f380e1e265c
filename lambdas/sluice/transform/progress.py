"""Which parts of a dataset are stored. Their names say where they begin and end."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sluice import keys
from sluice.inputs.requests import TransformPart
from sluice.transform.options import chunk_bytes


def begins_at(names: Iterable[str], start: int) -> bool:
    """Whether one of the stored parts begins at byte `start`."""
    return any(begins == start for begins, _, _ in keys.stored_parts(names))


def covered_until(names: Iterable[str], start: int, end: int) -> int:
    """The byte up to which stored parts cover a range without gap; `start` when none begins there.

    It is after `end` if the last record of the range ends there.
    """
    reached = {start}
    for begins, ends, _ in keys.stored_parts(names):
        if begins in reached and begins < end:
            reached.add(ends)
    return max(reached)


def rest_after(part: TransformPart, at: int) -> TransformPart:
    """What is left of a part whose records before byte `at` are answered; from `start` to `start` if nothing is.

    If the last record of the part ends within another range, as its line breaks are in quotes, the rest is that of the
    other range, whose part has begun within the record.
    """
    if at <= part.end:
        return replace(part, start=at)
    size = part.file.size or 0
    chunk = chunk_bytes(size)
    return replace(part, start=at, end=min(size, -(-at // chunk) * chunk))


def covering_parts(names: Iterable[str], end: int, start: int = 0) -> list[str] | None:
    """The keys of parts that cover bytes `start` to `end` without gap or overlap, in order; None if one is missing.

    Stored parts may overlap, because a part may have been halved while another delivery of it continued. Any parts that
    begin where others end will do: the answer to a line does not depend on the part that the line is in.
    """
    by_end: dict[int, tuple[int, str]] = {}
    reached = {start}
    for begins, ends, name in keys.stored_parts(names):
        if begins in reached and ends not in reached:
            reached.add(ends)
            by_end[ends] = (begins, name)
    if end not in reached:
        return None
    covering: list[str] = []
    at = end
    while at > start:
        at, name = by_end[at]
        covering.append(name)
    return covering[::-1]


def count(metadata: Mapping[str, str], name: str) -> int:
    """One of the counts in a part's metadata."""
    return int(metadata.get(name, "0"))


def succeeded(metadata: Mapping[str, str]) -> int:
    """How many records of a part have an answer: all but those that failed, and lines that were not sent."""
    return count(metadata, "records") - count(metadata, "failed") - count(metadata, "not-sent")
