"""SQS standard queues: at least once, in any order, with visibility timeouts, receive counts and redrive policies."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.ports import Attribute
from tests.simulation.faults import Faults
from tests.simulation.log import Log, client_in
from tests.simulation.processes import Processes
from tests.support.fakes import NOW

_MAX_BYTES = 1024 * 1024
_EPOCH = NOW.timestamp()


@dataclass(slots=True)
class Message:
    """A message on a queue. `receives` is its ApproximateReceiveCount, `receipt` the number of its newest receipt."""

    message_id: str
    body: str
    attributes: Mapping[str, Attribute]
    sender_id: str
    sent_at: float
    client: str
    visible_at: float = 0.0
    receives: int = 0
    receipt: int = 0
    is_deleted: bool = False

    @property
    def receipt_handle(self) -> str:
        """The handle of the newest receipt."""
        return f"{self.message_id}/{self.receipt}"

    def record(self) -> dict[str, Any]:
        """The record of the event that the event source mapping passes to the function."""
        return {
            "messageId": self.message_id,
            "receiptHandle": self.receipt_handle,
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": str(self.receives),
                "SentTimestamp": str(int((_EPOCH + self.sent_at) * 1000)),
                "SenderId": self.sender_id,
            },
            "messageAttributes": {
                name: {"stringValue": one.value, "dataType": one.data_type} for name, one in self.attributes.items()
            },
        }


@dataclass(slots=True)
class SimulatedQueue:
    """A standard queue. `on_visible` is called when messages may be received.

    A message that was received `max_receive_count` times goes to the queue `redrive_to` at its next receive, with its
    ID, which is in `moved` then. `visibility_seconds` is the queue's own; some receives have a shorter one, if such
    faults are on.
    """

    name: str
    scheduler: Processes
    faults: Faults
    log: Log
    visibility_seconds: float = 30.0
    max_receive_count: int = 0
    redrive_to: "SimulatedQueue | None" = None
    on_visible: Callable[[], None] = lambda: None
    messages: dict[str, Message] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    _heap: list[tuple[float, int, Message]] = field(default_factory=list)
    _pushed: int = 0
    _rings_at: float | None = None

    def send(
        self, body: str, attributes: Mapping[str, Attribute], *, sender_id: str, name: str, client: str = ""
    ) -> str:
        """SendMessage. `name` distinguishes the message from others. Returns its ID.

        The message may be received after the time that SQS takes, which differs, so that the order is any.
        """
        assert len(body.encode("utf-8", "replace")) <= _MAX_BYTES, "SQS refuses a larger message"
        name = f"{self.name} {name}"
        number = self.faults.number(name)
        message_id = self.faults.dice.uuid(f"{name} {number}")
        now = self.scheduler.time
        one = Message(message_id, body, attributes, sender_id, now, client or client_in(body))
        self.log.write(one.client or sender_id, f"send to {self.name}", name, message_id)
        delay = 0.02 + 2.0 * self.faults.dice.fraction(f"delay {message_id}") ** 4
        self._show(one, now + delay)
        return message_id

    def has_visible(self) -> bool:
        """Whether a message can be received now."""
        self._drop_stale()
        return bool(self._heap) and self._heap[0][0] <= self.scheduler.time

    def receive(self, limit: int) -> list[Message]:
        """ReceiveMessage: up to `limit` messages, each hidden until its visibility timeout."""
        received: list[Message] = []
        while len(received) < limit and self.has_visible():
            message = heapq.heappop(self._heap)[2]
            if self.redrive_to is not None and message.receives >= self.max_receive_count:
                del self.messages[message.message_id]
                self.log.write(self.name, "redrive policy", message.message_id, self.redrive_to.name)
                if self.faults.dice.fraction("receive counts are carried") < 0.5:  # undocumented: each seed has one way
                    message.receives = 0
                self.moved.add(message.message_id)
                self.redrive_to._show(message, self.scheduler.time + 0.1)
                continue
            message.receives += 1
            message.receipt += 1
            self._show(message, self.scheduler.time + self._visibility(message))
            received.append(message)
        self._ring()
        return received

    def change_visibility(self, receipt_handle: str, seconds: float) -> bool:
        """ChangeMessageVisibility. Returns False if the message is not in flight with this receipt."""
        message = self.messages.get(receipt_handle.partition("/")[0])
        now = self.scheduler.time
        if message is None or message.receipt_handle != receipt_handle or message.visible_at <= now:
            return False
        self._show(message, now + seconds)
        return True

    def delete(self, message_id: str, receipt_handle: str) -> None:
        """DeleteMessage. With an older receipt SQS may keep the message; and it may deliver a deleted one once more."""
        message = self.messages.get(message_id)
        if message is None:
            return
        name = f"{message_id} {message.receipt}"
        is_newest = message.receipt_handle == receipt_handle
        if not is_newest and self.faults.dice.fraction(f"old receipt {name}") < 0.5:
            return
        if self.faults.occurs("duplicates", f"after the deletion {name}", 0.03):
            again, counted = self.faults.dice.fractions(f"again {name}", 2)
            if counted < 0.5:
                message.receives = 0  # the next one counts as the first
            self.faults.counts["deliveries after a deletion"] += 1
            self._show(message, self.scheduler.time + 300 * again**3)
            return
        message.is_deleted = True
        del self.messages[message_id]

    def take(self, message: Message) -> None:
        """Remove a message, as an operator does who moves it."""
        message.is_deleted = True
        del self.messages[message.message_id]

    def _visibility(self, message: Message) -> float:
        name = f"{message.message_id} {message.receives}"
        if self.faults.occurs("visibility", name, 0.08):
            self.faults.counts["visibility timeouts that expire during the work"] += 1
            return 0.05 + 20 * self.faults.dice.fraction(f"timeout {name}") ** 3
        return self.visibility_seconds

    def _show(self, message: Message, at: float) -> None:
        message.visible_at = at
        self.messages[message.message_id] = message
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, message))
        self._ring()

    def _drop_stale(self) -> None:
        heap = self._heap
        while heap and (heap[0][2].is_deleted or heap[0][2].visible_at != heap[0][0] or not self._has(heap[0][2])):
            heapq.heappop(heap)

    def _has(self, message: Message) -> bool:
        return self.messages.get(message.message_id) is message

    def _ring(self) -> None:
        """Call `on_visible` when the next message becomes visible. A message that waits for a receiver rings once."""
        self._drop_stale()
        if not self._heap:
            return
        at = self._heap[0][0]
        if at > self.scheduler.time and (self._rings_at is None or at < self._rings_at):
            self._rings_at = at
            self.scheduler.timers.add(at, lambda: self._rung(at))

    def _rung(self, at: float) -> None:
        if self._rings_at == at:
            self._rings_at = None
        self.on_visible()
        self._ring()
