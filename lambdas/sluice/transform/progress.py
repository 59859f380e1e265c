"""Which parts of a dataset are stored. Their names say where they begin and end, and which retry has stored them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sluice import keys
from sluice.inputs.requests import Run, TransformPart
from sluice.transform.options import MAX_CHUNK_BYTES, chunk_bytes

Part = tuple[int, int, str]
"""Where a stored part begins and ends, and its key."""


def of_run(names: Sequence[str], run: Run | None) -> list[str]:
    """The stored parts that count as done in a run, as keys.

    As soon as the format of the file is refuted, only those count whose records were sent alone, in whichever run.
    """
    return valid(counted(names, run), is_refuted=(run is not None and run.alone) or _is_any_alone(names))


def valid(names: Sequence[str], *, is_refuted: bool) -> list[str]:
    """The stored parts whose answers count; if the format of the file `is_refuted`, those that were stored after it."""
    stored = [name for _, _, name in keys.stored_parts(names)]
    return [name for name in stored if keys.is_alone(name)] if is_refuted or _is_any_alone(stored) else stored


def _is_any_alone(names: Iterable[str]) -> bool:
    return any(keys.is_alone(name) for _, _, name in keys.stored_parts(names))


def counted(names: Sequence[str], run: Run | None) -> list[str]:
    """The stored parts that a run does not send, as keys, however their records were sent.

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
    """The byte up to which stored parts cover a range without gap; `start` when none begins there.

    It is after `end` if the last record of the range ends there.
    """
    reached = {start}
    for begins, ends, _ in keys.stored_parts(names):
        if begins in reached and begins < end:
            reached.add(ends)
    return max(reached)


def stored_within(names: Sequence[str], part: TransformPart) -> list[tuple[int, int]]:
    """Where the stored parts of a run begin and end that begin within a part, but not where it begins, in order.

    For a retry of a stored part, only those that the run itself has stored: they begin and end at its missing answers.
    """
    run = part.run if part.earlier is not None else None
    return [
        (begins, ends)
        for begins, ends, name in keys.stored_parts(of_run(names, part.run))
        if part.start < begins < part.end and begins < ends and (run is None or keys.run_of_part(name) == run.id)
    ]


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
    begin where others end will do, those of later retries first: the answer to a line does not depend on the part that
    the line is in.
    """
    chosen = _chosen(part for part in keys.stored_parts(names) if part[1] <= end)
    covering: list[str] = []
    at = start
    while at in chosen:
        _, at, key = chosen[at]
        covering.append(key)
    return covering if at == end else None


def answered_in_groups(names: Sequence[str], run: Run | None, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of the stored parts whose records a run sends again, alone; none while the file is not covered."""
    stored = counted(names, run)
    alone = valid(stored, is_refuted=True)
    for key in covering_parts(stored, size) or ():
        ((begins, ends, _),) = keys.stored_parts([key])
        if not keys.is_alone(key) and covered_until(alone, begins, ends) < ends:
            yield begins, ends


def unanswered(
    names: Sequence[str], ranges: Sequence[tuple[int, int, bool]], *, is_refuted: bool
) -> Iterator[tuple[int, int, bool, str | None]]:
    """What a retry sends of the `ranges` that a file is split into: where it begins and ends, and the stem of a part.

    A flag says whether records begin and end there, too. With a stem, the records are sent that have no answer in this
    stored part, else all records. If the format of the file `is_refuted`, what was stored before that has no answers.
    """
    with_errors = keys.parts_with_errors(names)
    size = ranges[-1][1] if ranges else 0
    counting = valid(names, is_refuted=is_refuted)
    stored = [part for part in keys.stored_parts(counting) if part[1] <= size]
    chosen = _chosen(stored)
    if covering_parts(counting, size) is None and _is_any_beyond(stored, [end for _, end, _ in ranges]):
        # Where the records of a later range begin is known only when those before it are stored. Each range is sent, as
        # in a first run: its parts that are answered completely are not called for again.
        yield from ((start, end, is_aligned, None) for start, end, is_aligned in ranges)
        return
    at = 0
    for _, end, is_aligned in ranges:
        while at < end:
            if at not in chosen:
                yield at, end, is_aligned, None
                at = end
                continue
            begins, at, key = chosen[at]
            stem = keys.stem_of_part(key)
            if stem in with_errors:
                # Only a record's end makes a part longer than a range may be.
                yield begins, at, at - begins > MAX_CHUNK_BYTES, None if with_errors[stem] else stem


def _is_any_beyond(stored: Iterable[Part], range_ends: Sequence[int]) -> bool:
    """Whether one of the stored parts ends in another range than it begins in."""
    return any(ends > range_ends[bisect_right(range_ends, begins)] for begins, ends, _ in stored)


def _chosen(stored: Iterable[Part]) -> dict[int, Part]:
    """By where it begins, the first of the parts that reach farthest from there without gap or overlap.

    `stored` is in order.
    """
    reached: dict[int, int] = {}
    chosen: dict[int, Part] = {}
    ranks: dict[int, tuple[int, bool, str, int]] = {}
    for begins, ends, key in reversed(list(stored)):
        rank = (reached.get(ends, ends), keys.is_alone(key), keys.run_of_part(key), ends)
        if begins < ends and (begins not in ranks or rank > ranks[begins]):
            ranks[begins] = rank
            reached[begins] = rank[0]
            chosen[begins] = (begins, ends, key)
    return chosen


def count(metadata: Mapping[str, str], name: str) -> int:
    """One of the counts in a part's metadata."""
    return int(metadata.get(name, "0"))


def succeeded(metadata: Mapping[str, str]) -> int:
    """How many records of a part have an answer: all but those that failed, were not tried, or were not to be sent."""
    return count(metadata, "records") - sum(count(metadata, name) for name in ("failed", "untried", "not-sent"))
