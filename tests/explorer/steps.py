"""Operations on the simulated services, each of which is one step that the explorer chooses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sluice.concurrency import Future
from sluice.failures import Operation
from tests.support.fakes import Fuse, service_error, write_conflict


@dataclass
class Step:
    """An operation that a delivery is about to make: `permit` lets it go on."""

    delivery: str
    description: str
    is_of_worker: bool = True  # else of a sender, who is not killed
    is_conditional: bool = False  # whether it writes on a condition, so that S3 may answer 409
    permit: Future[None] = field(default_factory=Future)


class Steps:
    """The operations that the deliveries are about to make, in the order in which they came to them."""

    def __init__(self) -> None:
        self.pending: list[Step] = []
        self.log: list[str] = []
        self._killed: set[str] = set()
        self._ends_after: set[str] = set()
        self._conflicts: set[str] = set()
        self._lost: set[tuple[str, str]] = set()  # deliveries and their operations, which may make others

    def refuse(self, step: Step) -> None:
        """Let S3 answer the conditional write of a step by 409, without effect."""
        self._conflicts.add(step.delivery)

    def lose(self, step: Step) -> None:
        """Let the response to a step's operation be lost, after it has taken effect."""
        self._lost.add((step.delivery, step.description))

    def kill(self, step: Step, *, after: bool) -> None:
        """Let a delivery's worker be killed before or after its operation takes effect."""
        if after:
            self._ends_after.add(step.delivery)
        else:
            self._killed.add(step.delivery)

    async def take(
        self, delivery: str, description: str, *, is_of_worker: bool = True, is_conditional: bool = False
    ) -> None:
        """Wait until the explorer chooses this step; for ever, if the worker is killed before it.

        Raises `ServiceError` (409) if it is refused.
        """
        if delivery not in self._killed:
            step = Step(delivery, description, is_of_worker, is_conditional)
            self.pending.append(step)
            await step.permit
            self.log.append(f"{delivery}: {'killed before ' * (delivery in self._killed)}{description}")
        if delivery in self._conflicts:
            self._conflicts.remove(delivery)
            self.log.append(f"{delivery}: 409")
            raise write_conflict()
        if delivery in self._killed:
            await Future[None]()  # nothing runs in a killed worker, not even clean-up

    async def taken(self, delivery: str, description: str) -> None:
        """Note that the operation has taken effect. Waits for ever if the worker is killed after it.

        Raises `ServiceError` (500) if its response is lost.
        """
        if delivery in self._ends_after:
            self._killed.add(delivery)
            self.log.append(f"{delivery}: killed after that")
            await Future[None]()
        if (delivery, description) in self._lost:
            self._lost.remove((delivery, description))
            self.log.append(f"{delivery}: the response is lost")
            raise service_error(Operation.STORE_RESULT, "InternalError", status=500)

    def of(self, delivery: str) -> Fuse:
        """What makes each operation of a delivery's ports a step."""
        return _Stepped(self, delivery)


class _Stepped(Fuse):
    def __init__(self, steps: Steps, delivery: str) -> None:
        super().__init__()
        self._steps = steps
        self._delivery = delivery

    async def around(self, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `operation` as one step."""
        about = args[0] if args and isinstance(args[0], str) else ""
        is_conditional = kwargs.get("condition") is not None
        description = f"{name} {about}".strip()[:100]
        await self._steps.take(self._delivery, description, is_conditional=is_conditional)
        try:
            return await operation(*args, **kwargs)
        finally:
            await self._steps.taken(self._delivery, description)
