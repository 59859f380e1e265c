"""Durations and times: one grammar for all options, and one format in all output."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from cli.timefmt import EXAMPLES, Duration, format_utc, humanize

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST = timedelta(days=3650)
MOMENTS = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - `timezones` adds the time zone
    datetime(9999, 12, 29),  # noqa: DTZ001 - as above
    timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
        lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
    ),
)


def parse(text: str) -> timedelta:
    return Duration().convert(text, None, None)


def options(group: click.Group, *path: str) -> Iterator[tuple[list[str], click.Option]]:
    """Each option of each command, with what is typed for the command."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from options(command, *path, name)
        else:
            yield from (([*path, name], option) for option in command.params if isinstance(option, click.Option))


OPTIONS = list(options(main))
DURATIONS = [(path, option) for path, option in OPTIONS if isinstance(option.type, Duration)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1.5m", 90), ("2h", 7200), ("1.5h", 5400), ("3d", 259_200), ("1w", 604_800), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse(text) == timedelta(seconds=seconds)


@given(st.decimals(0, 999_999_999, places=3), st.sampled_from(sorted(UNITS)))
def test_a_number_and_a_unit_are_a_duration_up_to_the_limit(number: object, unit: str) -> None:
    expected = float(str(number)) * UNITS[unit]
    if expected <= LONGEST.total_seconds():
        assert parse(f"{number}{unit}") == timedelta(seconds=expected)
    else:
        with pytest.raises(click.BadParameter, match="from 0s to 3650d"):
            parse(f"{number}{unit}")


@given(st.text() | st.from_regex(r"-?[0-9\u0660-\u0669.]{0,12} ?[smhdwSMHy]{0,2}", fullmatch=True))
def test_any_other_text_is_refused_with_examples(text: str) -> None:
    try:
        duration = parse(text)
    except click.BadParameter as error:
        assert repr(text) in error.message
        assert EXAMPLES in error.message or "from 0s to 3650d" in error.message
    else:
        assert re.fullmatch(r"[0-9]+(\.[0-9]+)?[smhdw]", text)
        assert timedelta(0) <= duration <= LONGEST


@pytest.mark.parametrize("text", ["", "5", "h", "-1s", "1 h", "2y", "1h30m", "1.h", ".5h", "\u0663s"])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match=re.escape(EXAMPLES)):
        parse(text)


def test_the_examples_are_durations() -> None:
    assert all(parse(example) for example in re.split(", | or ", EXAMPLES))


@pytest.mark.parametrize("text", ["0s", "0.9s", "12.1h", "1d"])
def test_an_option_may_have_limits(text: str) -> None:
    limited = Duration(shortest=timedelta(seconds=1), longest=timedelta(hours=12))
    assert limited.convert("12h", None, None) == timedelta(hours=12)
    with pytest.raises(click.BadParameter, match="from 1s to 12h"):
        limited.convert(text, None, None)


@pytest.mark.parametrize(("path", "option"), DURATIONS)
def test_the_error_names_the_option_with_examples(path: list[str], option: click.Option) -> None:
    run = CliRunner().invoke(main, [*path, option.opts[0], "5"])
    assert run.exit_code == 2
    assert option.opts[0] in run.stderr
    assert EXAMPLES in run.stderr


def test_every_option_for_a_duration_has_the_same_grammar() -> None:
    names = {option.opts[0] for _, option in DURATIONS}
    assert names == {"--timeout", "--since", "--grace", "--interval", "--period", "--older-than", "--newer-than"} | {
        "--visibility-timeout"
    }
    others = {option.opts[0] for _, option in OPTIONS if not isinstance(option.type, Duration)}
    assert not others & names
    assert {option.make_metavar(click.Context(main)) for _, option in DURATIONS} == {"DURATION"}


def test_every_option_for_an_endpoint_has_the_same_name() -> None:
    of_endpoints = [(path, option) for path, option in OPTIONS if "endpoint" in f"{option.name} {option.opts}"]
    assert {path[0] for path, _ in of_endpoints} == {"send", "drop", "dlq", "openai-server"}
    assert {tuple(option.opts) for _, option in of_endpoints} == {("--endpoint-name",)}


def test_durations_are_printed_in_one_unit() -> None:
    assert [humanize(seconds) for seconds in (-3, 4.4, 119, 120, 7199, 7200, 172_800)] == [
        "0s", "4s", "119s", "2m", "119m", "2h", "2d"
    ]  # fmt: skip


@given(st.floats(0, LONGEST.total_seconds()))
def test_a_printed_duration_can_be_given_to_an_option(seconds: float) -> None:
    printed = humanize(seconds)
    assert 0 <= round(seconds) - parse(printed).total_seconds() < UNITS[printed[-1]]


@given(MOMENTS)
def test_times_are_printed_in_utc_to_the_second(moment: datetime) -> None:
    printed = format_utc(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", printed)
    assert timedelta(0) <= moment - datetime.fromisoformat(printed) < timedelta(seconds=1)


def test_a_time() -> None:
    assert format_utc(datetime(2026, 11, 25, 20, 38, 57, 999_000, tzinfo=UTC)) == "2026-11-25T20:38:57Z"
