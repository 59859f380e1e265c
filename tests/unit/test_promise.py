"""The promise, against a model of SQS and S3: whatever is sent, dropped, delivered twice or out of order, refused,
killed or redriven in whatever order, each request ends as exactly one of an answer and an explained failure."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sluice.failures import Operation
from sluice.inputs.envelopes import parse
from sluice.inputs.identity import of_message, of_object
from sluice.inputs.requests import DroppedObject, SentMessage
from sluice.ports import Inference
from sluice.processing.outcome import Outcome
from sluice.processing.result import IDENTITY
from tests.support.fakes import SETTINGS, Call, Fuse, Killed, World, delivery, service_error

MODEL_500 = service_error(Operation.INVOKE, "ModelError", original_status_code=500)
THROTTLED = service_error(Operation.INVOKE, "ThrottlingException")
SLOW_DOWN = service_error(Operation.STORE_RESULT, "SlowDown", status=503)


@dataclass
class Message:
    """A message on the request queue. `receive_count` counts the receives so far."""

    message_id: str
    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    receive_count: int = 0


class Promise(RuleBasedStateMachine):
    """SQS delivers at least once, in any order; workers may be killed; S3 may fail; the endpoint throttles."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.endpoint.answer = self._answer
        self.throttling = False
        self.queue: list[Message] = []
        self.taken: list[Message] = []  # acknowledged, but SQS may deliver them once more
        self.numbers = itertools.count()
        self.newest: dict[str, str] = {}  # identity of each key's newest upload
        self.names: dict[str, str] = {}  # name by identity
        self.answered: Counter[bytes] = Counter()
        self.killed_between: Counter[bytes] = Counter()

    def _answer(self, call: Call) -> Inference | Exception:
        if self.throttling:
            return THROTTLED
        if call.body.startswith(b"bad"):
            return MODEL_500
        self.answered[call.body] += 1
        return Inference(b"answer to " + call.body)

    # --- senders ---------------------------------------------------------------------------------------------------

    @rule(good=st.booleans(), inference_id=st.none() | st.sampled_from(["a", "b"]))
    def send(self, good: bool, inference_id: str | None) -> None:
        number = next(self.numbers)
        raw: dict[str, Any] = {"Body": f"{'good' if good else 'bad'} {inference_id or number}"}
        if inference_id:
            raw["InferenceId"] = inference_id
        self._enqueue(Message(f"message-{number}", json.dumps(raw)))

    @rule(good=st.booleans(), key=st.sampled_from(["invoke/x.csv", "invoke/y.csv"]), twice=st.booleans())
    def drop(self, good: bool, key: str, twice: bool) -> None:
        number = next(self.numbers)
        event = self.world.inputs.drop(key, f"{'good' if good else 'bad'} {key} {number}".encode())
        for copy in range(2 if twice else 1):
            self._enqueue(Message(f"event-{number}-{copy}", json.dumps(event)))

    def _enqueue(self, message: Message) -> None:
        self.queue.append(message)
        (request,) = parse(message.body)
        one = delivery(message.body, message_id=message.message_id)
        if isinstance(request, DroppedObject):
            identity = of_object(request, SETTINGS, one)
            self.newest[identity.name] = identity.key
        else:
            assert isinstance(request, SentMessage)
            identity = of_message(request, one)
        self.names[identity.key] = identity.name

    # --- deliveries and faults --------------------------------------------------------------------------------------

    @rule(data=st.data(), fuse=st.none() | st.tuples(st.integers(1, 8), st.booleans()))
    def deliver(self, data: st.DataObject, fuse: tuple[int, bool] | None) -> None:
        if self.queue:
            message = data.draw(st.sampled_from(self.queue))
            self._deliver(message, Fuse(fuse[0], after=fuse[1]) if fuse else Fuse())

    @rule(data=st.data())
    def deliver_once_more(self, data: st.DataObject) -> None:
        if self.taken:
            self._process(data.draw(st.sampled_from(self.taken)), Fuse())

    @rule(throttling=st.booleans())
    def endpoint_throttles(self, throttling: bool) -> None:
        self.throttling = throttling

    @rule(operation=st.sampled_from(["head", "put", "put_error", "delete"]), times=st.integers(1, 6))
    def storage_refuses(self, operation: str, times: int) -> None:
        left = iter(range(times))

        def fail(name: str, key: str) -> None:
            if name == operation and next(left, None) is not None:
                raise SLOW_DOWN

        self.world.results.fail = fail

    @rule()
    def dead_letter_queue_refuses(self) -> None:
        self.world.queue.fail_send = service_error(Operation.DEAD_LETTER, "InternalError", status=500)

    @rule()
    def services_recover(self) -> None:
        self.world.results.fail = lambda operation, key: None
        self.world.queue.fail_send = None

    @rule(data=st.data())
    def redrive(self, data: st.DataObject) -> None:
        if self.world.queue.sent:
            letter = data.draw(st.sampled_from(self.world.queue.sent))
            self.world.queue.sent.remove(letter)
            attributes = {name: attribute.value for name, attribute in letter[1].items()}
            self.queue.append(Message(f"redriven-{next(self.numbers)}", letter[0], attributes))

    def _deliver(self, message: Message, fuse: Fuse) -> None:
        """Like SQS: after the last receive, the message goes to the crashed queue, whose function dead-letters it."""
        if message.receive_count >= SETTINGS.max_receive_count:
            outcomes = self._process(message, Fuse(), crashed=True)
        else:
            message.receive_count += 1
            outcomes = self._process(message, fuse)
        if outcomes and all(one.acknowledged for one in outcomes):
            self.queue.remove(message)
            self.taken.append(message)

    def _process(self, message: Message, fuse: Fuse, *, crashed: bool = False) -> list[Outcome]:
        processor = self.world.another_worker(fuse).processor
        one = delivery(
            message.body,
            message_id=message.message_id,
            receive_count=max(1, message.receive_count),
            attributes=message.attributes,
        )
        calls = len(self.world.endpoint.calls)
        try:
            return (processor.dead_letter_crashed if crashed else processor.process)(processor.parse(one))
        except Killed:
            if len(self.world.endpoint.calls) > calls:
                body = self.world.endpoint.calls[-1].body
                stored = {result.body for result in self.world.results.objects.values()}
                self.killed_between[body] += b"answer to " + body not in stored
            return []

    # --- invariants --------------------------------------------------------------------------------------------

    @invariant()
    def every_dead_letter_has_its_reason(self) -> None:
        for body, attributes in self.world.queue.sent:
            assert {"ErrorCode", "ErrorMessage", "TraceId", "InferenceId"} <= set(attributes)
            assert body

    @invariant()
    def no_answer_is_of_another_request(self) -> None:
        for key, stored in self.world.results.objects.items():
            if key.endswith(".out"):
                assert self.names[stored.metadata[IDENTITY]] + ".out" == key
                assert stored.body.startswith(b"answer to good")

    def teardown(self) -> None:
        """End all faults, deliver the remaining messages, and count the outcomes."""
        self.services_recover()
        self.throttling = False
        for _ in range(SETTINGS.max_receive_count + 2):
            for message in list(self.queue):
                self._deliver(message, Fuse())
        assert not self.queue, "nothing is retried for ever"
        for identity, name in self.names.items():
            self._check(identity, name)
        for body, times in self.answered.items():
            assert times <= 1 + self.killed_between[body], "billed twice"

    def _check(self, identity: str, name: str) -> None:
        stored = self.world.results.objects.get(name + ".out")
        failed = name + ".err" in self.world.results.objects
        if name in self.newest:
            if identity != self.newest[name]:
                return  # superseded by a newer upload of the key
            answered = stored is not None and stored.metadata[IDENTITY] == identity
        else:
            answered = stored is not None
        assert answered != failed, f"{name}: exactly one of .out and .err"


Promise.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestPromise = Promise.TestCase
