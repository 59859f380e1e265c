"""The progress of a file under `transform/`."""

from collections.abc import Iterable

from sluice.keys import stored_parts


def bytes_done(keys: Iterable[str]) -> int:
    """How many bytes of the file have stored answers. `keys` are the keys of the file's parts folder.

    Parts may overlap. A byte in several parts counts once.
    """
    reached = total = 0
    for start, end, _ in stored_parts(keys):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
