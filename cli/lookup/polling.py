"""Waits until requests have an outcome."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestStatus
from cli.lookup.targets import Query

_THREADS = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 3.0  # seconds between two checks of the results bucket
_SEARCH_INTERVAL = 5.0  # seconds between two searches of the logs, which cost more than a check of the results


def poll_until_final(
    lookup: RequestLookup,
    queries: Sequence[Query],
    timeout: float,
    *,
    on_final: Callable[[str, Sequence[RequestStatus]], None] = lambda *_: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Sequence[RequestStatus]]:
    """The statuses of the requests, by the text of each query, when all are final or after `timeout` seconds.

    `on_final` is called for each request when it is final. Raises botocore's errors.
    """
    found: dict[str, Sequence[RequestStatus]] = {}
    open_queries = {query.text: query for query in queries}
    deadline, pause, searched_at = clock() + timeout, _FIRST_PAUSE, clock()

    with ThreadPoolExecutor(_THREADS) as pool:
        while open_queries:
            checked = zip(open_queries, pool.map(lookup.check, open_queries.values()), strict=True)
            found |= {text: [status] for text, status in checked if status is not None and status.is_final}
            if is_last := clock() >= deadline:
                found |= {text: lookup.find(query) for text, query in open_queries.items() if text not in found}
            elif clock() - searched_at >= _SEARCH_INTERVAL:
                # Only the logs tell the name of the result for a trace ID, and that a request was superseded.
                searched = {text: lookup.find(query) for text, query in open_queries.items() if text not in found}
                found |= {
                    text: statuses for text, statuses in searched.items() if all(status.is_final for status in statuses)
                }
                searched_at = clock()
            for text in [text for text in open_queries if text in found]:
                del open_queries[text]
                on_final(text, found[text])
            if is_last:
                break
            if open_queries:
                sleep(max(0.0, min(pause, deadline - clock())))
                pause = min(_LONGEST_PAUSE, pause * 1.3)
    return {query.text: found[query.text] for query in queries}
