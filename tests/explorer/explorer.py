"""Enumerates the schedules of a scenario by running it again and again with another list of choices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sluice.concurrency import sleep, spawn
from tests.explorer.execution import Scenario
from tests.explorer.steps import Step
from tests.support.virtual_time import run

_Fault = Literal["before", "after", "409", "lost"]

_STEPS = 400  # of a schedule, at most: a longer one does not end


@dataclass(frozen=True)
class Schedule:
    """One execution: its choices, how many there were at each step, what happened, and what was violated."""

    scenario: str
    preemptions: int
    kills: int
    choices: tuple[int, ...]
    widths: tuple[int, ...]
    log: tuple[str, ...]
    violations: tuple[str, ...]

    @property
    def id(self) -> str:
        """What `replay` takes: the scenario, the bounds and the choices, without trailing zeros."""
        choices = list(self.choices)
        while choices and not choices[-1]:
            choices.pop()
        return f"{self.scenario}:{self.preemptions}:{self.kills}:{'.'.join(map(str, choices))}"


def schedules(scenario: Scenario, *, preemptions: int, kills: int, limit: int | None = None) -> Iterator[Schedule]:
    """All schedules within the bounds, at most `limit`: those with late deviations from the first one come first."""
    choices: list[int] = []
    count = 0
    while limit is None or count < limit:
        found = execute(scenario, choices, preemptions=preemptions, kills=kills)
        yield found
        count += 1
        choices = list(found.choices)
        while choices and choices[-1] + 1 >= found.widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1


def execute(scenario: Scenario, choices: list[int], *, preemptions: int, kills: int) -> Schedule:
    """Run a scenario. Where `choices` end, the first choice is taken: the delivery that ran last goes on."""
    one = scenario.start()
    made: list[int] = []
    widths: list[int] = []

    async def main() -> None:
        for name, work in one.actors.items():
            spawn(work(), name)
        await sleep(0)
        last, preempted, killed = "", 0, 0
        while one.steps.pending:
            assert len(made) < _STEPS, "the schedule does not end"
            options = _options(one.steps.pending, last, preempted < preemptions, killed < kills)
            at = choices[len(made)] if len(made) < len(choices) else 0
            made.append(at)
            widths.append(len(options))
            step, fault = options[at]
            preempted += bool(last) and step.delivery != last and any(s.delivery == last for s in one.steps.pending)
            if fault is not None:
                killed += 1
                if fault == "409":
                    one.steps.refuse(step)
                elif fault == "lost":
                    one.steps.lose(step)
                else:
                    one.steps.kill(step, after=fault == "after")
            last = step.delivery
            one.steps.pending.remove(step)
            step.permit.set_result(None)
            await sleep(0)

    run(main())
    one.drain()
    return Schedule(
        scenario.name,
        preemptions,
        kills,
        tuple(made),
        tuple(widths),
        tuple(one.steps.log),
        tuple(one.violations()),
    )


def replay(scenarios: Mapping[str, Scenario], schedule_id: str) -> Schedule:
    """Execute the schedule with this ID. Raises `KeyError` or `ValueError` when there is none."""
    name, preemptions, kills, choices = schedule_id.split(":")
    numbers = [int(one) for one in choices.split(".") if one]
    return execute(scenarios[name], numbers, preemptions=int(preemptions), kills=int(kills))


def _options(pending: list[Step], last: str, may_preempt: bool, may_kill: bool) -> list[tuple[Step, _Fault | None]]:
    """The steps that may be taken next, each with the fault that it meets.

    Its worker is killed before or after it; or S3 answers 409; or the write takes effect, and its response is lost.
    """
    current = [step for step in pending if step.delivery == last]
    others = [step for step in pending if step.delivery != last]
    steps = current + others if may_preempt or not current else current
    options: list[tuple[Step, _Fault | None]] = [(step, None) for step in steps]
    if may_kill:
        kills: tuple[_Fault, ...] = ("before", "after")
        options += [(step, kill) for step in steps if step.is_of_worker for kill in kills]
        writes: tuple[_Fault, ...] = ("409", "lost")
        options += [(step, fault) for step in steps if step.is_conditional for fault in writes]
    return options
