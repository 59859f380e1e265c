"""Filters and joins give what an implementation from Batch Transform's documentation gives, in 882 combinations."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from sluice.ports import Inference
from tests.support import batch_transform
from tests.support.batch_transform import Json, Missing, Number, parse, row, written
from tests.support.fakes import Call
from tests.support.transform import Transforms

KEY = "transform/wine/records"
NUMBERS = ["1.0E-5,-0.0,12345678901234567890123", "1,2", "0.10,007,1e400,4,5.50", '" 1",2,3,4']
TEXTS = ['7,"x, y",1.50', 'id-8,"two\nlines",2', '9,"say ""hi""",3,"",5', '10,12" pizza,4']
OBJECTS = [
    '{"id": 7, "features": [1.0E-5, -0.0, 3], "nested": {"a": {"b": "é, x"}}}',
    '{"id": "eight", "features": [12345678901234567890123], "nested": {"a": {"b": 1e400}}, "SageMakerOutput": 1}',
    '{"id": null, "features": [], "nested": {"a": 1}}',
    '{"features": "none", "other": [[1, 2], {"x": 0.10}]}',
]
ARRAYS = ["[1.0E-5, -0.0, 3, 4]", "[1]", '["a, b", {"score": 1.50}, [2.0]]', "[]", "{}"]
ROW_FILTERS = ["$", "$[1:]", "$[0]", "$[0,-1]", "$[0,3:]", "$[*]", "$[7]"]
OBJECT_FILTERS = [
    *["$", "$.features", "$['id','features']", "$.nested.a['b']", "$.features[0,-1]"],
    *["$.nested.*", "$.features[9]"],
]
OUTPUTS = [
    *[("None", path) for path in ("$", "$.score", "$[0]", "$[0,-1]")],
    *[("Input", path) for path in ("$", "$[0,-1]", "$['id','SageMakerOutput']", "$.SageMakerOutput", "$[-1:]")],
]


def seed(record: Any) -> int:
    """A number that says which record it is, however it was written."""
    text = batch_transform.dump(record.value) if isinstance(record, Json) else "|".join(record)
    return sum(text.encode()) % 1000


def csv_answer(number: int) -> str:
    return f'{number}.50,"label, {number}"'


def object_answer(number: int) -> str:
    return f'{{"score": {number}.50E0, "label": "é, {number}", "n": [{number}]}}'


def array_answer(number: int) -> str:
    return f"[{number}.10, 1.0E-5]" if number % 3 else '["a, b", null]'


@dataclass(frozen=True)
class Kind:
    """A file and a container: how its answers to single records are written, and sent together."""

    content_type: str
    records: list[str]
    filters: list[str]
    answer: Callable[[int], str]
    answer_type: str
    answer_format: str

    @property
    def is_csv(self) -> bool:
        return self.content_type == "text/csv"

    def read(self, text: str) -> Any:
        return row(text) if self.is_csv else Json(parse(text))

    def respond(self, call: Call) -> Inference:
        text = call.body.decode()
        sent: list[Any]
        if self.is_csv:
            sent = [one for one in csv.reader(io.StringIO(text, newline="")) if one]
        else:
            sent = [Json(parse(line)) for line in text.split("\n") if line]
        answers = [self.answer(seed(record)) for record in sent]
        if self.answer_format == "JSONField:predictions":
            return Inference(('{"predictions": [' + ", ".join(answers) + "]}").encode(), self.answer_type)
        return Inference("".join(f"{one}\n" for one in answers).encode(), self.answer_type)


JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
KINDS = {
    "CSV, CSV": Kind(CSV, NUMBERS, ROW_FILTERS, csv_answer, CSV, "Lines"),
    "CSV, field of JSON": Kind(CSV, TEXTS, ROW_FILTERS, object_answer, JSON, "JSONField:predictions"),
    "CSV, JSON lines": Kind(CSV, TEXTS, ROW_FILTERS, array_answer, JSON_LINES, "Lines"),
    "objects, field of JSON": Kind(JSON_LINES, OBJECTS, OBJECT_FILTERS, object_answer, JSON, "JSONField:predictions"),
    "objects, CSV": Kind(JSON_LINES, OBJECTS, OBJECT_FILTERS, csv_answer, CSV, "Lines"),
    "arrays, JSON lines": Kind(JSON_LINES, ARRAYS, ROW_FILTERS, array_answer, JSON_LINES, "Lines"),
    "documents, JSON": Kind(JSON, OBJECTS, OBJECT_FILTERS, object_answer, JSON, "None"),
}
COMBINATIONS = [
    (name, path, join, output, strategy)
    for name, kind in KINDS.items()
    for path, (join, output), strategy in product(kind.filters, OUTPUTS, ["MultiRecord", "SingleRecord"])
]


def expected(kind: Kind, record: str, path: str, join: str, output: str) -> Any:
    """The line of a record as Batch Transform is documented; None if it has none."""
    try:
        value = kind.read(record)
        answer_text = kind.answer(seed(batch_transform.filtered(path, value)))
        answer = row(answer_text) if kind.answer_type == CSV else Json(parse(answer_text))
        if join == "None" and output == "$":
            return answer
        whole = batch_transform.joined(value, answer) if join == "Input" else answer
        if isinstance(whole, Json):
            return Json(batch_transform.select(output, whole.value))
        return batch_transform.filtered(output, whole)
    except Missing:
        return None


def lines_of(out: bytes, *, is_csv: bool) -> list[Any]:
    """The lines of a result, each as it is read; None for an empty one."""
    text = out.decode()
    if is_csv:
        return [one or None for one in csv.reader(io.StringIO(text, newline=""))]
    return [parse(line) if line else None for line in text.split("\n")[:-1]]


def test_the_number_of_combinations() -> None:
    assert len(COMBINATIONS) == 882


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_filters_and_joins_are_those_of_batch_transform(name: str, strategy: str) -> None:
    kind = KINDS[name]
    for path, join, output in [one[1:4] for one in COMBINATIONS if (one[0], one[4]) == (name, strategy)]:
        world = Transforms()
        world.endpoint.answer = kind.respond
        metadata = {"input-filter": path, "join-source": join, "output-filter": output, "batch-strategy": strategy}
        metadata["answer-format"] = kind.answer_format
        content = "".join(f"{record}\n" for record in kind.records).encode()
        world.drop(KEY, content, content_type=kind.content_type, metadata=metadata)
        world.run()
        combination = (path, join, output)
        lines = [expected(kind, record, path, join, output) for record in kind.records]
        if all(line is None for line in lines):
            assert f"{KEY}.out" not in world.results.objects, combination
            assert f"{KEY}.err" in world.results.objects, combination
            continue
        is_csv = kind.is_csv if join == "Input" else kind.answer_type == CSV
        found = lines_of(world.out(KEY), is_csv=is_csv)
        assert found == [_read_back(line, is_csv=is_csv) for line in lines], combination
        failed = [number for number, line in enumerate(lines, 1) if line is None]
        assert [error["Line"] for error in world.errors(KEY)] == failed, combination
        content_type = world.results.objects[f"{KEY}.out"].content_type
        assert content_type == (CSV if is_csv else JSON_LINES), combination


def _read_back(line: Any, *, is_csv: bool) -> Any:
    """What is read from a line that is written by the other implementation."""
    if line is None:
        return None
    text = written(line)
    return row(text) if is_csv else parse(text)


def test_numbers_are_compared_as_they_are_written() -> None:
    assert parse("[1.50, 1e400]") == [Number("1.50"), Number("1e400")] != parse("[1.5, 1e400]")
    assert json.loads(batch_transform.dump(parse('{"a": [1.50, "é", null]}'))) == {"a": [1.5, "é", None]}
