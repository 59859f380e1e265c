"""How long a message waits before its next receive."""

import math
import random

_MAX_DOUBLINGS = 32  # Far over any cap; keeps the power from overflowing.


def delay_seconds(receive_count: int, *, base: float, cap: float, rng: random.Random) -> int:
    """Whole seconds, from 1 to `cap`: exponential in the receives so far, with full jitter.

    `base` is the ceiling after the first receive, in seconds; it doubles with each one up to `cap`.
    ChangeMessageVisibility takes whole seconds up to 43,200.
    """
    ceiling = min(cap, base * 2.0 ** min(receive_count - 1, _MAX_DOUBLINGS))
    return max(1, math.ceil(rng.uniform(0, ceiling)))
