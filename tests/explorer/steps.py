"""Operations on the simulated services, each of which is one step that the explorer chooses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sluice.concurrency import Future
from tests.support.fakes import Killed


@dataclass
class Step:
    """An operation that a delivery is about to make: `permit` lets it go on."""

    delivery: str
    description: str
    is_of_worker: bool = True  # else of a sender, who is not killed
    permit: Future[None] = field(default_factory=Future)


class Steps:
    """The operations that the deliveries are about to make, in the order in which they came to them."""

    def __init__(self) -> None:
        self.pending: list[Step] = []
        self.log: list[str] = []
        self._killed: set[str] = set()
        self._ends_after: set[str] = set()

    def kill(self, step: Step, *, after: bool) -> None:
        """Let a delivery's worker be killed before or after its operation takes effect."""
        if after:
            self._ends_after.add(step.delivery)
        else:
            self._killed.add(step.delivery)

    async def take(self, delivery: str, description: str, *, is_of_worker: bool = True) -> None:
        """Wait until the explorer chooses this step. Raises `Killed` if the worker is killed before it."""
        if delivery in self._killed:
            raise Killed  # nothing runs in a killed worker, not even clean-up
        step = Step(delivery, description, is_of_worker)
        self.pending.append(step)
        await step.permit
        if delivery in self._killed:
            self.log.append(f"{delivery}: killed before {description}")
            raise Killed
        self.log.append(f"{delivery}: {description}")

    def taken(self, delivery: str) -> None:
        """Note that the operation has taken effect. Raises `Killed` if the worker is killed after it."""
        if delivery in self._ends_after:
            self._killed.add(delivery)
            self.log.append(f"{delivery}: killed after that")
            raise Killed

    def of(self, delivery: str) -> "Steps.Fuse":
        """What makes each operation of a delivery's ports a step."""
        return Steps.Fuse(self, delivery)

    class Fuse:
        """Protects ports as `tests.support.fakes.Fuse` does."""

        def __init__(self, steps: "Steps", delivery: str) -> None:
            self._steps = steps
            self._delivery = delivery

        def protect(self, port: Any) -> Any:
            """`port`, each of whose operations is a step."""
            return _Stepped(port, self._steps, self._delivery)


class _Stepped:
    def __init__(self, port: Any, steps: Steps, delivery: str) -> None:
        self._port = port
        self._steps = steps
        self._delivery = delivery

    def __call__(self, name: str) -> Any:
        """A bucket of `Buckets`."""
        return _Stepped(self._port(name), self._steps, self._delivery)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def operation(*args: Any, **kwargs: Any) -> Any:
            about = args[0] if args and isinstance(args[0], str) else ""
            await self._steps.take(self._delivery, f"{name} {about}".strip()[:100])
            try:
                return await getattr(self._port, name)(*args, **kwargs)
            finally:
                self._steps.taken(self._delivery)

        return operation
