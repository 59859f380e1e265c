"""What the explorer runs: a scenario, and one execution of it."""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tests.explorer.steps import Steps

Work = Callable[[], Coroutine[Any, Any, None]]


class Execution(Protocol):
    """One execution of a scenario, on simulated services of its own. `actors` are what runs at the same time."""

    steps: Steps
    actors: dict[str, Work]

    def drain(self) -> None:
        """Bring to their end the messages that the actors have not ended."""

    def violations(self) -> Iterator[str]:
        """What does not hold at the end."""


@dataclass(frozen=True)
class Scenario:
    """`start` begins an execution."""

    name: str
    start: Callable[[], Execution]


_E = TypeVar("_E", bound=Execution)


def scenario(name: str, begin: Callable[[], _E], build: Callable[[_E], None]) -> Scenario:
    """A scenario whose executions `begin` makes and `build` gives their actors."""

    def start() -> Execution:
        one = begin()
        build(one)
        return one

    return Scenario(name, start)
