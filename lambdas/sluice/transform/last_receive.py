"""The calls of a part at its last receive: a record that an endpoint has no room for, ever, must not cost the file."""

from collections.abc import Awaitable, Callable, Sequence

from sluice.error_codes import FailureClass
from sluice.failures import ServiceError, classify
from sluice.processing.storing import Sleep
from sluice.transform.bisect import Calls

_PAUSES = (0.4, 1.6)  # seconds, before a record is sent alone again
_FEW = 16  # calls that are refused without an answer between: those for the halves of a group of 32,768 records
_PASSING = {FailureClass.CAPACITY, FailureClass.TRANSIENT}


class LastReceive:
    """Makes the calls of a part that will not be delivered again.

    What an endpoint refuses for now is as a rule the endpoint's own trouble, and passes. But a container may say 429 or
    503 to one record only, such as one that is too long for it, at each receive. So a group that is refused is divided
    here to find the others. Records that are left are refused when they were sent alone several times, if the endpoint
    has answered others of the file.
    """

    def __init__(self, call: Callable[[Sequence[int]], Awaitable[Sequence[bytes]]], sleep: Sleep) -> None:
        self._call = call
        self._sleep = sleep
        self._in_a_row = 0
        self._refused: dict[int, ServiceError] = {}

    @property
    def has_refused(self) -> bool:
        """Whether a record was refused for what usually passes."""
        return bool(self._refused)

    async def answers(self, indices: Sequence[int]) -> Sequence[bytes]:
        """The answers to records that are sent together. Raises as the call does."""
        self._in_a_row += 1
        pauses = iter(_PAUSES if len(indices) == 1 else ())
        while True:
            try:
                found = await self._call(indices)
            except ServiceError as error:
                passes = _passes(error)
                if passes and (pause := next(pauses, None)) is not None:
                    await self._sleep(pause)
                    continue
                error.of_record = passes and self._in_a_row <= _FEW
                if error.of_record and len(indices) == 1:
                    self._refused[indices[0]] = error
                raise
            self._in_a_row = 0
            return found

    async def check(self, calls: Calls, sent: int) -> ServiceError | None:
        """Take the refusals back, unless the part has a few records, and none of them has an answer.

        Else the part goes on in further messages, without what is answered: at last with such records alone. Returns
        the error of the last one then. `sent` is how many records of the part are sent. Raises `ServiceError`.
        """
        if not self._refused or (not calls.answers and sent <= _FEW and await calls.others_answered()):
            return None
        for index in self._refused:
            calls.refused.pop(index, None)
        return next(reversed(self._refused.values()))


def _passes(error: ServiceError) -> bool:
    """Whether InvokeEndpoint has failed for a reason that passes, and that has no number of attempts of its own."""
    failure = classify(error)
    return failure.of_endpoint and failure.attempts is None and failure.failure_class in _PASSING
