"""How far a file under transform/ is: its parts' names say which bytes of it they answer."""

import re
from collections.abc import Iterable

_PART = re.compile(r"/(\d{15})-(\d{15})\.out$")


def bytes_done(names: Iterable[str]) -> int:
    """How many of the file's bytes parts are stored for, by the keys under `parts/<key of the file>/`."""
    reached = total = 0
    for start, end in sorted((int(found[1]), int(found[2])) for name in names if (found := _PART.search(name))):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
