"""How far a file under transform/ is: its parts' names say which bytes of it they answer."""

from collections.abc import Iterable

from sluice.keys import stored_parts


def bytes_done(names: Iterable[str]) -> int:
    """How many of the file's bytes parts are stored for, by the keys under `parts/<key of the file>/`."""
    reached = total = 0
    for start, end, _ in stored_parts(names):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
