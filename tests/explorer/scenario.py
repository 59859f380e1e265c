"""A scenario: the deliveries that run at the same time, and what must hold when all messages have ended."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sluice.inputs.envelopes import parse
from sluice.inputs.identity import Identity, of
from sluice.inputs.requests import Ignorable
from sluice.ports import Inference, ObjectHead
from sluice.processing.outcome import Outcome
from sluice.processing.result import owner_of
from tests.explorer.execution import Work
from tests.explorer.steps import Steps
from tests.support.fakes import SETTINGS, Answer, Call, Stored, World, delivery


@dataclass
class Message:
    """A message on the request queue. `receives` counts the deliveries so far."""

    message_id: str
    body: str
    receives: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    ended: bool = False


class Run:
    """One execution of a scenario, on simulated services of its own."""

    def __init__(self) -> None:
        self.world = World()
        self.steps = Steps()
        self.messages: list[Message] = []
        self.actors: dict[str, Work] = {}
        self.invariants: list[Callable[[Run], Iterator[str]]] = [one_outcome_each]
        self.answers: dict[bytes, list[Answer]] = {}
        self.world.endpoint.answer = self._answer

    def _answer(self, call: Call) -> Answer:
        """The answers to a body in turn; the last one for all further calls."""
        answers = self.answers.get(call.body, [])
        if not answers:
            return Inference(b"answer to " + call.body)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def message(self, body: object, message_id: str, **options: Any) -> Message:
        """Put a message onto the queue."""
        one = Message(message_id, body if isinstance(body, str) else json.dumps(body), **options)
        self.messages.append(one)
        return one

    def deliver(self, name: str, message: Message, *, counts: bool = True) -> None:
        """Deliver a message as the actor `name`. With `counts=False`, SQS counts it as the first receive again."""
        message.receives += 1
        receives = message.receives if counts else 1
        self.actors[name] = lambda: self._process(name, message, receives)

    def upload(self, name: str, key: str, body: bytes) -> None:
        """Upload an object as the actor `name`, and deliver its event."""

        async def work() -> None:
            await self.steps.take(name, f"upload {key}", is_of_worker=False)
            message = self.message(self.world.inputs.drop(key, body), name)
            message.receives += 1
            await self._process(name, message, 1)

        self.actors[name] = work

    async def upload_at_once(self, name: str, key: str, body: bytes) -> None:
        """Upload an object, and process its event to the end within the step of the caller."""
        message = self.message(self.world.inputs.drop(key, body), name, receives=1)
        core = self.world.another_worker().core
        self._end(message, await core.process(core.parse(delivery(message.body, message_id=name))))

    async def _process(self, name: str, message: Message, receives: int) -> None:
        worker = World(SETTINGS, self.world, self.steps.of(name))
        parsed = worker.core.parse(
            delivery(message.body, message_id=message.message_id, receive_count=receives, attributes=message.attributes)
        )
        self._end(message, await worker.core.process(parsed))

    def _end(self, message: Message, outcomes: list[Outcome]) -> None:
        if all(one.acknowledged for one in outcomes):
            message.ended = True

    def drain(self) -> None:
        """Deliver the messages that have not ended, one after another, as SQS does."""
        for _ in range(SETTINGS.max_receive_count + 2):
            for message in [one for one in self.messages if not one.ended]:
                message.receives += 1
                worker = self.world.another_worker()
                one = delivery(
                    message.body,
                    message_id=message.message_id,
                    receive_count=message.receives,
                    attributes=message.attributes,
                )
                crashed = message.receives > SETTINGS.max_receive_count
                end = worker.processor.dead_letter_crashed if crashed else worker.processor.process
                self._end(message, end(worker.processor.parse(one)))

    def violations(self) -> Iterator[str]:
        """What the invariants of the scenario find."""
        for invariant in self.invariants:
            yield from invariant(self)

    def identities(self) -> list[tuple[Message, Identity]]:
        """The requests of the messages. Only the newest upload of a key is one that must have an outcome."""
        found = []
        for message in self.messages:
            one = delivery(message.body, message_id=message.message_id, attributes=message.attributes)
            for request in parse(message.body):
                assert not isinstance(request, Ignorable)
                identity = of(request, SETTINGS, one)
                upload = getattr(request, "upload", None)
                newest = upload and self.world.inputs(upload.bucket).objects.get(upload.key)
                if newest is None or upload is None or newest.version_id == upload.version_id:
                    found.append((message, identity))
        return found


def one_outcome_each(one: Run) -> Iterator[str]:
    """Each request has its `.out`, or its `.err` and a dead letter; nobody else's outcome has its place."""
    objects = one.world.results.objects
    owned: set[str | None] = set()
    killed = any("killed" in line for line in one.steps.log)
    for message, identity in one.identities():
        if not message.ended:
            yield f"{message.message_id} has not ended"
        answered = _owner(objects.get(f"{identity.name}.out")) == identity.key
        failures = sum(_owner(objects.get(f"{name}.err")) == identity.owner for name in identity.error_names)
        failed = failures > 0
        if failures > 1:
            yield f"{message.message_id}: two .err of its own"
        if not answered and not failed:
            yield f"{message.message_id}: neither .out nor .err of its own"
        # If a worker is killed between its two steps, and another delivery has acknowledged the message, nobody comes
        # again. The .out counts then.
        if answered and failed and not killed:
            yield f"{message.message_id}: .out and .err of its own"
        if failed and not answered and not any(body == message.body for body, _ in one.world.queue.sent):
            yield f"{message.message_id}: .err without a dead letter"
        owned |= {identity.key, identity.owner}
    for key, stored in objects.items():
        if key.endswith(".err") and _owner(stored) not in owned:
            yield f"{key} is of a request that was superseded, or of none"


def _owner(stored: Stored | None) -> str | None:
    return None if stored is None else owner_of(ObjectHead(**stored.described))
