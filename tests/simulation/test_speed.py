"""Files with slow calls keep the endpoint busy: the time that they take against the least that their calls can take."""

import pytest

from sluice.ports import Inference
from tests.simulation.speed import SlowEndpoint, Speed, chat, chat_answer, chat_seconds, prompts, transform


def asked(count: int, *, throttled: float = 0.0, timeout_seconds: float = 90, functions: int = 2) -> Speed:
    """Transform so many prompts, each in a call of 2 to 10 s. A function makes 10 calls at once."""
    records = prompts(count)
    endpoint = SlowEndpoint(chat, lambda body: chat_seconds(body.strip()), throttled)
    found = transform(records, endpoint, timeout_seconds=timeout_seconds, functions=functions)
    assert found.answers.splitlines() == [chat_answer(one) for one in records], "each line has its own answer"
    assert found.calls - endpoint.refused <= count + 4 * functions, "hardly any record is called for twice"
    assert endpoint.most_at_once == 10 * functions, "as many as the deployment allows, and never more"
    return found


def test_two_hundred_slow_calls() -> None:
    found = asked(200, timeout_seconds=180)
    assert found.ratio <= 1.25
    assert found.parts == 2


def test_two_hundred_slow_calls_in_functions_with_time_for_two_of_them_each() -> None:
    """Calls begin in the first 10 of 90 s. Then the function waits for the last of them, with ever fewer under way."""
    found = asked(200)
    assert found.ratio <= 1.6
    assert found.parts <= 12, "few more than what two functions can do in their time"


def test_two_thousand_slow_calls() -> None:
    found = asked(2000, timeout_seconds=180)
    assert found.ratio <= 1.2
    assert found.parts <= 20


@pytest.mark.parametrize("count", [200, 2000])
def test_some_calls_that_are_throttled_for_a_moment(count: int) -> None:
    assert asked(count, throttled=0.05, timeout_seconds=180).ratio <= 1.5


def test_many_functions_have_a_piece_of_a_small_file_each() -> None:
    found = asked(2000, functions=10, timeout_seconds=180)
    assert found.parts <= 20
    assert found.ratio <= 1.5


def echo(body: bytes) -> Inference:
    return Inference(body, "text/csv")


def test_a_fast_model_is_called_few_times() -> None:
    rows = [b"%06d," % number + b"1" * 61 for number in range(20_000)]
    found = transform(rows, SlowEndpoint(echo, lambda body: 0.01 + body.count(b"\n") * 0.00005))
    assert found.answers == b"".join(row + b"\n" for row in rows)
    assert found.calls <= 20
    assert found.parts == 3


def test_long_rows_are_called_for_together() -> None:
    rows = [b"%06d," % number + b"1" * 50_000 for number in range(300)]
    found = transform(rows, SlowEndpoint(echo, lambda body: 0.05 + body.count(b"\n") * 0.001))
    assert found.answers == b"".join(row + b"\n" for row in rows)
    assert found.calls <= 60


def test_rows_that_are_slow_are_not_called_for_all_at_once() -> None:
    """A call that would take minutes takes about a second, so that many are under way."""
    rows = [b"%06d," % number + b"1" * 61 for number in range(5_000)]
    longest = [0.0]

    def seconds(body: bytes) -> float:
        took = 0.05 + body.count(b"\n") * 0.02
        longest[0] = max(longest[0], took)
        return took

    found = transform(rows, SlowEndpoint(echo, seconds))
    assert found.answers == b"".join(row + b"\n" for row in rows)
    assert found.at_once == 20
    assert longest[0] < 6
