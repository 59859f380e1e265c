"""Which parts of a file are done: their names say where they begin and end."""

import re
from collections.abc import Iterable

from sluice.processing.result import OUT

_PART = re.compile(r"/(\d{15})-(\d{15})" + re.escape(OUT) + "$")


def _done(names: Iterable[str]) -> list[tuple[int, int, str]]:
    """Start, end and key of the parts that are stored, among the keys of a file's parts."""
    return sorted((int(found[1]), int(found[2]), name) for name in names if (found := _PART.search(name)))


def begins_at(names: Iterable[str], start: int) -> bool:
    """Whether one of those parts begins at byte `start`."""
    return any(begins == start for begins, _, _ in _done(names))


def covering_parts(names: Iterable[str], end: int, start: int = 0) -> list[str] | None:
    """The keys of parts that cover bytes `start` to `end` without gap or overlap, in order; None while one is missing.

    Parts may overlap, as one may have been halved while another delivery of it went on. Any that begin where others end
    will do: what a line is answered doesn't depend on the part that it is in.
    """
    by_end: dict[int, tuple[int, str]] = {}
    reached = {start}
    for begins, ends, name in _done(names):
        if begins in reached and ends not in reached:
            reached.add(ends)
            by_end[ends] = (begins, name)
    if end not in reached:
        return None
    keys: list[str] = []
    at = end
    while at > start:
        at, name = by_end[at]
        keys.append(name)
    return keys[::-1]
