"""How many calls an endpoint gets at once: fewer when it says that it can't, more again when it can."""

from sluice.failures import FailureClass
from sluice.processing.outcome import Outcome

_TROUBLE = {FailureClass.CAPACITY, FailureClass.CONFIGURATION}


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease, between 1 and `ceiling` calls. It outlives the batch."""

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._value = float(ceiling)

    @property
    def calls(self) -> int:
        """How many calls may be under way at once."""
        return int(self._value)

    def learn(self, outcomes: list[Outcome]) -> bool:
        """Take the end of a call into account. True when a single call at a time was still one too many."""
        failed = {outcome.failure.failure_class for outcome in outcomes if outcome.failure}
        if failed & _TROUBLE:
            at_the_floor = self._value <= 1
            self._value = max(1.0, self._value / 2)
            return at_the_floor
        if any(outcome.model_latency is not None for outcome in outcomes):
            # One more for each round of as many calls as are allowed.
            self._value = min(float(self._ceiling), self._value + 1 / self._value)
        return False
