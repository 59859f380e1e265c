"""Records on the way to the model and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.failures import Failure
from sluice.inputs.strict_json import compact_bytes
from sluice.transform.options import MAX_CHUNK_BYTES, Options, chunk_bytes
from sluice.transform.paths import Path
from sluice.transform.records import (
    AnswerCodec,
    Codec,
    RecordError,
    filtered,
    joined,
    payloads,
)
from sluice.transform.values import Json

CSV, JSONL = Codec("text/csv; charset=utf-8"), Codec("application/jsonlines")


def options(**given: object) -> Options:
    return Options.model_validate(given)


@pytest.mark.parametrize(
    ("line", "path", "sent"),
    [
        (b"7,1,2", "$", b"7,1,2"),
        (b"7,1,2", "$[1:]", b"1,2"),
        (b'7,"a, b",2', "$[1]", b'"a, b"'),
        (b'7,"say ""hi""",2', "$[1,2]", b'"say ""hi""",2'),
    ],
)
def test_csv_through_the_input_filter(line: bytes, path: str, sent: bytes) -> None:
    assert filtered(line, Path.parse(path), CSV) == sent


def test_json_lines_through_the_input_filter() -> None:
    assert filtered(b'{"id": 7, "features": [1, "\xc3\xa9"]}', Path.parse("$.features"), JSONL) == '[1,"é"]'.encode()


@pytest.mark.parametrize(
    ("line", "path", "codec"),
    [
        (b"{", "$.a", JSONL),
        (b"{}", "$.a", JSONL),
        (b"\xff", "$[0]", CSV),
        (b"a", "$[1]", CSV),
        (b"a", "$[0,1]", CSV),
        (b"a", "$[1:]", CSV),
        (b'"a', "$[0]", CSV),
        (b"a", "$[0]", Codec("text/plain")),
    ],
)
def test_a_record_that_cannot_be_filtered_says_why(line: bytes, path: str, codec: Codec) -> None:
    with pytest.raises(RecordError):
        filtered(line, Path.parse(path), codec)


@pytest.mark.parametrize(
    ("line", "answer", "given", "codec", "stands"),
    [
        (b"7,1", b"class_1,0.9", {}, CSV, b"class_1,0.9"),
        (b"7,1", b"class_1,0.9", {"JoinSource": "Input"}, CSV, b"7,1,class_1,0.9"),
        (b"7,1", b"class_1,0.9", {"JoinSource": "Input", "OutputFilter": "$[0,-1]"}, CSV, b"7,0.9"),
        (b"7,1", b"class_1,0.9", {"OutputFilter": "$[0]"}, CSV, b"class_1"),
        (b'{"id":7}', b"0.9", {"JoinSource": "Input"}, JSONL, b'{"id":7,"SageMakerOutput":0.9}'),
        (b"[7]", b'{"p":1}', {"JoinSource": "Input"}, JSONL, b'{"SageMakerInput":[7],"SageMakerOutput":{"p":1}}'),
        (b'{"id":7}', b"x", {"JoinSource": "Input"}, JSONL, b'{"id":7,"SageMakerOutput":"x"}'),
        (
            b'{"id":7,"f":[1]}',
            b'{"p":1}',
            {"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
            JSONL,
            b'{"id":7,"SageMakerOutput":{"p":1}}',
        ),
    ],
)
def test_the_text_of_a_result(line: bytes, answer: bytes, given: dict[str, str], codec: Codec, stands: bytes) -> None:
    assert joined(line, answer, options(**given), codec, AnswerCodec(codec.content_type)) == stands


def test_a_result_without_a_match_of_the_output_filter_is_an_error() -> None:
    with pytest.raises(RecordError, match="finds nothing"):
        joined(b"1", b'{"a":1}', options(OutputFilter="$.b"), JSONL, AnswerCodec(JSONL.content_type))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")), min_size=1))
def test_csv_round_trips(row: list[str]) -> None:
    assert [cell.text.decode() for cell in CSV.load(CSV.dump([Json(compact_bytes(text)) for text in row]))] == row


@given(lines=st.lists(st.binary(max_size=30), max_size=30), most=st.integers(1, 100), single=st.booleans())
def test_payloads_hold_every_line_that_is_not_empty_once_and_in_order(
    lines: list[bytes], most: int, *, single: bool
) -> None:
    groups = list(payloads([len(line) for line in lines], lambda: most, single=single))
    assert [index for group in groups for index in group] == [index for index, line in enumerate(lines) if line]
    for group in groups:
        assert len(group) == 1 or (not single and sum(len(lines[index]) + 1 for index in group) <= most)


def test_options_from_metadata() -> None:
    found = Options.from_metadata(
        {"batch-strategy": "SingleRecord", "input-filter": "$[1:]", "csv-header": "true", "trace-id": "t"},
        {"BatchStrategy": "MultiRecord", "MaxPayload": 2},
    )
    assert found.max_payload == 2, "the deployment's, where the object says nothing"
    assert (found.batch_strategy, found.input_filter.text, found.csv_header) == ("SingleRecord", "$[1:]", "drop")
    assert found.join_source == "None"


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"split-type": "RecordIO"}, "split-type: "),
        ({"max-payload": "0"}, "max-payload: "),
        ({"input-filter": "id"}, "must begin with"),
        ({"join-source": "input"}, "join-source: "),
    ],
)
def test_an_invalid_option_is_named(metadata: dict[str, str], says: str) -> None:
    with pytest.raises(Failure, match=says):
        Options.from_metadata(metadata, {})


@given(size=st.integers(0, 10**11))
def test_chunks_are_neither_tiny_nor_large(size: int) -> None:
    chunk = chunk_bytes(size)
    assert 64 * 1024 <= chunk <= MAX_CHUNK_BYTES
    assert size <= 1000 * chunk or chunk == MAX_CHUNK_BYTES


def test_json_that_is_not_ascii_stays_readable() -> None:
    assert filtered('{"name": "é"}'.encode(), Path.parse("$['name','x']"), JSONL) == '{"name":"é"}'.encode()
