"""What is stored of a part is not called for again, wherever in the part it is."""

from collections import Counter
from collections.abc import Iterable

import pytest

from sluice import keys
from sluice.concurrency import sleep
from sluice.failures import Operation
from sluice.ports import LISTED, Inference
from sluice.processing.outcome import Status
from tests.support.fakes import Call, Fuse, Killed, service_error
from tests.support.transform import FakeSender, Transforms

KEY = "transform/wine/a.csv"
ROWS = b"".join(b"%03d\n" % number for number in range(60))
QUOTED = b"".join(b'%03d,"a\nb"\n' % number for number in range(60))
SINGLE = {"batch-strategy": "SingleRecord"}


class Billing:
    """A transform of one part, whose endpoint answers each record but those that it throttles."""

    def __init__(
        self, body: bytes = ROWS, throttled: Iterable[int] = (), seconds: float = 0.0, **settings: int
    ) -> None:
        self.world = Transforms(concurrent_calls=4, **settings)
        self.billed: Counter[bytes] = Counter()
        self.throttled = {b"%03d" % number for number in throttled}
        self.seconds = seconds
        self.body = body
        self.world.endpoint.answer = self._answer
        self.world.drop(KEY, body, metadata=SINGLE)
        self.world.process(self.world.splits.bodies.pop())
        (self.message,) = self.world.requests.bodies
        self.world.requests.bodies.clear()

    async def _answer(self, call: Call) -> Inference | Exception:
        await sleep(self.seconds)
        if call.body[:3] in self.throttled:
            return service_error(Operation.INVOKE, "ThrottlingException", "slow down", status=429)
        self.billed[call.body[:3]] += 1
        return Inference(call.body[:3] + b"\n", "text/csv")

    def stored(self) -> set[bytes]:
        """The records whose answers are stored."""
        parts = keys.stored_parts(self.world.results.objects)
        return {line for _, _, key in parts for line in self.world.results.objects[key].body.split()}

    def end(self, *, with_message: bool = True) -> None:
        """Deliver all that is left, to an endpoint that is fast and throttles nothing. Stored records cost nothing."""
        stored, before = self.stored(), Counter(self.billed)
        self.throttled.clear()
        self.seconds = 0.05
        if with_message:
            self.world.process(self.message, receive_count=2)
        self.world.run(first_receive=1)
        assert not [record for record in stored if self.billed[record] > before[record]]
        assert self.world.out(KEY) == b"".join(b"%03d\n" % number for number in range(60))
        assert not self.world.dead_letters.sent


@pytest.mark.parametrize("body", [ROWS, QUOTED], ids=["lines", "quoted"])
@pytest.mark.parametrize("throttled", [(5,), (5, 40), (5, 30, 59)], ids=["one-gap", "two", "three"])
def test_answers_that_are_stored_after_a_gap_are_kept(body: bytes, throttled: tuple[int, ...]) -> None:
    """A worker is killed in one of its last steps; or its message comes once more after it was acknowledged."""
    fuse = Fuse()
    one = Billing(body, throttled)
    one.world.process(one.message, fuse=fuse)
    assert one.world.requests.bodies
    one.end()
    last = len(fuse.passed)
    is_any_stored = False
    for step in range(last - 8, last + 1):
        one = Billing(body, throttled)
        with pytest.raises(Killed):
            one.world.process(one.message, fuse=Fuse(step))
        is_any_stored = is_any_stored or len(one.stored()) > 40
        one.end()
    assert is_any_stored


def test_answers_are_kept_when_the_messages_of_the_rest_cannot_be_sent() -> None:
    one = Billing(throttled=(5, 40))
    working, one.world.requests = one.world.requests, Refusing(0)
    (outcome,) = one.world.process(one.message)
    assert outcome.status is Status.RETRY
    assert len(one.stored()) > 40
    one.world.requests = working
    one.end()


def test_pieces_that_were_given_away_are_kept_when_their_giver_is_killed() -> None:
    given = 0
    for step in range(1, 140, 3):
        one = Billing(seconds=8, concurrent_functions=3)
        try:
            one.world.process(one.message, fuse=Fuse(step))
        except Killed:
            given += bool(one.world.requests.bodies)
            one.world.run(first_receive=1)
        one.end()
    assert given


class Refusing(FakeSender):
    """A queue that refuses messages after the first `sends`, but the last of those without effect on the sender."""

    def __init__(self, sends: int, *, is_lost: bool = False) -> None:
        super().__init__()
        self._left = sends
        self._is_lost = is_lost

    async def send(self, bodies: Iterable[str]) -> None:
        self._left -= 1
        if self._left >= 0:
            await super().send(bodies)
            return
        if self._is_lost:
            await super().send(bodies)
            self._left = 1000
        raise service_error(Operation.SEND_PARTS, "ServiceUnavailable", status=503)


def test_pieces_of_which_it_is_unknown_whether_they_were_given_are_called_for_once() -> None:
    one = Billing(seconds=8, concurrent_functions=3)
    one.world.requests = Refusing(0, is_lost=True)
    (outcome,) = one.world.process(one.message)
    assert outcome.status is Status.SUCCEEDED
    assert len(one.world.requests.bodies) == 4, "two pieces, twice"
    one.end(with_message=False)
    assert set(one.billed.values()) == {1}


def test_pieces_that_cannot_be_given_are_answered_by_their_giver() -> None:
    one = Billing(seconds=8, concurrent_functions=3)
    one.world.requests = Refusing(0)
    one.world.remaining_ms = lambda: 900_000
    (outcome,) = one.world.process(one.message, receive_count=3)
    assert outcome.status is Status.SUCCEEDED
    assert set(one.billed.values()) == {1}
    one.end(with_message=False)


def test_many_stored_parts_are_found_beyond_one_page() -> None:
    one = Billing(throttled=(5, 40))
    one.world.process(one.message)
    assert len(one.stored()) > 40
    one.world.requests.bodies.clear()
    first = keys.stored_parts(one.world.results.objects)[0][2]
    within_gap = keys.folder_of_part(first) + keys.part_position(5 * 4 + 1)
    for number in range(LISTED):  # other objects of the folder, whose names are between those of the parts
        one.world.results.objects[f"{within_gap}.{number:03}"] = one.world.results.objects[first]
    one.end()
