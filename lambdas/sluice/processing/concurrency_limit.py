"""How many calls an endpoint gets at once: fewer after it refuses some, more again after it answers."""

from sluice.error_codes import FailureClass
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
        """Adjust the limit to the end of a delivery. Returns True when it failed although the limit was one call."""
        failed = {outcome.failure.failure_class for outcome in outcomes if outcome.failure}
        if failed & _TROUBLE:
            at_the_floor = self._value <= 1
            self._value = max(1.0, self._value / 2)
            return at_the_floor
        if any(outcome.model_latency is not None for outcome in outcomes):
            # One more call after each round of as many calls as the limit allows.
            self._value = min(float(self._ceiling), self._value + 1 / self._value)
        return False
