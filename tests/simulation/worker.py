"""A worker: one execution environment of a Lambda function."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.processes import Process


@dataclass(eq=False)
class Worker(Process):
    """The process of an execution environment. `role` is the SenderId of what it sends.

    `looked` are the times at which it looked for objects, by key. `kill_rate` is relative to the usual one. `on_death`
    is told the reason when it is killed, at the time `died_at`.
    """

    name: str
    role: str
    kill_rate: float = 1.0
    on_death: Callable[[str], None] = lambda reason: None
    looked: dict[str, list[float]] = field(default_factory=dict)
    died_at: float | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def looked_at(self, key: str, until: float) -> float | None:
        """When it last looked for an object, until a time."""
        return next((time for time in reversed(self.looked.get(key, ())) if time <= until), None)

    def die(self, reason: str) -> None:
        """Kill the process, unless it is dead."""
        if not self.is_dead:
            self.kill()
            self.on_death(reason)
