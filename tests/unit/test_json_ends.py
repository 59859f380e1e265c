"""Where values end in large JSON texts: as Python's parser finds it, and without its memory."""

import json
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.inputs.strict_json import MAX_DEPTH, TooDeep
from sluice.transform import json_ends, json_slices
from sluice.transform.answer_format import AnswerError, AnswerFormat
from sluice.transform.options import Options
from sluice.transform.records import AnswerCodec, Codec, joined

_SIZE = 256 * 1024
JSON = "application/json"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text('"\\/\n\tnu0é[]{},: '),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('"\\ab'), inner),
    max_leaves=30,
)
texts = (
    st.text('[]{}",:\\u00 e1.-tfn\x01é\n') | values.map(json.dumps) | values.map(lambda one: json.dumps(one, indent=1))
)


def end_by_parser(text: str) -> int | None:
    try:
        return json_slices._DECODER.raw_decode(text, 0)[1]
    except ValueError:
        return None


@given(text=texts, cut=st.integers(0, 40))
@example("-Infinity", 0)
@example('{"a":[{}]}', 0)
@example("[01]", 0)
@example("[1.]", 0)
@example('["\\u12"]', 0)
def test_values_end_where_the_parser_ends(text: str, cut: int) -> None:
    for one in (text, text[: max(0, len(text) - cut)], text + text):
        text_of_bytes = one.encode(errors="replace").decode("latin-1")
        try:
            end: int | None = json_ends.end_of(text_of_bytes, 0)
        except ValueError:
            end = None
        assert end == end_by_parser(text_of_bytes)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_the_depth_is_limited_to_the_level(opening: str) -> None:
    levels = opening.count("[") + opening.count("{")
    closing = opening.translate({ord("["): "]", ord("{"): "}", ord('"'): "", ord("a"): "", ord(":"): ""})[::-1]
    deepest = opening * (MAX_DEPTH // levels) + "1" + closing * (MAX_DEPTH // levels)
    assert json_ends.end_of(deepest, 0) == len(deepest)
    with pytest.raises(TooDeep):
        json_ends.end_of(f"[{deepest}]", 0)
    with pytest.raises(TooDeep):
        json_ends.end_of("[" * 1_000_000, 0)


DOCUMENTS = {
    "a string": b'{"image": "%b"}' % (b"A" * 3 * _SIZE),
    "escapes": b'{"text": "%b"}' % (b"\\n" * (3 * _SIZE // 2)),
    "arrays": b"[%b1]" % (b"[], " * (3 * _SIZE // 4)),
    "objects": b"[%b1]" % (b"{}," * _SIZE),
    "numbers": b"[%b1]" % (b"1.25, " * (_SIZE // 2)),
    "strings": b"[%b1]" % (b'"a", ' * (3 * _SIZE // 5)),
    "nested": b"[%b1]" % (b'{"a": [[1, {"b": [2]}]]}, ' * (_SIZE // 9)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("use", ["answer", "array", "join"])
def test_a_large_document_takes_a_few_bytes_for_each(name: str, use: str) -> None:
    document = DOCUMENTS[name]
    tracemalloc.start()
    try:
        if use == "answer":
            (line,) = AnswerFormat.parse("None").divide(document, JSON, 1)
        elif use == "array":
            line = document
            with pytest.raises(AnswerError):
                AnswerFormat.parse("JSONArray").divide(document, JSON, 7)
        else:
            options = Options.from_metadata({"join-source": "Input"}, {})
            line = joined(document, b"1", options, Codec("application/jsonlines"), AnswerCodec("text/csv"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4.5 * len(document)
    if use == "answer":
        assert line == json.dumps(json.loads(document), separators=(",", ":")).encode()
