"""Waiting until requests have an outcome."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

from cli.requests import Requests
from cli.standing import Standing, State

_LOOKS_AT_ONCE = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 3.0  # seconds between two looks
_SEARCH_EVERY = 5.0  # seconds between two searches of the logs, which cost more than a look at the results


def until_ended(
    requests: Requests,
    texts: Sequence[str],
    timeout: float,
    *,
    before: Mapping[str, Standing] = MappingProxyType({}),
    ended: Callable[[str, Sequence[Standing]], None] = lambda *_: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Sequence[Standing]]:
    """How the requests that `texts` name stand once all have ended, or after `timeout` seconds.

    `before` are failures of earlier tries, which are not waited for. `ended` is told of each as it ends. Raises
    `Failure` (invalid) for a key that can't have a result.
    """
    found: dict[str, Sequence[Standing]] = {}
    left = list(dict.fromkeys(texts))
    names = {text: requests.name(text) for text in left}
    deadline, pause, searched = clock() + timeout, _FIRST_PAUSE, clock()

    def is_old(text: str, standing: Standing) -> bool:
        return text in before and standing.facts.get("FailedAt") == before[text].facts.get("FailedAt")

    def look(text: str) -> Sequence[Standing]:
        standing = requests.stored(names[text][0])
        return [standing] if standing and not is_old(text, standing) else []

    def search(text: str) -> Sequence[Standing]:
        earlier = {"Detail": "only its earlier failure is known"}
        return [
            Standing(State.PENDING, standing.name, earlier) if is_old(text, standing) else standing
            for standing in requests.find(text)
        ]

    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        while left:
            looked = zip(left, pool.map(look, left), strict=True)
            found |= {text: standings for text, standings in looked if standings}
            if is_last := clock() >= deadline:
                found |= {text: search(text) for text in left if text not in found}
            elif clock() - searched >= _SEARCH_EVERY:
                # A trace ID's result has another name, and what was superseded has none: only the logs know.
                searches = {text: search(text) for text in left if text not in found}
                found |= {text: several for text, several in searches.items() if all(one.has_ended for one in several)}
                searched = clock()
            for text in [one for one in left if one in found]:
                left.remove(text)
                ended(text, found[text])
            if is_last:
                break
            if left:
                sleep(max(0.0, min(pause, deadline - clock())))
                pause = min(_LONGEST_PAUSE, pause * 1.3)
    return {text: found[text] for text in dict.fromkeys(texts)}
