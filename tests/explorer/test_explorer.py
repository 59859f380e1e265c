"""The protocol of outcomes holds in every schedule within the bounds; a missing guard is found."""

import itertools

import pytest

from tests.explorer.datasets import DATASETS
from tests.explorer.explorer import replay, schedules
from tests.explorer.mutants import NAMES, mutated
from tests.explorer.scenarios import SCENARIOS

ALL = {**SCENARIOS, **DATASETS}
BOUNDS = ((1, 0), (0, 1))  # preemptions and kills
# Schedules that violated the promise, by the scenario that they are of. They were found in code that had not the guard.
FOUND = (
    "two-uploads-refused:1:0:0.0.0.0.0.0.1",
    "two-uploads-the-older-refused:1:0:0.0.0.0.0.0.1",
    "two-uploads-the-newer-refused:1:0:0.0.0.0.1",
    "one-message-refused-then-answered:2:1:0.0.0.0.1.0.0.0.0.4",
    "one-message-answered-then-refused:2:1:0.0.1.0.0.0.0.1.0.4",
)


@pytest.mark.parametrize("name", ALL)
def test_every_schedule_keeps_the_promise(name: str) -> None:
    """With one preemption, and with one kill; `make explore` tries two, and both together."""
    for preemptions, kills in BOUNDS:
        for one in schedules(ALL[name], preemptions=preemptions, kills=kills):
            assert not one.violations, f"{one.id}: {one.violations}"


@pytest.mark.parametrize("schedule", FOUND)
def test_a_schedule_that_was_found(schedule: str) -> None:
    assert not replay(ALL, schedule).violations


@pytest.mark.parametrize("mutant", NAMES)
def test_a_missing_guard_is_found(mutant: str) -> None:
    with mutated(mutant):
        every = itertools.chain.from_iterable(
            schedules(scenario, preemptions=preemptions, kills=kills, limit=30)
            for preemptions, kills in BOUNDS
            for scenario in ALL.values()
        )
        found = next((one for one in every if one.violations), None)
        assert found is not None, f"the explorer does not find that {mutant}"
        again = replay(ALL, found.id)
        assert again.violations == found.violations, "its ID replays it"
        assert again.log == found.log


def test_a_schedule_is_the_same_each_time() -> None:
    every = list(schedules(ALL["two-uploads-different"], preemptions=1, kills=1))
    assert len({one.id for one in every}) == len(every), "no schedule is tried twice"
    assert every[7] == replay(ALL, every[7].id)
