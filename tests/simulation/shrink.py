"""Cuts a run that violates the guarantee down to a small one that still does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulation.faults import KINDS
from tests.simulation.simulation import Plan, Result, run


def smallest(found: Result, *, seconds: float) -> Result:
    """The smallest run that is found within some seconds of real time, by delta debugging.

    First over the clients, of which the violating one always takes part, then over the kinds of faults. As each client
    and each operation has random numbers of its own, those that stay do much the same without the others.
    """
    until = time.monotonic() + seconds
    best = found

    def fails(plan: Plan) -> bool:
        nonlocal best
        if time.monotonic() > until:
            return False
        result = run(plan)
        if not result.violations:
            return False
        best = result
        return True

    kept = sorted({int(one.client[1:]) for one in found.violations if one.client})[:1]
    others = [number for number in found.plan.numbers if number not in kept]
    if kept and not fails(replace(found.plan, only=frozenset(kept))):
        minimize(others, lambda some: fails(replace(found.plan, only=frozenset([*kept, *some]))))
    elif not kept:
        minimize(others, lambda some: fails(replace(found.plan, only=frozenset(some))))
    for kind in KINDS:
        fails(replace(best.plan, off=best.plan.off | {kind}))
    return best


def minimize(items: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> Sequence[int]:
    """A part of `items` for which `fails` holds, and for no smaller one that was tried: delta debugging (ddmin)."""
    pieces = 2
    while len(items) >= 2:
        size = -(-len(items) // pieces)
        cut = [items[at : at + size] for at in range(0, len(items), size)]
        for piece in cut:
            rest = [one for one in items if one not in set(piece)]
            if len(cut) > 2 and fails(piece):
                items, pieces = piece, 2
                break
            if fails(rest):
                items, pieces = rest, max(pieces - 1, 2)
                break
        else:
            if size == 1:
                break
            pieces = min(len(items), pieces * 2)
    return items
