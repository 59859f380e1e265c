"""The command line's smaller parts: spans of time, log patterns, uploads, waiting, exit codes."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.drop import folder
from cli.durations import DURATION, spoken
from cli.errors import CliError, ExitCode
from cli.logs import pattern
from cli.standing import Standing, State, worst
from cli.uploads import Upload, check, metadata_of, planned
from cli.waiting import until_ended
from sluice.failures import Failure
from tests.support.fakes import SETTINGS


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5m", 90), ("2h", 7200), ("3d", 259200), ("0s", 0)])
def test_a_span_of_time(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "1 h", "1w", "٣s", "99999999d"])
def test_no_span_of_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it as 30s, 10m, 2h or 3d"):
        DURATION.convert(text, None, None)


def test_spans_are_spoken_in_one_unit() -> None:
    assert [spoken(seconds) for seconds in (4.4, 119, 120, 7199, 7200, 172800)] == [
        "4 s", "119 s", "2 min", "119 min", "2 h", "2 d"
    ]  # fmt: skip


@given(st.dictionaries(st.sampled_from(["trace_id", "inference_id", "result"]), st.text(), min_size=1), st.text())
def test_a_log_pattern_never_breaks_out_of_its_quotes(wanted: dict[str, str], below: str) -> None:
    made = pattern(wanted, below=below)
    assert len(made) <= 1024
    assert made.isascii()
    assert made.isprintable()
    assert made.count('"') == 2 * (len(wanted) + 1)
    assert "\\" not in made


def test_a_log_pattern_of_usual_ids() -> None:
    assert pattern({"trace_id": 'a"b', "result": "messages/a%20b"}, below="parts/x/") == (
        '{ ($.trace_id = "a*b") || ($.result = "messages/a*20b") || ($.result = "parts/x/*") }'
    )


def test_the_files_of_a_folder_keep_their_paths(tmp_path: Path) -> None:
    for name in ("a.csv", "sub/b.png", ".hidden", ".git/config", "sub/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    uploads = planned([tmp_path], "invoke/", None)
    assert [(one.key, one.size, one.content_type) for one in uploads] == [
        ("invoke/a.csv", 2, "text/csv"),
        ("invoke/sub/b.png", 2, "image/png"),
    ]
    assert planned([tmp_path / ".hidden"], "invoke/", "text/csv")[0].content_type == "text/csv"


def test_two_files_of_one_key_and_no_file_at_all(tmp_path: Path) -> None:
    for name in ("a", "b", "empty"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / name / "same.csv").touch()
    with pytest.raises(CliError, match=r"both would be invoke/same\.csv"):
        planned([tmp_path / "a", tmp_path / "b"], "invoke/", None)
    assert len(planned([tmp_path / "a", tmp_path / "a"], "invoke/", None)) == 1
    with pytest.raises(CliError, match="no file"):
        planned([tmp_path / "empty"], "invoke/", None)


def test_metadata() -> None:
    given = ["accept=text/csv", "team=blue", "Trace-Id=x=y", "split-type=None"]
    assert metadata_of(given) == {"accept": "text/csv", "team": "blue", "trace-id": "x=y", "split-type": "None"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("acept=x", "did you mean accept?"),
        ("TraceId=x", "did you mean trace-id?"),
        ("custom_attributes=x", "did you mean custom-attributes?"),
        ("batch-stratgy=x", "did you mean batch-strategy?"),
        ("accept", "must be NAME=VALUE"),
        ("=x", "must be NAME=VALUE"),
        ("team=blü", "team must be printable ASCII"),
        ("team=" + "x" * 2048, "2052 bytes are over the 2048"),
    ],
)
def test_metadata_that_is_not_meant_so(given: str, says: str) -> None:
    with pytest.raises(CliError) as raised:
        metadata_of([given])
    assert says in raised.value.message
    assert raised.value.exit_code == ExitCode.USAGE


def upload(key: str, size: int = 1) -> Upload:
    return Upload(Path("file"), key, size, None)


@pytest.mark.parametrize(
    ("one", "metadata", "endpoint_name", "says"),
    [
        (upload("invoke/a"), {"trace-id": "a b"}, None, "TraceId: "),
        (upload("invoke/a"), {"request-ttl-seconds": "5"}, None, "RequestTTLSeconds: "),
        (upload("invoke/a"), {"endpoint-name": "wein"}, None, "EndpointName: is not one of"),
        (upload("invoke/wein/a"), {}, "wein", "EndpointName: is not one of"),
        (upload("transform/a"), {"split-type": "Word"}, None, "SplitType: "),
        (upload("invoke/a", 1001), {}, None, "file: 1,001 bytes are over"),
        (upload("invoke/a\nb"), {}, None, "key: must not hold control characters"),
    ],
)
def test_an_upload_that_the_functions_would_refuse(
    one: Upload, metadata: dict[str, str], endpoint_name: str | None, says: str
) -> None:
    with pytest.raises(Failure, match=says):
        check([one], metadata, SETTINGS, endpoint_name, "input")


def test_a_large_file_may_be_transformed() -> None:
    check([upload("transform/a", 10**9)], {"split-type": "Line"}, SETTINGS, "wine", "input")
    check([upload("invoke/a", 10**9)], {"endpoint-name": "wein"}, None, None, "input")


def test_where_files_go() -> None:
    assert folder("invoke/", None) == folder("invoke", None) == "invoke/"
    assert folder("transform/", "wine") == "transform/wine/"
    assert folder("invoke/a/b", None) == "invoke/a/b/"
    for to, endpoint_name in (("elsewhere/", None), ("invoked", None), ("invoke/a", "wine")):
        with pytest.raises(CliError):
            folder(to, endpoint_name)


def standing(state: State) -> Standing:
    return Standing(state, "name", {})


def test_one_exit_code_for_several() -> None:
    assert worst([standing(State.DONE), standing(State.SUPERSEDED)]) == ExitCode.OK
    assert worst([standing(State.RETRYING), standing(State.DONE)]) == ExitCode.PENDING
    assert worst([standing(State.PENDING), standing(State.UNKNOWN)]) == ExitCode.NOT_FOUND
    assert worst([standing(State.UNKNOWN), standing(State.EXPIRED)]) == ExitCode.FAILED


class Requests:
    """Requests that are stored, or known to the logs, from some second on."""

    def __init__(self, stored: dict[str, float], logged: dict[str, float]) -> None:
        self.now = 0.0
        self.searches = 0
        self._stored, self._logged = stored, logged

    def name(self, text: str) -> tuple[str, bool]:
        return text, True

    def stored(self, name: str) -> Standing | None:
        return standing(State.DONE) if self.now >= self._stored.get(name, 1e9) else None

    def find(self, text: str) -> Sequence[Standing]:
        self.searches += 1
        if (stored := self.stored(text)) is not None:
            return [stored]
        return [standing(State.SUPERSEDED if self.now >= self._logged.get(text, 1e9) else State.PENDING)]

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(requests: Requests, texts: list[str], timeout: float, ended: Any = lambda *_: None) -> dict[str, State]:
    found = until_ended(
        requests,  # type: ignore[arg-type]
        texts,
        timeout,
        ended=ended,
        clock=lambda: requests.now,
        sleep=requests.sleep,
    )
    return {text: one.state for text, (one,) in found.items()}


def test_waiting_ends_with_the_last_outcome() -> None:
    requests, told = Requests({"a": 3, "b": 0}, {"c": 12}), []
    found = wait(requests, ["a", "b", "c", "a"], 100, lambda text, _: told.append(text))
    assert found == {"a": State.DONE, "b": State.DONE, "c": State.SUPERSEDED}
    assert told == ["b", "a", "c"]
    assert 12 <= requests.now < 20


def test_waiting_ends_in_time_and_then_says_how_each_stands() -> None:
    requests = Requests({"a": 1}, {})
    assert wait(requests, ["a", "b"], 7) == {"a": State.DONE, "b": State.PENDING}
    assert requests.now == 7
    assert requests.searches <= 3, "the logs are not searched at each look"


def test_the_failure_of_an_earlier_try_is_not_waited_for() -> None:
    class SentAgain(Requests):
        def stored(self, name: str) -> Standing | None:
            return Standing(State.FAILED, name, {"FailedAt": "new" if self.now >= 3 else "old"})

    def outcome(timeout: float) -> Standing:
        requests = SentAgain({}, {})
        before = {"a": Standing(State.FAILED, "a", {"FailedAt": "old"})}
        found = until_ended(
            requests,  # type: ignore[arg-type]
            ["a"],
            timeout,
            before=before,
            clock=lambda: requests.now,
            sleep=requests.sleep,
        )
        return found["a"][0]

    assert outcome(10).facts == {"FailedAt": "new"}
    assert outcome(1).state is State.PENDING


def test_no_time_is_one_look() -> None:
    assert wait(Requests({}, {"a": 0}), ["a"], 0) == {"a": State.SUPERSEDED}
