"""Two codecs: records are read by the file's content type, answers by the content type with which they came."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.inputs.strict_json import compact
from sluice.ports import Inference
from sluice.transform.options import Options
from sluice.transform.records import AnswerCodec, Codec, joined
from sluice.transform.values import Json, NotClosed, json_bytes, row_of
from tests.support.transform import Transforms

KEY = "transform/wine/records"
BATCH_STRATEGIES = ("MultiRecord", "SingleRecord")
DEEP = b"[" * 5000 + b"]" * 5000
JSON = "application/json"
JSON_LINES = "application/jsonlines"


def transformed(content: bytes, content_type: str, respond: object, **options: str) -> Transforms:
    """Transform a file. `respond` returns the answers to the lines of a call, and their content type."""
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(*respond(call.body.removesuffix(b"\n").split(b"\n")))  # type: ignore[operator]
    metadata = {name.replace("_", "-"): value for name, value in options.items()}
    world.drop(KEY, content, content_type=content_type, metadata=metadata)
    world.run()
    return world


def message(world: Transforms) -> str:
    found: str = json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]
    return found


def predictions(answer: bytes) -> object:
    """A container that answers each record with `answer`, as JSON."""
    return lambda lines: (b'{"predictions":[%b]}' % b",".join([answer] * len(lines)), JSON)


@pytest.mark.parametrize("strategy", BATCH_STRATEGIES)
@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (b"[0.25, 0.75]", b"0.25,0.75"),
        (b'["a, b", null, true]', b'"a, b",null,true'),
        (b'"cat"', b"cat"),
        (b'"cat, or \\"dog\\""', b'"cat, or ""dog"""'),
        (b'"say \\"hi\\""', b'"say ""hi"""'),
        (b"1.0E-5", b"1.0E-5"),
        (b'{"label":"a","score":0.50}', b'"{""label"":""a"",""score"":0.50}"'),
        (b"[[1, 2], [3]]", b'"[[1,2],[3]]"'),
        (b"[]", b"[]"),
    ],
)
def test_json_answers_are_joined_to_csv_rows(answer: bytes, fields: bytes, strategy: str) -> None:
    world = transformed(
        b'7,"x, y"\n8,z\n',
        "text/csv",
        predictions(answer),
        join_source="Input",
        batch_strategy=strategy,
        answer_format="JSONField:predictions",
    )
    assert world.out(KEY) == b'7,"x, y",%b\n8,z,%b\n' % (fields, fields)
    assert world.results.objects[f"{KEY}.out"].content_type == "text/csv"


@pytest.mark.parametrize("strategy", BATCH_STRATEGIES)
def test_an_output_filter_looks_into_the_json_answers_of_a_csv_file(strategy: str) -> None:
    world = transformed(
        b"1\n2\n",
        "text/csv",
        predictions(b'{"label": "a", "score": 0.50}'),
        output_filter="$.score",
        batch_strategy=strategy,
        answer_format="JSONField:predictions",
    )
    assert world.out(KEY) == b"0.50\n0.50\n"
    assert world.results.objects[f"{KEY}.out"].content_type == JSON_LINES


def test_an_output_filter_looks_into_a_json_answer_at_the_end_of_a_row() -> None:
    world = transformed(
        b"7,1\n", "text/csv", predictions(b'{"score": 0.5}'), join_source="Input", output_filter="$[0,-1]"
    )
    assert world.out(KEY) == b'7,"{""score"":0.5}"\n'
    world = transformed(
        b"7,1\n", "text/csv", predictions(b'{"score": 0.5}'), join_source="Input", output_filter="$[-1].score"
    )
    assert world.out(KEY) == b"0.5\n"


CSV_ROWS = b'7,"x, y"\n8,z\n'
OBJECTS = b'{"id":7}\n{"id":8}\n'


@pytest.mark.parametrize(
    ("content", "content_type", "answer", "answer_type", "options", "line", "stated"),
    [
        (CSV_ROWS, "text/csv", b"0.5", "text/csv", {}, b"0.5", "text/csv"),
        (CSV_ROWS, "text/csv", b"0.5", "text/csv; charset=utf-8", {}, b"0.5", "text/csv; charset=utf-8"),
        (CSV_ROWS, "text/csv", b'{"a": 1}', JSON, {}, b'{"a": 1}', JSON_LINES),
        (CSV_ROWS, "text/csv", b'{"a": 1}', JSON_LINES, {}, b'{"a": 1}', JSON_LINES),
        (CSV_ROWS, "text/csv", b'{"a": 1}', "text/html; charset=utf-8", {}, b'{"a": 1}', JSON_LINES),
        (CSV_ROWS, "text/csv", b"[0.1, 0.9]", "text/csv", {"output_filter": "$[1]"}, b"0.9", JSON_LINES),
        (CSV_ROWS, "text/csv", b"0.1,0.9", "text/csv", {"output_filter": "$[1]"}, b"0.9", "text/csv"),
        (CSV_ROWS, "text/csv", b"0.5", None, {}, b"0.5", "text/csv"),
        (CSV_ROWS, "text/csv", b"0.5", None, {"accept": "text/plain"}, b"0.5", "text/plain"),
        (CSV_ROWS, "text/csv", b"cat", "text/plain", {}, b"cat", "text/plain"),
        (OBJECTS, JSON_LINES, b"cat,0.50", "text/csv", {}, b"cat,0.50", "text/csv"),
        (OBJECTS, JSON, b'{"p": 1}', JSON, {}, b'{"p":1}', JSON_LINES),
    ],
)
def test_the_result_states_what_it_holds(  # noqa: PLR0917 - one parameter for each column of the table
    content: bytes,
    content_type: str,
    answer: bytes,
    answer_type: str | None,
    options: dict[str, str],
    line: bytes,
    stated: str,
) -> None:
    world = transformed(
        content, content_type, lambda lines: (b"\n".join([answer] * len(lines)), answer_type), **options
    )
    assert world.out(KEY) == line + b"\n" + line + b"\n"
    assert world.results.objects[f"{KEY}.out"].content_type == stated


@pytest.mark.parametrize(
    ("answer", "answer_type", "output"),
    [
        (b"cat,0.50", "text/csv", b'["cat",0.50]'),
        (b"0.50", "text/csv", b"0.50"),
        (b"cat", "text/csv", b'"cat"'),
        (b'"a ""b""",007', "text/csv", b'["a \\"b\\"","007"]'),
        (b"[0.1, 0.9]", "text/csv", b"[0.1,0.9]"),
        (b"positive, very", "text/plain", b'"positive, very"'),
    ],
)
def test_answers_of_any_type_are_joined_to_json(answer: bytes, answer_type: str, output: bytes) -> None:
    world = transformed(
        OBJECTS, JSON_LINES, lambda lines: (b"\n".join([answer] * len(lines)), answer_type), join_source="Input"
    )
    assert world.out(KEY) == b'{"id":7,"SageMakerOutput":%b}\n{"id":8,"SageMakerOutput":%b}\n' % (output, output)
    assert world.results.objects[f"{KEY}.out"].content_type == JSON_LINES


def test_documents_of_application_json_are_filtered_and_joined() -> None:
    world = transformed(
        b'{"id":7,"x":[1.0]}\n{"id":8,"x":[2.0]}\n',
        JSON,
        lambda lines: (b'{\n "sum": %b\n}' % lines[0].strip(b"[]"), JSON),
        input_filter="$.x",
        join_source="Input",
        output_filter="$['id','SageMakerOutput']",
    )
    assert [call.body for call in world.endpoint.calls] == [b"[1.0]\n", b"[2.0]\n"]
    assert world.out(KEY) == b'{"id":7,"SageMakerOutput":{"sum":1.0}}\n{"id":8,"SageMakerOutput":{"sum":2.0}}\n'


def test_a_document_that_is_not_split_is_joined_to_its_answer() -> None:
    world = transformed(
        b'{\n "id": 7\n}\n', JSON, lambda lines: (b'{\n "p": 1\n}', JSON), split_type="None", join_source="Input"
    )
    assert world.out(KEY) == b'{"id":7,"SageMakerOutput":{"p":1}}'
    assert world.results.objects[f"{KEY}.out"].content_type == JSON


@pytest.mark.parametrize(
    ("content_type", "options", "says"),
    [
        ("text/plain", {"join_source": "Input"}, "join-source: needs records of CSV or JSON"),
        ("text/plain", {"input_filter": "$[0]"}, "input-filter: needs records of CSV or JSON"),
        ("text/csv", {"input_filter": "$.a"}, r"input-filter: begins with a name, .* it is \$\.a"),
        (
            "text/csv",
            {"join_source": "Input", "output_filter": "$['a']"},
            r"output-filter: begins with a name, .* it is \$\['a'\]",
        ),
        ("text/csv", {"join_source": "Input", "split_type": "None"}, "join-source: needs split-type Line"),
    ],
)
def test_what_no_record_can_satisfy_is_refused_before_the_first_call(
    content_type: str, options: dict[str, str], says: str
) -> None:
    world = transformed(b"1\n2\n", content_type, predictions(b"1"), **options)
    assert not world.endpoint.calls
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(message(world))
    assert len(world.dead_letters.sent) == 1


@pytest.mark.parametrize("record", [b'{"id":%b}' % DEEP, b"{", b'{"a":1}x', b'{"a":"\xff"}'])
def test_a_record_with_which_nothing_can_be_joined_is_not_sent(record: bytes) -> None:
    world = transformed('{"id":"ä"}\n'.encode() + record + b"\n", JSON_LINES, predictions(b"1"), join_source="Input")
    assert [error["ErrorCode"] for error in world.errors(KEY)] == ["InvalidRecord"]
    assert world.summary(KEY)["succeeded"] == 1
    assert not any(record in call.body.split(b"\n") for call in world.endpoint.calls)


@pytest.mark.parametrize("content_type", ["text/csv", JSON_LINES])
@pytest.mark.parametrize("answer", [DEEP, b'{"text":"smile \\ud83d"}', b'"\\ud83d"', b"[1e400,-0.0]"])
def test_an_odd_answer_never_fails_its_neighbours(answer: bytes, content_type: str) -> None:
    """`DEEP` is an error of its line; a lone surrogate stays the escape that it was."""
    world = transformed(
        b'{"id":1}\n{"id":2}\n' if content_type == JSON_LINES else b"1\n2\n",
        content_type,
        lambda lines: (b"\n".join(answer if b"2" in line else b"0" for line in lines), JSON_LINES),
        join_source="Input",
        answer_format="Lines",
    )
    first, second, last = world.out(KEY).split(b"\n")
    assert first == (b'{"id":1,"SageMakerOutput":0}' if content_type == JSON_LINES else b"1,0")
    assert (second == b"") == (answer is DEEP)
    assert [error["ErrorCode"] for error in world.errors(KEY)] == (["AnswerNotJoined"] if answer is DEEP else [])
    assert last == b""
    assert not world.dead_letters.sent


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
strings = st.from_regex(r'"([^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"', fullmatch=True).filter(
    lambda text: not any("\ud800" <= char <= "\udfff" for char in text)
)
written = st.recursive(
    numbers | strings | st.sampled_from(["true", "false", "null"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(st.sampled_from("abc"), inner).map(
            lambda fields: "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
        )
    ),
)


@given(record=written, answer=written)
def test_what_a_join_does_not_change_stays_as_it_was_written(record: str, answer: str) -> None:
    found = joined(
        record.encode(), answer.encode(), Options(join_source="Input"), Codec(JSON_LINES), AnswerCodec(JSON_LINES)
    ).decode()
    if record.startswith("{"):
        assert found == f'{record[:-1]}{"," * (record != "{}")}"SageMakerOutput":{answer}}}'
    else:
        assert found == f'{{"SageMakerInput":{record},"SageMakerOutput":{answer}}}'


@given(before=written, value=written, after=written)
def test_what_a_path_selects_stays_as_it_was_written(before: str, value: str, after: str) -> None:
    options = Options.model_validate({"OutputFilter": "$['x'][1]"})
    answer = f'{{"a": {before}, "x" : [ {after}, {value} ]}}'
    assert joined(b"", answer.encode(), options, Codec("text/csv"), AnswerCodec(JSON)) == value.encode()


def test_a_record_that_has_an_output_already_gets_the_new_one() -> None:
    options = Options(join_source="Input")
    found = joined(b'{"SageMakerOutput":1,"a":2}', b"3", options, Codec(JSON_LINES), AnswerCodec(JSON))
    assert json.loads(found) == {"SageMakerOutput": 3, "a": 2}
    assert found.count(b"SageMakerOutput") == 1


@given(st.text(alphabet='a,"; ', max_size=20), st.sampled_from(",;"))
def test_rows_are_read_as_pythons_csv_module_reads_them(line: str, delimiter: str) -> None:
    try:
        cells = row_of(line.encode(), delimiter.encode())
    except NotClosed:
        with pytest.raises(csv.Error):
            list(csv.reader(io.StringIO(line + "\n"), delimiter=delimiter, strict=True))
        return
    (row,) = csv.reader(io.StringIO(line + "\n"), delimiter=delimiter)
    assert [cell.text.decode() for cell in cells] == (row or [""])
    assert delimiter.join(cell.raw.decode() for cell in cells) == line


@given(written)
def test_a_value_opens_into_what_json_reads(text: str) -> None:
    opened = Json(text.encode()).opened()
    if opened is not None:
        try:
            expected = json.loads(text)
        except ValueError:  # Python's limit on the digits of an integer
            return
        assert json.dumps(json.loads(json_bytes(opened))) == json.dumps(expected), compact(expected)
