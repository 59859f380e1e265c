"""How many calls a target gets at once: fewer after it refuses some, more again after it answers."""

from collections import OrderedDict
from collections.abc import Iterable

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.target import Target
from sluice.processing.outcome import Outcome

_TROUBLE = {FailureClass.CAPACITY, FailureClass.CONFIGURATION}
_GROWTH = 0.25  # with each answered call of a part: one of five may be refused for a moment without lowering the limit
MAX_LIMITS = 1000  # A sender can name as many models as it likes.


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease, between 1 and `ceiling` calls. It outlives the batch."""

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self._value = float(ceiling)

    @property
    def calls(self) -> int:
        """How many calls may be under way at once."""
        return int(self._value)

    @property
    def is_at_ceiling(self) -> bool:
        """Whether it is the same as a new one."""
        return self._value == self.ceiling

    def learn(self, outcomes: Iterable[Outcome]) -> bool:
        """Adjust the limit to the end of a delivery. Returns True when it failed although the limit was one call.

        Only failures of InvokeEndpoint count: that an input cannot be read says nothing about the endpoint.
        """
        outcomes = list(outcomes)
        if any(one.failure.failure_class in _TROUBLE and one.failure.of_endpoint for one in outcomes if one.failure):
            at_the_floor = self._value <= 1
            self._value = max(1.0, self._value / 2)
            return at_the_floor
        if any(outcome.model_latency is not None for outcome in outcomes):
            # One more call after each round of as many calls as the limit allows.
            self._value = min(float(self.ceiling), self._value + 1 / self._value)
        return False

    def answered(self) -> None:
        """Take a single call of many into account that was answered."""
        self._value = min(float(self.ceiling), self._value + _GROWTH)

    def refused(self, failure: Failure) -> None:
        """Take a single call of many into account that failed.

        Less than halving: a few throttled calls among hundreds are no reason to leave half of the endpoint idle.
        """
        if failure.failure_class in _TROUBLE:
            self._value = max(1.0, self._value - 1)


class ConcurrencyLimits:
    """The limits of the targets that were called, at most `MAX_LIMITS` of them."""

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._limits: OrderedDict[Target, ConcurrencyLimit] = OrderedDict()

    def __len__(self) -> int:
        """The number of limits that are kept."""
        return len(self._limits)

    def of(self, target: Target | None) -> ConcurrencyLimit:
        """The limit of a target. None stands for deliveries that call nothing: nothing is learned of them."""
        if target is None:
            return ConcurrencyLimit(self._ceiling)
        if target not in self._limits:
            if len(self._limits) >= MAX_LIMITS:
                self._forget_one()
            self._limits[target] = ConcurrencyLimit(self._ceiling)
        self._limits.move_to_end(target)
        return self._limits[target]

    def _forget_one(self) -> None:
        """Forget a limit that says nothing, or else the one that was not used for the longest time."""
        oldest = next(iter(self._limits))
        del self._limits[next((one for one, limit in self._limits.items() if limit.is_at_ceiling), oldest)]
