"""The messages that a part sends to its own queue: each one is nearer to the end, and they are few."""

import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.concurrency import now, sleep
from sluice.failures import Operation
from sluice.inputs.envelopes import parse
from sluice.inputs.requests import TransformPart
from sluice.ports import Admit, Inference
from sluice.processing.memory import Memory
from sluice.processing.outcome import Status
from sluice.transform.onward import MOST_TIMES_WHOLE, Onward, progress
from tests.support.containers import refusal
from tests.support.fakes import Answer, Call, FakeEndpoint, Fuse, Killed, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
ONE_BY_ONE = {"batch-strategy": "SingleRecord"}
LIMIT = 16  # invocations in a chain, about, after which Lambda's recursive loop detection stops it
TIMEOUT = 180  # seconds, of the part function
MOST_DELIVERIES = 2000


def part_in(body: str) -> TransformPart:
    (request,) = parse(body)
    assert isinstance(request, TransformPart)
    return request


def deliver_all(world: Transforms, seconds: float = TIMEOUT) -> int:
    """Split the file that was dropped, and deliver its parts until none is left, in functions of so many seconds.

    Returns how many messages there are in the longest chain of those that a part sends. Checks that each one is nearer
    to the end than the part that has sent it.
    """
    world.remaining_ms = lambda: 1000 * (seconds - now())
    world.process(world.splits.bodies.pop())
    waiting = [(body, 1, 1) for body in world.requests.bodies]
    longest, deliveries = 0, 0
    while waiting:
        world.requests.bodies.clear()
        body, length, receives = waiting.pop()
        longest = max(longest, length)
        deliveries += 1
        assert deliveries < MOST_DELIVERIES, "the queue does not become empty"
        ended = world.process(body, receive_count=receives, message_id=f"{body}")
        for sent in world.requests.bodies:
            assert progress(part_in(sent)) > progress(part_in(body))
            assert part_in(sent).times_whole <= MOST_TIMES_WHOLE
            waiting.append((sent, length + 1, 1))
        if not all(one.acknowledged for one in ended):
            waiting.append((body, length, receives + 1))
    return longest


def taking(seconds: float, answer: bytes = b"") -> Callable[[Call], Awaitable[Answer]]:
    """Answers each record after some seconds, with itself or with `answer`."""

    async def respond(call: Call) -> Inference:
        await sleep(seconds)
        return Inference(answer or call.body.removesuffix(b"\n"), "text/csv")

    return respond


@pytest.mark.parametrize(
    ("row", "count", "seconds", "answer", "most"),
    [
        (b"5.1,3.5,1.4,0.2" * 6 + b"\n", 720, 0.3, b"", 3),  # 65 KB
        (b"5.1,3.5\n", 8000, 0.1, b"", 9),  # 64 KB
        (b"5.1,3.5,1.4,0.2" * 8 + b"\n", 4096, 0.01, b"x" * 8192, 1),  # 0.5 MB, of which each answer is 8 KB
    ],
    ids=["300 ms a record", "100 ms a record", "8 KB answers"],
)
def test_a_part_of_one_function_that_makes_one_call_at_a_time_is_few_messages(
    row: bytes, count: int, seconds: float, answer: bytes, most: int
) -> None:
    world = Transforms(concurrent_calls=1)
    world.endpoint.answer = taking(seconds, answer)
    world.drop(KEY, row * count, metadata=ONE_BY_ONE)
    assert deliver_all(world) <= most < LIMIT
    assert len(world.endpoint.calls) == count, "each record is called for once"
    assert len(world.assemblies.bodies) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_part_that_goes_on_in_the_same_delivery_may_be_killed_at_any_step(after: bool) -> None:
    """What it has stored is neither called for again nor lost."""
    answer = b"y" * (1 << 20)
    rows = [b"%03d\n" % number for number in range(6)]
    for step in range(1, 100):
        world = Transforms(concurrent_calls=1)
        world.endpoint.answer = taking(1, answer)
        world.drop(KEY, b"".join(rows), metadata=ONE_BY_ONE)
        world.remaining_ms = lambda: 1000 * (TIMEOUT - now())
        world.process(world.splits.bodies.pop())
        body = world.requests.bodies.pop()
        fuse = Fuse(step, after=after)
        with contextlib.suppress(Killed):
            world.process(body, fuse=fuse)
        world.process(body, receive_count=2)
        assert not world.requests.bodies, "nothing was sent"
        world.process(world.assemblies.bodies.pop())
        assert world.out(KEY) == (answer + b"\n") * len(rows)
        assert len(world.endpoint.calls) <= len(rows) + 3, "those of one pass, whose answers are 2 MB"
        if len(fuse.passed) < step:
            break
    assert step > 15


def test_the_last_receive_of_a_part_sends_the_rest() -> None:
    """The rest gets all of its receives: what is stored is progress."""
    world = Transforms(concurrent_calls=1)
    world.endpoint.answer = taking(1, b"y" * (1 << 20))
    world.drop(KEY, b"1\n2\n3\n4\n5\n6\n", metadata=ONE_BY_ONE)
    world.remaining_ms = lambda: 1000 * (TIMEOUT - now())
    world.process(world.splits.bodies.pop())
    (outcome,) = world.process(world.requests.bodies.pop(), receive_count=world.settings.max_receive_count)
    assert outcome.status is Status.SUCCEEDED
    assert [part_in(body).start > 0 for body in world.requests.bodies] == [True]


class NeverAnswers(FakeEndpoint):
    """Begins to send large answers, and never ends one."""

    async def invoke(self, *args: Any, admit: Admit | None = None, **options: Any) -> Inference:
        self.calls.append(Call(args[0], args[1], args[2]))
        await sleep(len(self.calls) % 3)
        assert admit is not None
        await admit(1 << 30)
        raise service_error(Operation.INVOKE, "ConnectionClosedError")


def test_large_answers_that_do_not_come_are_the_failure_of_the_endpoint() -> None:
    """Their memory is released. The part says why it failed, and loses a receive."""
    world = Transforms(concurrent_calls=4)
    world.drop(KEY, b"1\n2\n3\n4\n5\n6\n7\n8\n", metadata=ONE_BY_ONE)
    world.process(world.splits.bodies.pop())
    world.endpoint = NeverAnswers()
    body = world.requests.bodies.pop()
    (outcome,) = world.process(body)
    assert outcome.status is Status.RETRY
    assert outcome.failure is not None
    assert outcome.failure.code == "ConnectionClosedError"
    assert not world.requests.bodies


def test_a_part_without_memory_is_not_sent_again_for_ever() -> None:
    world = Transforms(concurrent_calls=4)
    world.drop(KEY, b"1\n2\n3\n4\n5\n6\n7\n8\n", metadata=ONE_BY_ONE)
    world.process(world.splits.bodies.pop())
    for number in range(MOST_TIMES_WHOLE + 1):
        world.memory = Memory(512)
        world.memory.take(world.memory._total)  # others hold it
        (body,) = world.requests.bodies
        world.requests.bodies.clear()
        (outcome,) = world.process(body)
        is_last = number == MOST_TIMES_WHOLE
        assert outcome.status is (Status.RETRY if is_last else Status.SUCCEEDED), "it loses no receive at first"
    assert not world.requests.bodies


def test_a_part_is_never_sent_on_as_one_that_is_not_shorter() -> None:
    world = Transforms()
    world.drop(KEY, b"1\n2\n3\n4\n")
    world.process(world.splits.bodies.pop())
    part = part_in(world.requests.bodies.pop())
    onward = Onward(world.requests)
    for same in (part, part_in(json.dumps({"TransformPart": {**fields(part), "TimesWhole": 1}}))):
        with pytest.raises(RuntimeError, match="not shorter"):
            onward.send(part, [same]).send(None)
    assert not world.requests.bodies


def fields(part: TransformPart) -> dict[str, Any]:
    file = part.file
    whole = {"Bucket": file.bucket, "Key": file.key, "Size": file.size, "Etag": file.etag}
    return {**whole, "Start": part.start, "End": part.end}


FAULTS: list[Exception | None] = [
    None,
    refusal(),
    service_error(Operation.INVOKE, "ThrottlingException", status=400),
    service_error(Operation.INVOKE, "ReadTimeoutError"),
    service_error(Operation.INVOKE, "InternalFailure", status=500),
]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_message_that_a_part_sends_is_nearer_to_the_end(data: st.DataObject) -> None:
    """Whatever its calls take and come to; `deliver_all` checks each message, and that there is a last one."""
    world = Transforms(
        concurrent_calls=data.draw(st.sampled_from([1, 4]), "calls at once"),
        concurrent_functions=data.draw(st.sampled_from([1, 3]), "functions"),
    )
    calls = data.draw(
        st.lists(st.tuples(st.sampled_from(FAULTS), st.sampled_from([0.01, 3, 30, 60])), min_size=1, max_size=12),
        "calls",
    )
    size = data.draw(st.sampled_from([1, 1000, 800_000]), "bytes of an answer")
    made = itertools.count()

    async def respond(call: Call) -> Inference:
        fault, seconds = calls[next(made) % len(calls)]
        await sleep(seconds)
        if fault is not None:
            raise fault
        return Inference((b"z" * size + b"\n") * call.body.count(b"\n"), "text/csv")

    world.endpoint.answer = respond
    row = b"1" * data.draw(st.integers(1, 30), "width")
    row = b'"a\nb",' + row if data.draw(st.booleans(), "line breaks in quotes") else row
    rows = [b"%d,%b\n" % (number, row) for number in range(data.draw(st.integers(1, 40), "rows"))]
    metadata = data.draw(st.sampled_from([ONE_BY_ONE, {}, {"answer-format": "Lines"}]), "metadata")
    world.drop(KEY, b"".join(rows), metadata=metadata)
    deliver_all(world, data.draw(st.sampled_from([82, 90, TIMEOUT]), "seconds of a function"))
    assert world.assemblies.bodies or world.dead_letters.sent
