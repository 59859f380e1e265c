"""Filter patterns for the logs of the functions."""

from hypothesis import given
from hypothesis import strategies as st

from cli.logs import filter_pattern


@given(st.dictionaries(st.sampled_from(["trace_id", "inference_id", "result"]), st.text(), min_size=1), st.text())
def test_values_never_end_the_quotes_of_a_filter_pattern(wanted: dict[str, str], prefix: str) -> None:
    made = filter_pattern(wanted, result_prefix=prefix)
    assert len(made) <= 1024
    assert made.isascii()
    assert made.isprintable()
    assert made.count('"') == 2 * (len(wanted) + 1)
    assert "\\" not in made


def test_a_filter_pattern() -> None:
    assert filter_pattern({"trace_id": 'a"b', "result": "messages/a%20b"}, result_prefix="parts/x/") == (
        '{ ($.trace_id = "a*b") || ($.result = "messages/a*20b") || ($.result = "parts/x/*") }'
    )
