"""Waiting for outcomes, and the exit code for several requests."""

from collections.abc import Sequence
from typing import Any

from cli.errors import ExitCode
from cli.lookup.polling import poll_until_final
from cli.lookup.status import RequestState, RequestStatus, combined_exit_code
from cli.lookup.targets import Query


def status(state: RequestState) -> RequestStatus:
    return RequestStatus(state, "name", {})


def test_one_exit_code_for_several() -> None:
    assert combined_exit_code([status(RequestState.DONE), status(RequestState.SUPERSEDED)]) == ExitCode.OK
    assert combined_exit_code([status(RequestState.RETRYING), status(RequestState.DONE)]) == ExitCode.PENDING
    assert combined_exit_code([status(RequestState.PENDING), status(RequestState.UNKNOWN)]) == ExitCode.NOT_FOUND
    assert combined_exit_code([status(RequestState.UNKNOWN), status(RequestState.EXPIRED)]) == ExitCode.FAILED


class Lookup:
    """A lookup of requests that have a stored or a logged outcome from a given second on."""

    def __init__(self, stored: dict[str, float], logged: dict[str, float]) -> None:
        self.now = 0.0
        self.searches = 0
        self._stored, self._logged = stored, logged

    def check(self, query: Query) -> RequestStatus | None:
        return status(RequestState.DONE) if self.now >= self._stored.get(query.text, 1e9) else None

    def find(self, query: Query) -> Sequence[RequestStatus]:
        self.searches += 1
        if (stored := self.check(query)) is not None:
            return [stored]
        is_logged = self.now >= self._logged.get(query.text, 1e9)
        return [status(RequestState.SUPERSEDED if is_logged else RequestState.PENDING)]

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(lookup: Lookup, texts: list[str], timeout: float, on_final: Any = lambda *_: None) -> dict[str, RequestState]:
    found = poll_until_final(
        lookup,  # type: ignore[arg-type]
        [Query(text, ()) for text in texts],
        timeout,
        on_final=on_final,
        clock=lambda: lookup.now,
        sleep=lookup.sleep,
    )
    return {text: one.state for text, (one,) in found.items()}


def test_waiting_ends_with_the_last_outcome() -> None:
    lookup, final = Lookup({"a": 3, "b": 0}, {"c": 12}), []
    found = wait(lookup, ["a", "b", "c", "a"], 100, lambda text, _: final.append(text))
    assert found == {"a": RequestState.DONE, "b": RequestState.DONE, "c": RequestState.SUPERSEDED}
    assert final == ["b", "a", "c"]
    assert 12 <= lookup.now < 20


def test_waiting_ends_at_the_timeout_with_the_status_of_each() -> None:
    lookup = Lookup({"a": 1}, {})
    assert wait(lookup, ["a", "b"], 7) == {"a": RequestState.DONE, "b": RequestState.PENDING}
    assert lookup.now == 7
    assert lookup.searches <= 3, "the logs are searched less often than the results bucket"


def test_a_failure_of_an_earlier_attempt_is_waited_over() -> None:
    class SentAgain(Lookup):
        def check(self, query: Query) -> RequestStatus | None:
            return status(RequestState.FAILED if self.now >= 3 else RequestState.PENDING)

    assert wait(SentAgain({}, {}), ["a"], 10) == {"a": RequestState.FAILED}
    assert wait(SentAgain({}, {}), ["a"], 1) == {"a": RequestState.PENDING}


def test_a_timeout_of_zero_checks_once() -> None:
    assert wait(Lookup({}, {"a": 0}), ["a"], 0) == {"a": RequestState.SUPERSEDED}
