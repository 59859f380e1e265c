"""An answer is divided by the format of its file, as it was written, or it is a mismatch."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.ports import Inference
from sluice.transform import json_slices
from sluice.transform.answer_format import AnswerError, AnswerFormat
from sluice.transform.evidence import format_of

NAMES = [
    "Lines",
    "LinesWithHeader",
    "JSONArray",
    "JSONField:predictions",
    "JSONField:a:b,c",
    "CSVRow",
    "Columns",
    "Columns:a,b",
    "Columns:a%2Cb,c%25",
    "None",
]
JSON = "application/json"


def divided(name: str, body: bytes, count: int, content_type: str | None = None) -> list[bytes]:
    return AnswerFormat.parse(name).divide(body, content_type, count)


@pytest.mark.parametrize("name", NAMES)
def test_a_format_has_a_name(name: str) -> None:
    assert str(AnswerFormat.parse(name)) == name


@pytest.mark.parametrize(
    ("name", "body", "answers"),
    [
        ("Lines", b"a\nb\n", [b"a", b"b"]),
        ("Lines", b"a\r\nb", [b"a", b"b"]),
        ("Lines", b"a\nb\n\n", [b"a", b"b"]),
        ("Lines", b'{"x": 1}\n{"x": 2}\n', [b'{"x": 1}', b'{"x": 2}']),
        ("LinesWithHeader", b"label,score\na,1\nb,2\n", [b"a,1", b"b,2"]),
        ("JSONArray", b"[1, [2, 3]]", [b"1", b"[2,3]"]),
        ("JSONArray", b"[[], [1]]", [b"[]", b"[1]"]),
        ("JSONField:p", b'{"model": "m", "p": [{"x": 1}, 2], "q": [1]}', [b'{"x":1}', b"2"]),
        ("JSONField:p", b'{"p": [1], "p": [1.50, 1e400]}', [b"1.50", b"1e400"]),
        ("CSVRow", b"0.6,0.3\n", [b"0.6", b"0.3"]),
        ("CSVRow", b"[0.1, 0.9],[0.7, 0.3]", [b"[0.1,0.9]", b"[0.7,0.3]"]),
        ("CSVRow", b"nan,cat", [b"nan", b"cat"]),
        ("Columns:a,b", b'{"a": [1, 2], "b": [3, 4], "c": [0]}', [b'{"a":1,"b":3}', b'{"a":2,"b":4}']),
        ("Columns", b'{"m": "x", "a": [1, 2], "b": ["\\ud83d", 4]}', [b'{"a":1,"b":"\\ud83d"}', b'{"a":2,"b":4}']),
    ],
)
def test_one_answer_for_each_record(name: str, body: bytes, answers: list[bytes]) -> None:
    assert divided(name, body, 2) == answers
    with pytest.raises(AnswerError, match="answers for 1 records"):
        divided(name, body, 1)


@pytest.mark.parametrize(
    ("body", "content_type", "line"),
    [
        (b'{"x": 1, "y": [2]}', JSON, b'{"x":1,"y":[2]}'),
        (b'{\n  "x": "a  b"\n}\n', "text/plain", b'{"x":"a  b"}'),
        (b"a, b\n", "text/plain", b"a, b"),
        (b"[1]", None, b"[1]"),
        ('["é \\u00e9"]'.encode(), "application/problem+json; charset=utf-8", '["é \\u00e9"]'.encode()),
    ],
)
def test_the_answer_to_a_record_alone_is_one_line(body: bytes, content_type: str | None, line: bytes) -> None:
    assert divided("None", body, 1, content_type) == [line]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n"])
def test_an_empty_answer_is_a_mismatch(name: str, body: bytes) -> None:
    with pytest.raises(AnswerError, match="is empty"):
        divided(name, body, 1)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Lines", b"a\n\nb"),
        ("Lines", b"a\n \nb"),
        ("CSVRow", b"1,,3"),
        ("CSVRow", b"1\n2\n3"),
        ("JSONArray", b'{"p": [1, 2, 3]}'),
        ("JSONArray", b"[1, 2, 3] 4"),
        ("JSONArray", b"[1, 2, 3"),
        ("JSONArray", b"[" * 100_000),
        ("JSONArray", b'["\xff", 2, 3]'),
        ("JSONArray", b'["a\nb", 2, 3]'),
        ("JSONField:p", b'{"q": [1, 2, 3]}'),
        ("JSONField:p", b'{"p": [1, 2, 3], "p": 4}'),
        ("Columns:a,b", b'{"a": [1, 2, 3]}'),
        ("Columns", b'{"a": [1, 2], "b": [1]}'),
        ("Columns", b'{"a": 1}'),
        ("None", b'{"a": 1}'),
    ],
)
def test_an_answer_in_another_format_is_a_mismatch_that_says_what_to_set(name: str, body: bytes) -> None:
    with pytest.raises(AnswerError, match="answer-format: Lines, ") as raised:
        divided(name, body, 3)
    assert f"AnswerFormat {name}" in str(raised.value)


@given(body=st.binary() | st.text('[]{}",:\\\n 10eE.-x\ud83dé').map(lambda text: text.encode(errors="ignore")))
@example(b"9" * 5000)
def test_any_bytes_are_divided_or_a_mismatch(body: bytes) -> None:
    for name in NAMES:
        for count in (1, 3):
            try:
                lines = divided(name, body, count, JSON)
            except AnswerError:
                continue
            assert len(lines) == count
            assert all(line and b"\n" not in line for line in lines)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(elements=st.lists(values), indent=st.none() | st.integers(0, 2), is_ascii=st.booleans())
def test_json_is_cut_as_json_is_parsed(elements: list[object], indent: int | None, *, is_ascii: bool) -> None:
    array = json.dumps(elements, indent=indent, ensure_ascii=is_ascii).encode(errors="replace")
    parsed = json.loads(array)
    text = json_slices.text_of(array)
    assert [json.loads(one) for one in json_slices.array(text)] == parsed
    assert json.loads(json_slices.whole(text)) == parsed
    assert b"\n" not in json_slices.whole(text)
    named = b'{"p" : 1, "a": %b }' % array
    assert [json.loads(one) for one in json_slices.arrays_of(json_slices.text_of(named))["a"]] == parsed


def answers(*bodies: bytes) -> list[Inference]:
    return [Inference(body, JSON) for body in bodies]


@pytest.mark.parametrize(
    ("first", "second", "together", "name"),
    [
        (b"1\n", b"2\n", b"1\n2\n1\n", "Lines"),
        (b"1", b"2", b"1,2,1", "CSVRow"),
        (b"[1]", b"[2]", b"[1, 2, 1]", "JSONArray"),
        (b"[[]]", b'[["x"]]', b'[[], ["x"], []]', "JSONArray"),
        (b'{"p":[1]}', b'{"p":[2]}', b'{"p":[1,2,1]}', "JSONField:p"),
        (b'{"p":[1],"q":["a"],"n":1}', b'{"p":[2],"q":["b"],"n":1}', b'{"p":[1,2,1],"q":["a","b","a"]}', "Columns:p,q"),
        (b"h\n1", b"h\n2", b"h\n1\n2\n1", "LinesWithHeader"),
        (b"0.123456789", b"1", b"0.12345679\n1.0\n0.1234567", "Lines"),
        (b"a,0.5", b"b,0.25", b"a,0.50\nb,0.25\na,0.5", "Lines"),
    ],
)
def test_the_format_that_holds_the_answers_alone_and_together(
    first: bytes, second: bytes, together: bytes, name: str
) -> None:
    alone = answers(first, second, first)
    assert str(format_of(alone, Inference(together, JSON))) == name


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (b"1", b"2", b"1\n2"),
        (b"1", b"2", b"1\n1\n2"),
        (b"1", b"2", b"1\n2\n1.001"),
        (b"1", b"2", b"1"),
        (b"x", b"y", b"x\ny\nz"),
        (b"true", b"false", b"1\n0\n1"),
        (b'{"s":[1,2,3]}', b'{"s":[4,5,6]}', b'{"s":[1,2,3]}'),
        (b'{"s":[1,2,3]}', b'{"s":[4,5,6]}', b'{"s":[[1,2,3],[4,5,6],[1,2,3]]}'),
        (b'{"o":[[1],[2]]}', b'{"o":[[3],[4]]}', b'{"o":[[1,3,1],[2,4,2]]}'),
        (b'{"o":[{"d":[1]}]}', b'{"o":[{"d":[2]}]}', b'{"o":[{"d":[1,2,1]}]}'),
        (b'[{"e":1}]', b"[]", b'[[{"e":1}],[],[{"e":1}]]'),
        (b"h\n1", b"g\n2", b"h\n1\n2\n1"),
        (b"\xff", b"2", b"\xff,2"),
        (b"[" * 5000, b"1", b"1\n2\n3"),
        (b"1" + b"0" * 400, b"1", b"2" + b"0" * 400 + b"\n1\n1"),
    ],
)
def test_without_such_a_format_each_record_is_sent_alone(first: bytes, second: bytes, together: bytes) -> None:
    assert str(format_of(answers(first, second, first), Inference(together, JSON))) == "None"
