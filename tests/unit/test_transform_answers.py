"""Answers reach the result as the container meant them: their columns, charset, type, quotes and lines."""

import json
from typing import Any

import pytest

from sluice.ports import Inference
from tests.support.transform import Transforms

KEY = "transform/wine/rows"
CSV, TEXT, JSON_LINES = "text/csv", "text/plain", "application/jsonlines"


def transformed(content: bytes, content_type: str, answer: Any, **options: str) -> Transforms:
    """Transform a file. `answer` returns what the container answers to the lines of a call."""
    world = Transforms()
    world.endpoint.answer = lambda call: answer(call.body.removesuffix(b"\n").split(b"\n"))
    metadata = {name.replace("_", "-"): value for name, value in options.items()}
    world.drop(KEY, content, content_type=content_type, metadata=metadata)
    world.run()
    return world


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("constant", [0, 1, 2, 3, 4, 9])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 11])
def test_columns_without_names_are_the_same_arrays_in_all_calls(strategy: str, constant: int, count: int) -> None:
    """An array beside them may have, by chance, as many elements as there are records."""

    def answer(lines: list[bytes]) -> Inference:
        columns = {"labels": [line.decode() for line in lines], "scores": [len(line) for line in lines]}
        return Inference(json.dumps(columns | {"classes": ["c"] * constant}).encode(), "application/json")

    content = b"".join(b"x" * (number + 1) + b"\n" for number in range(count))
    world = transformed(content, CSV, answer, answer_format="Columns", batch_strategy=strategy)
    own = [{"labels": line.decode(), "scores": len(line)} for line in content.split()]
    if constant == 1 and strategy == "SingleRecord":  # a record alone has one element in each of them
        own = [{**one, "classes": "c"} for one in own]
    assert [json.loads(line) for line in world.out(KEY).splitlines()] == own
    assert world.summary(KEY)["failed"] == 0


def each(answer: bytes, content_type: str | None, end: bytes = b"\n") -> Any:
    """A container that answers each record of a call with `answer`."""
    return lambda lines: Inference(b"".join(answer + end for _ in lines), content_type)


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "windows-1252", "utf-8", None])
@pytest.mark.parametrize("base", [CSV, TEXT])
@pytest.mark.parametrize(
    ("record", "record_type", "options", "line"),
    [
        (b"1,2", CSV, {"join_source": "Input"}, "1,2,Müller"),
        (b'{"id":1}', JSON_LINES, {"join_source": "Input"}, '{"id":1,"SageMakerOutput":"Müller"}'),
        (b"1,2", CSV, {}, "Müller"),
    ],
)
def test_answers_in_any_charset_that_is_stated_are_in_utf_8_in_the_result(
    charset: str | None, base: str, *, record: bytes, record_type: str, options: dict[str, str], line: str
) -> None:
    def answer(lines: list[bytes]) -> Inference:
        parameters = f"; charset={charset}" if charset else ""
        return Inference(("Müller\n" * len(lines)).encode(charset or "utf-8"), base + parameters)

    world = transformed((record + b"\n") * 9, record_type, answer, **options)
    assert world.out(KEY).decode() == f"{line}\n" * 9
    assert "8859" not in (world.results.objects[f"{KEY}.out"].content_type or "")


@pytest.mark.parametrize("record_type", [CSV, JSON_LINES])
@pytest.mark.parametrize("base", [CSV, TEXT])
def test_an_answer_that_is_not_utf_8_is_joined_with_nothing(record_type: str, base: str) -> None:
    def answer(lines: list[bytes]) -> Inference:
        return Inference(b"".join(b"\xfc\n" if line == b"2" else b"ok\n" for line in lines), base)

    world = transformed(b"1\n2\n3\n", record_type, answer, join_source="Input")
    assert [(error["Line"], error["ErrorCode"]) for error in world.errors(KEY)] == [(2, "AnswerNotJoined")]
    assert b"\xef\xbf\xbd" not in world.out(KEY)


@pytest.mark.parametrize("answer", [b"42", b"1.0", b"true", b"null", b"NaN", b'"quoted"', b"007", b"yes", b"-Infinity"])
def test_text_is_joined_as_a_string(answer: bytes) -> None:
    world = transformed(b'{"id":1}\n{"id":2}\n', JSON_LINES, each(answer, TEXT), join_source="Input")
    joined = [json.loads(line, parse_constant=pytest.fail) for line in world.out(KEY).splitlines()]
    assert joined == [{"id": number, "SageMakerOutput": answer.decode()} for number in (1, 2)]


@pytest.mark.parametrize("options", [{}, {"join_source": "Input"}])
def test_no_line_has_a_byte_order_mark(options: dict[str, str]) -> None:
    def answer(lines: list[bytes]) -> Inference:
        return Inference(b"\xef\xbb\xbf" + b"".join(b"9%b\n" % line for line in lines), CSV)

    content = b"".join(b"%d\n" % number for number in range(3000))
    world = transformed(content, CSV, answer, **options)
    assert b"\xef\xbb\xbf" not in world.out(KEY)
    assert world.summary(KEY)["succeeded"] == 3000


@pytest.mark.parametrize("join_source", ["Input", "None"])
def test_a_filter_that_leaves_nothing_is_no_result(join_source: str) -> None:
    def answer(lines: list[bytes]) -> Inference:
        return Inference(b"".join(b"8,9\n" if b"2" in line else b"9\n" for line in lines), CSV)

    at = "$[2:]" if join_source == "Input" else "$[1:]"
    world = transformed(b"1\n2\n", CSV, answer, join_source=join_source, output_filter=at)
    assert [error["Line"] for error in world.errors(KEY)] == [1]
    assert world.out(KEY) == b"\n9\n"


@pytest.mark.parametrize("content_type", [CSV, "text/html; charset=utf-8", None, "application/octet-stream"])
@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_answers_whose_type_is_not_stated_are_read_as_accept_says(content_type: str | None, strategy: str) -> None:
    def answer(lines: list[bytes]) -> Inference:
        rows = [b'%b,"two\nlines"' % line if int(line) % 3 == 2 else line + b",x" for line in lines]
        return Inference(b"".join(row + b"\n" for row in rows), content_type)

    content = b"".join(b"%d\n" % number for number in range(12))
    world = transformed(content, CSV, answer, accept=CSV, batch_strategy=strategy)
    assert world.summary(KEY)["failed"] == 0
    assert world.out(KEY) == answer(content.split()).body


POEM = b"Roses are red,\r\nviolets are blue\n\n"
POEM_IN_JSON = rb'{"id":1,"SageMakerOutput":"Roses are red,\nviolets are blue"}'


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize(
    ("record", "record_type", "options", "line"),
    [
        (b"1", CSV, {"join_source": "Input"}, b'1,"Roses are red,\nviolets are blue"'),
        (b'{"id":1}', JSON_LINES, {"join_source": "Input"}, POEM_IN_JSON),
    ],
)
def test_a_text_of_several_lines_is_one_value(
    strategy: str, record: bytes, record_type: str, options: dict[str, str], line: bytes
) -> None:
    def answer(lines: list[bytes]) -> Inference:
        return Inference(POEM if len(lines) == 1 else b"Only one poem\n", TEXT)

    world = transformed((record + b"\n") * 5, record_type, answer, batch_strategy=strategy, **options)
    assert world.out(KEY) == (line + b"\n") * 5
    assert world.summary(KEY)["failed"] == 0


def test_a_text_of_several_lines_that_no_line_holds_says_what_does() -> None:
    world = transformed(b'{"id":1}\n', JSON_LINES, each(POEM, TEXT))
    assert "join-source Input" in json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]


def test_a_row_of_quoted_values_is_divided_at_its_fields() -> None:
    def answer(lines: list[bytes]) -> Inference:
        return Inference(b",".join(b'"a ""%b"", b"' % line if int(line) % 5 == 3 else line for line in lines), CSV)

    content = b"".join(b"%d\n" % number for number in range(20))
    world = transformed(content, CSV, answer)
    assert world.summary(KEY)["answer_format"] == "CSVRow"
    assert world.out(KEY) == b"".join(answer([line]).body + b"\n" for line in content.split())


def test_answers_that_begin_as_html_does_are_answers() -> None:
    def answer(lines: list[bytes]) -> Inference:
        tags = [b"<b>%b</b>" % line if int(line) % 2 else line for line in lines]
        return Inference(b"\n".join(tags) + b"\n", "text/html")

    content = b"".join(b"%d\n" % number for number in range(40))
    world = transformed(content, CSV, answer, batch_strategy="MultiRecord")
    assert world.out(KEY) == answer(content.split()).body
    assert world.summary(KEY)["answer_format"] == "Lines"
