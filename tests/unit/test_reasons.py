"""A reason names the field and the rule first, by the name that the sender used, and quotes little of their text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.failures import MAX_QUOTE, Failure, quoted
from sluice.inputs.invocation import BY_METADATA, message_from_metadata
from sluice.transform.content_types import charset_of
from sluice.transform.file_type import check_lines
from sluice.transform.openai_batch import Batch, RequestError
from sluice.transform.options import Options
from sluice.transform.records import check_options

LONG = "x" * 2000
_LONGEST = 400  # characters: the rule, the valid values, and a quote
OPTIONS = [name.replace("_", "-") for name in Options.model_fields]


@given(st.text())
def test_a_quote_is_short_and_on_one_line(text: str) -> None:
    assert len(quoted(text)) <= MAX_QUOTE + 1
    assert quoted(text).isprintable()


@pytest.mark.parametrize("key", [key for key in OPTIONS if key not in {"request-url"}])
def test_an_option_of_a_file_is_refused_by_the_name_of_its_metadata(key: str) -> None:
    with pytest.raises(Failure) as refused:
        Options.from_metadata({key: LONG}, {})
    field, _, rule = refused.value.message.partition(": ")
    assert key in field
    assert rule.startswith(("must ", "is not "))
    assert len(refused.value.message) <= _LONGEST


def test_a_default_of_the_deployment_is_refused_by_its_own_name() -> None:
    with pytest.raises(Failure, match="BatchStrategy: must be 'MultiRecord' or 'SingleRecord'"):
        Options.from_metadata({}, {"BatchStrategy": "Some"})


@pytest.mark.parametrize("key", sorted(BY_METADATA.keys() - {"enable-explanations"}))
def test_a_parameter_of_a_file_is_refused_by_the_name_of_its_metadata(key: str) -> None:
    with pytest.raises(Failure) as refused:
        message_from_metadata({key: f"{LONG} é\n"}, None)
    assert refused.value.message.startswith(f"{key}: must ")
    assert len(refused.value.message) <= _LONGEST


def test_a_reason_that_quotes_a_file_is_short() -> None:
    path = "$." + ".".join(["long"] * 400)
    reasons = []
    for metadata, content_type in (({"input-filter": path}, "text/csv"), ({"input-filter": "$[0]"}, f"text/{LONG}")):
        with pytest.raises(Failure) as refused:
            check_options(Options.from_metadata(metadata, {}), content_type)
        reasons.append(refused.value.message)
    with pytest.raises(Failure) as refused:
        charset_of(f"text/csv; charset={LONG}")
    reasons.append(refused.value.message)
    with pytest.raises(Failure) as refused:
        check_lines("a".encode("utf-16"), f"text/{LONG}", is_whole=True)
    reasons.append(refused.value.message)
    request = {"custom_id": "a", "method": "POST", "url": "/v1/other", "body": {}}
    with pytest.raises(RequestError) as wrong:
        Batch("o", "t", f"/{LONG}", ()).body(json.dumps(request).encode(), 0)
    reasons.append(str(wrong.value))
    assert [len(reason) <= _LONGEST for reason in reasons] == [True] * 5, reasons
