"""Waits until requests have an outcome."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestState, RequestStatus

_THREADS = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 3.0  # seconds between two checks of the results bucket
_SEARCH_INTERVAL = 5.0  # seconds between two searches of the logs, which cost more than a check of the results


def poll_until_final(
    lookup: RequestLookup,
    requests: Sequence[str],
    timeout: float,
    *,
    earlier_failures: Mapping[str, RequestStatus] = MappingProxyType({}),
    on_final: Callable[[str, Sequence[RequestStatus]], None] = lambda *_: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Sequence[RequestStatus]]:
    """The statuses of `requests`, by the text that identifies each, when all are final or after `timeout` seconds.

    `earlier_failures` are the failures of earlier attempts, which do not count as outcomes. `on_final` is called for
    each request when it is final. Raises `Failure` (invalid) for a key that can have no result, and botocore's errors.
    """
    found: dict[str, Sequence[RequestStatus]] = {}
    open_requests = list(dict.fromkeys(requests))
    names = {text: lookup.result_name(text)[0] for text in open_requests}
    deadline, pause, searched_at = clock() + timeout, _FIRST_PAUSE, clock()

    def is_earlier_failure(text: str, status: RequestStatus) -> bool:
        earlier = earlier_failures.get(text)
        return earlier is not None and status.details.get("FailedAt") == earlier.details.get("FailedAt")

    def check(text: str) -> Sequence[RequestStatus]:
        status = lookup.find_stored(names[text])
        return [status] if status and not is_earlier_failure(text, status) else []

    def search(text: str) -> Sequence[RequestStatus]:
        details = {"Detail": "only its earlier failure is known"}
        return [
            RequestStatus(RequestState.PENDING, status.name, details) if is_earlier_failure(text, status) else status
            for status in lookup.find(text)
        ]

    with ThreadPoolExecutor(_THREADS) as pool:
        while open_requests:
            checked = zip(open_requests, pool.map(check, open_requests), strict=True)
            found |= {text: statuses for text, statuses in checked if statuses}
            if is_last := clock() >= deadline:
                found |= {text: search(text) for text in open_requests if text not in found}
            elif clock() - searched_at >= _SEARCH_INTERVAL:
                # Only the logs tell the name of the result for a trace ID, and that a request was superseded.
                searched = {text: search(text) for text in open_requests if text not in found}
                found |= {
                    text: statuses for text, statuses in searched.items() if all(status.is_final for status in statuses)
                }
                searched_at = clock()
            for text in [text for text in open_requests if text in found]:
                open_requests.remove(text)
                on_final(text, found[text])
            if is_last:
                break
            if open_requests:
                sleep(max(0.0, min(pause, deadline - clock())))
                pause = min(_LONGEST_PAUSE, pause * 1.3)
    return {text: found[text] for text in dict.fromkeys(requests)}
