"""Divides what a part has left among functions, when it is more than one of them should do."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.inputs.requests import TransformPart
from sluice.transform.bisect import Calls
from sluice.transform.work import Work

_WORTH_SECONDS = 4.0  # of a function's work, for which another message, and perhaps a cold start, is worth it


@dataclass(frozen=True, slots=True)
class Division:
    """How work is divided: among `functions`, each of which makes `calls` at once."""

    functions: int
    calls: int

    def pieces(self, part: TransformPart, seconds: float) -> int:
        """In how many pieces to divide a part that has work for `seconds`, if its calls are made one after another.

        The pieces of a file are together about as many as there are functions. More of them would only wait for each
        other: each costs a message, and the functions have work anyway.
        """
        share = (part.end - part.start) / max(1, part.file.size or 0)
        return max(1, min(round(self.functions * share), int(seconds / self.calls / _WORTH_SECONDS)))


def divided(work: Work, lines: range, pieces: int, *, single: bool) -> list[range]:
    """Some of the lines in at most `pieces` pieces of about the same cost: of calls if `single`, else of bytes."""
    sizes = work.sizes[lines.start : lines.stop]
    edges = [0, *cuts([int(bool(size)) for size in sizes] if single else sizes, pieces), len(lines)]
    return [range(lines.start + start, lines.start + stop) for start, stop in itertools.pairwise(edges)]


def cuts(costs: Sequence[int], pieces: int) -> list[int]:
    """The indices at which a sequence is cut, so that each of at most `pieces` pieces has the same costs, if it can."""
    total, found, reached = sum(costs), list[int](), 0
    for index, cost in enumerate(costs):
        if cost and reached and reached * pieces >= total * (len(found) + 1):
            found.append(index)
        reached += cost
    return found


def gaps(work: Work, stored: Sequence[tuple[int, int]]) -> list[range]:
    """The lines that stored parts, which begin and end at `stored`, do not have, each as a run of neighbours, in order.

    A stored part counts if it begins and ends where lines do: one that began within a quoted field has other records.
    What follows the lines that were read is left, too, as for `runs`.
    """
    count, is_more = len(work.lines), work.lines.is_cut or work.lines.is_crossing
    edges = {edge for one in stored for edge in one}
    indices = {at: index for index in range(1, count) if (at := work.lines.place(index)) in edges}
    indices[work.lines.place(count) if is_more else work.part.end] = count
    left, reached = list[range](), 0
    for begin, end in sorted(stored, key=lambda one: (one[0], -one[1])):
        if begin in indices and end in indices and indices[begin] >= reached:
            if indices[begin] > reached:
                left.append(range(reached, indices[begin]))
            reached = indices[end]
    return left if reached == count and not is_more else [*left, range(reached, count)]


def runs(work: Work, calls: Calls) -> tuple[list[range], list[range]]:
    """The lines that are done, and those that are left, each as runs of neighbours, in order.

    Lines that are not sent go with those before them. What follows the lines that were read is left, too: an empty run
    at their end stands for it, unless the last line is left anyway. The lines of a part that stops are done.
    """
    count = len(work.lines)
    if work.is_untried or work.has_given_up:
        is_more = work.lines.is_cut or work.lines.is_crossing
        return [range(count)], [range(count, count)] if is_more else []
    done, rest = list[range](), list[range]()
    if work.answer_format is None:
        # Answers from which the format is not found yet are stored for the part that begins at the first open line.
        first = next((index for index in range(count) if work.sizes[index] and index not in calls.refused), count)
        edges = [(0, True), (first, False)] if first else [(0, False)]
    else:
        sent = [index for index, size in enumerate(work.sizes) if size]
        kinds = [(index, index in calls.answers or index in calls.refused) for index in sent] or [(0, True)]
        edges = [(0, kinds[0][1])]
        edges += [one for before, one in itertools.pairwise(kinds) if before[1] != one[1]]
    for (start, is_done), (stop, _) in itertools.pairwise([*edges, (count, False)]):
        if start < stop:
            (done if is_done else rest).append(range(start, stop))
    if (work.lines.is_cut or work.lines.is_crossing) and not (rest and rest[-1].stop == count):
        rest.append(range(count, count))
    return done, rest
