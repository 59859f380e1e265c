"""What the calls of an endpoint cost: seconds, and bytes of answers. From it follows how much is sent at once."""

from dataclasses import dataclass

from sluice.transform.memory import ENOUGH_ANSWERED

_FIRST = 4 * 1024  # bytes that are sent at once before an endpoint is known
_LARGEST_ANSWER = ENOUGH_ANSWERED // 2  # expected of one call, so that several fit into the memory of a part
_CALL_SECONDS = 1.0  # that a call for several records may take: one that takes longer leaves others without work
_SLOW_SECONDS = 0.25
_MARGIN = 2  # of the memory for answers, which differ in size
_KEPT = 0.95  # of what was seen, with each further call: what is an exception is forgotten after some tens of calls
_GROWTH = 4  # of what is sent at once, from one call to the next


@dataclass(slots=True)
class _Seen:
    """Sums over the calls of an endpoint, the older ones with less weight; and the largest call that was answered."""

    calls: float = 0.0
    sent: float = 0.0
    answered: float = 0.0
    seconds: float = 0.0
    sent_squared: float = 0.0
    sent_seconds: float = 0.0
    largest: int = 0

    def add(self, sent: int, answered: int, seconds: float) -> None:
        self.calls = self.calls * _KEPT + 1
        self.sent = self.sent * _KEPT + sent
        self.answered = self.answered * _KEPT + answered
        self.seconds = self.seconds * _KEPT + seconds
        self.sent_squared = self.sent_squared * _KEPT + sent * sent
        self.sent_seconds = self.sent_seconds * _KEPT + sent * seconds
        self.largest = max(self.largest, sent)

    @property
    def ratio(self) -> float:
        """The bytes answered for each byte sent, over all bytes: a tiny record with a large answer counts little."""
        return self.answered / self.sent if self.sent else 0.0

    def seconds_per_byte(self) -> float:
        """How much longer a call takes for each further byte (least squares); 0 if all calls were of one size."""
        spread = self.calls * self.sent_squared - self.sent * self.sent
        if spread <= 0.01 * self.sent * self.sent:
            return 0.0
        return max(0.0, (self.calls * self.sent_seconds - self.sent * self.seconds) / spread)

    def fixed_seconds(self) -> float:
        """What a call takes, however many bytes it sends."""
        return max(0.0, (self.seconds - self.seconds_per_byte() * self.sent) / self.calls)

    def sendable(self) -> int:
        """How many bytes to send at once."""
        by_answer = _LARGEST_ANSWER / max(self.ratio, 1e-6)
        mean_seconds = self.seconds / self.calls
        grown = max(_FIRST, self.largest * max(_GROWTH, _CALL_SECONDS / max(mean_seconds, 1e-3)))
        per_byte = self.seconds_per_byte()
        # What a call takes in any case is worth as much time again for its records.
        by_time = max(_CALL_SECONDS, self.fixed_seconds()) / per_byte if per_byte else grown
        return max(1, int(min(by_answer, by_time, grown)))


class CallCosts:
    """The costs of the calls of each endpoint, learned from those that were answered."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def learn(self, endpoint_name: str, sent: int, answered: int, seconds: float) -> None:
        """Take an answered call into account: bytes sent and answered, and how long it took."""
        self._seen.setdefault(endpoint_name, _Seen()).add(sent, answered, seconds)

    def timed_out(self, endpoint_name: str, sent: int) -> None:
        """Take into account that a call for so many bytes took longer than a container may."""
        seen = self._seen.get(endpoint_name)
        if seen is not None:
            seen.largest = min(seen.largest, sent // (2 * _GROWTH))

    def is_known(self, endpoint_name: str) -> bool:
        """Whether enough was sent to know what a call for many records costs, or the calls are slow in any case."""
        seen = self._seen.get(endpoint_name)
        return seen is not None and (seen.sent >= _FIRST or seen.seconds >= _SLOW_SECONDS * seen.calls)

    def sendable(self, endpoint_name: str) -> int:
        """How many bytes to send at once, so that the call takes neither too long nor too much memory."""
        seen = self._seen.get(endpoint_name)
        return _FIRST if seen is None else seen.sendable()

    def answer_bytes(self, endpoint_name: str, sent: int) -> int:
        """The bytes of the answer that is expected for `sent` bytes."""
        seen = self._seen.get(endpoint_name)
        return 0 if seen is None else int(seen.ratio * sent)

    def expected(self, endpoint_name: str, sent: int) -> int:
        """The bytes of answers to reserve memory for, of a part that sends `sent` bytes.

        At most what a part keeps, and as much under way. What is not expected is admitted when it comes.
        """
        seen = self._seen.get(endpoint_name)
        most = 2 * ENOUGH_ANSWERED
        return most if seen is None else min(most, int(_MARGIN * seen.ratio * sent))

    def seconds(self, endpoint_name: str, calls: int, sent: int) -> float:
        """How long so many calls that send so many bytes take together, one after another; 0 if that is not known."""
        seen = self._seen.get(endpoint_name)
        return 0.0 if seen is None else calls * seen.fixed_seconds() + sent * seen.seconds_per_byte()
