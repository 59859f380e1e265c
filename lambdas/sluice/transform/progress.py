"""Which parts of a dataset are stored. Their names say where they begin and end, and which retry has stored them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from sluice import keys
from sluice.inputs.requests import Run

Part = tuple[int, int, str]
"""Where a stored part begins and ends, and its key."""


def of_run(names: Sequence[str], run: Run | None) -> list[str]:
    """The stored parts that count as done in a run, as keys.

    In a run that retries, a part counts that the run has stored, or that has an answer to each of its records.
    """
    stored = [name for _, _, name in keys.stored_parts(names)]
    if run is None or not run.retries:
        return stored
    with_errors = keys.parts_with_errors(names)
    return [
        name
        for name in stored
        if keys.run_of_part(name) == run.id
        or (keys.run_of_part(name) < run.id and keys.stem_of_part(name) not in with_errors)
    ]


def begins_at(names: Iterable[str], start: int) -> bool:
    """Whether one of the stored parts begins at byte `start`."""
    return any(begins == start for begins, _, _ in keys.stored_parts(names))


def covered_until(names: Iterable[str], start: int, end: int) -> int:
    """The byte, at most `end`, up to which stored parts cover a range without gap; `start` when none begins there."""
    reached = {start}
    for begins, ends, _ in keys.stored_parts(names):
        if begins in reached and ends <= end:
            reached.add(ends)
    return max(reached)


def covering_parts(names: Iterable[str], end: int, start: int = 0) -> list[str] | None:
    """The keys of parts that cover bytes `start` to `end` without gap or overlap, in order; None if one is missing.

    Stored parts may overlap, because a part may have been halved while another delivery of it continued. Any parts that
    begin where others end will do, those of later retries first: the answer to a line does not depend on the part that
    the line is in.
    """
    found = _chain([part for part in keys.stored_parts(names) if part[1] <= end], start)
    reached = found[-1][1] if found else start
    return [key for _, _, key in found] if reached == end else None


def unanswered(names: Sequence[str], ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, str | None]]:
    """What a retry sends of the `ranges` that a file was split into: where it begins and ends, and the stem of a part.

    With a stem, the records are sent that have no answer in this stored part, else all records.
    """
    with_errors = keys.parts_with_errors(names)
    by_range = _within(keys.stored_parts(names), list(ranges))
    for (start, end), stored in by_range:
        at = start
        for begins, ends, key in _chain(stored, start):
            stem, at = keys.stem_of_part(key), ends
            if stem in with_errors:
                yield begins, ends, None if with_errors[stem] else stem
        if at < end:
            yield at, end, None


def _within(stored: Sequence[Part], ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], list[Part]]]:
    """The stored parts that lie within each range. Both are in order."""
    at = 0
    for start, end in ranges:
        while at < len(stored) and stored[at][0] < start:
            at += 1
        first = at
        while at < len(stored) and stored[at][0] < end:
            at += 1
        yield (start, end), [part for part in stored[first:at] if part[1] <= end]


def _chain(stored: Sequence[Part], start: int) -> list[Part]:
    """The parts that reach farthest from byte `start` without gap or overlap; `stored` is in order."""
    reached = {start}
    for begins, ends, _ in stored:
        if begins in reached:
            reached.add(ends)
    leading = {max(reached)}  # the bytes from which the farthest one is reached
    for begins, ends, _ in reversed(stored):
        if ends in leading:
            leading.add(begins)
    chain: list[Part] = []
    at = start
    for begins, same in groupby(stored, key=lambda part: part[0]):
        if begins != at:
            continue
        options = [part for part in same if part[1] in leading and part[1] > at]
        if options:
            chain.append(max(options, key=lambda part: (keys.run_of_part(part[2]), part[1])))
            at = chain[-1][1]
    return chain


def count(metadata: Mapping[str, str], name: str) -> int:
    """One of the counts in a part's metadata."""
    return int(metadata.get(name, "0"))


def succeeded(metadata: Mapping[str, str]) -> int:
    """How many records of a part have an answer: all but those that failed, were not tried, or were not to be sent."""
    return count(metadata, "records") - sum(count(metadata, name) for name in ("failed", "untried", "not-sent"))
