"""CSV as people write it: line breaks in quoted fields, bare quotes, headers, delimiters, large fields."""

import csv
import io
import json
import sys
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sluice.transform.csv_records
import sluice.transform.file_type
import sluice.transform.options
import sluice.transform.splitter
from sluice.failures import Failure
from sluice.inputs.internal_messages import internal_request
from sluice.inputs.requests import TransformPart
from sluice.ports import Inference
from sluice.processing.outcome import Outcome
from sluice.transform.csv_records import Scanner, has_quotes
from sluice.transform.lines import lines_of
from tests.support.fakes import Call, Fuse, Killed
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
CHUNK = 40
contents = st.lists(
    st.sampled_from([b"a", b"bc", b",", b"\n", b"\r\n", b'"', b'""', b',"', b'"\n', b";"]), max_size=30
).map(b"".join)


def records_of(content: bytes, delimiter: bytes = b",") -> tuple[list[bytes], bool]:
    """The records of a file, read byte by byte, and whether it ends within quotes."""
    records: list[bytes] = []
    record = bytearray()
    state = "start"
    for number in range(len(content)):
        byte = content[number : number + 1]
        if state == "quoted":
            state = "closed" if byte == b'"' else state
        elif state == "closed" and byte == b'"':
            state = "quoted"
        elif byte == b"\n":
            records.append(bytes(record).removesuffix(b"\r"))
            record.clear()
            state = "start"
            continue
        elif byte == delimiter:
            state = "start"
        else:
            state = "quoted" if byte == b'"' and state == "start" else "text"
        record += byte
    if record:
        records.append(bytes(record).removesuffix(b"\r"))
    return records, state == "quoted"


def read(content: bytes, start: int, end: int, more: int, delimiter: bytes = b",") -> Any:
    at = max(0, start - 1)
    upto = end
    while True:
        data = content[at:upto]
        found = lines_of(data, start=start, end=end, at=at, size=len(content), delimiter=delimiter)
        if not found.needs_more:
            return found
        assert upto < len(content)
        upto += more


@given(content=contents, delimiter=st.sampled_from([b",", b";"]))
def test_records_of_a_whole_file(content: bytes, delimiter: bytes) -> None:
    expected, is_open = records_of(content, delimiter)
    found = read(content, 0, len(content), 1, delimiter) if content else lines_of(b"", start=0, end=0, at=0, size=0)
    assert found[:] == expected
    assert (found.not_closed is not None) == is_open


@given(content=contents, chunk=st.integers(1, 12), more=st.integers(1, 5))
@example(b'"a\nb"\nc\n', 3, 1)
def test_a_chain_of_ranges_has_the_records_of_the_file(content: bytes, chunk: int, more: int) -> None:
    """Each range that ends within a record is followed by what is left of the range in which the record ends."""
    found: list[bytes] = []
    start, end = 0, min(chunk, len(content))
    while start < len(content):
        lines = read(content, start, end, more)
        found += lines[:]
        if lines.is_crossing:
            start = lines.place(len(lines))
            end = min(len(content), -(-start // chunk) * chunk)
            assert start > end - chunk
        else:
            start = end
        end = min(len(content), end + chunk) if start == end else end
    assert found == records_of(content)[0]


@given(content=contents, chunk=st.integers(1, 12), pieces=st.lists(st.integers(1, 7), min_size=1), bom=st.booleans())
def test_the_scanner_finds_where_records_begin(content: bytes, chunk: int, pieces: list[int], *, bom: bool) -> None:
    _, is_open = records_of(content)
    content = b"\xef\xbb\xbf" * bom + content
    begins = [0]
    for number in range(len(content)):  # where a record begins after each byte, by reading what is before it
        before = content[: number + 1].removeprefix(b"\xef\xbb\xbf")
        if content[number : number + 1] == b"\n" and not records_of(before)[1] and _ends_record(before):
            begins.append(number + 1)
    scanner, at, found, turn = Scanner(b",", chunk), 0, [], 0
    while at < len(content):
        step = pieces[turn % len(pieces)] if at else max(3, pieces[0])  # a byte order mark is never cut
        found += list(scanner.feed(content[at : at + step]))
        at, turn = at + step, turn + 1
    wanted, target = [], chunk
    while reached := [one for one in begins if one >= target]:
        wanted.append(reached[0])
        target = (reached[0] // chunk + 1) * chunk
    assert found == wanted
    if is_open:
        with pytest.raises(Failure, match=r"line \d+: the quoted field that begins there is not closed"):
            scanner.check_end()
    else:
        scanner.check_end()


@pytest.mark.parametrize(
    "row",
    [
        b'1,12" 13" 14" 15",2\n',
        b"x" + b'"' * 98 + b"\n",
        b'1,x{"a":"b","c":"d"}\n',
        b'"a b",12" 13"\n',
        b'1,"a ""b""",2\n',
    ],
    ids=["inches", "many", "JSON", "quoted, and inches", "quoted"],
)
def test_the_scanner_does_not_go_from_quote_to_quote(row: bytes) -> None:
    """The lines of Python that are run do not depend on the number of quotes: what does is hundreds of times slower."""
    scanner, lines = Scanner(b",", 16 * 1024), 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line" and frame.f_code.co_filename == sluice.transform.csv_records.__file__
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        found = list(scanner.feed(row * (128 * 1024 // len(row))))
    finally:
        sys.settrace(before)
    assert len(found) == 7
    assert lines < 500


def _ends_record(before: bytes) -> bool:
    """Whether the line break at the end of `before` ends a record."""
    return len(records_of(before + b"x")[0]) == len(records_of(before)[0]) + 1


def test_the_line_of_a_field_that_is_not_closed_is_its_own() -> None:
    scanner = Scanner(b",", 8)
    for piece in (b"1,2\n", b'3,"a\nb"\n5,', b'"c\n', b'd",\n7,"e\n', b"f\n"):
        list(scanner.feed(piece))
    with pytest.raises(Failure, match="file: line 6: the quoted field"):
        scanner.check_end()


@pytest.mark.parametrize(
    ("content", "delimiter", "is_found"),
    [
        (b'"a"\n', b",", True),
        (b'\xef\xbb\xbf"a"\n', b",", True),
        (b'1,"a"\n', b",", True),
        (b'1\n"a"\n', b",", True),
        (b'1;"a"\n', b",", False),
        (b'1;"a"\n', b";", True),
        (b'1|"a"\n', b"|", True),
        (b'2,12" pizza\n', b",", False),
        (b"", b",", False),
    ],
)
def test_a_file_is_read_first_only_if_fields_are_quoted(content: bytes, delimiter: bytes, *, is_found: bool) -> None:
    assert has_quotes(content, delimiter) == is_found


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", CHUNK)


def rows(body: bytes) -> list[bytes]:
    found, is_open = records_of(body)
    assert not is_open, "a call begins and ends with a record"
    return [record for record in found if record]


def lengths(call: Call) -> Inference:
    """A container that answers each row with the length of its last field."""
    answers = [str(len(row[-1])) for row in csv.reader(io.StringIO(call.body.decode(), newline="")) if row]
    return Inference("".join(f"{one}\n" for one in answers).encode(), "text/csv")


def transformed(
    content: bytes, answer: Callable[[Call], Inference | Exception] = lengths, /, **options: str
) -> Transforms:
    world = Transforms()
    world.endpoint.answer = answer
    metadata = {"answer-format": "Lines"} | {name.replace("_", "-"): value for name, value in options.items()}
    world.drop(KEY, content, metadata=metadata)
    world.run()
    return world


def table(count: int) -> list[list[str]]:
    """Rows as people have them: quotes, commas, line breaks."""
    texts = ["plain", "a, b", 'say "hi"', "two\nlines", "three\r\n\r\nlines\n", '"', "", "x" * 90 + "\n" + "y" * 90]
    return [[str(number), texts[number % len(texts)] + "." * (number % 3)] for number in range(count)]


def written(records: list[list[str]], **options: Any) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n", **options).writerows(records)
    return buffer.getvalue().encode()


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("is_scanned", [True, False], ids=["read first", "not read first"])
def test_line_n_of_the_result_answers_record_n(
    monkeypatch: pytest.MonkeyPatch, strategy: str, *, is_scanned: bool
) -> None:
    if not is_scanned:  # as if the first quotes were after the beginning that is looked at
        monkeypatch.setattr(sluice.transform.splitter, "has_quotes", lambda beginning, delimiter: False)
    records = table(100)
    world = transformed(written(records), batch_strategy=strategy)
    assert world.out(KEY).decode().split() == [str(len(text)) for _, text in records]
    assert world.summary(KEY)["records"] == world.summary(KEY)["succeeded"] == 100
    assert world.errors(KEY) == []
    sent = [row for call in world.endpoint.calls for row in rows(call.body)]
    if is_scanned:
        assert len(sent) == 100, "nothing is sent twice"


class _Hurried(Transforms):
    """Functions that have time for two calls, so that the rest of a part continues as a part of its own."""

    def process(self, body: str, **options: Any) -> list[Outcome]:
        """As `Transforms.process`, with new time."""
        first = len(self.endpoint.calls)
        self.remaining_ms = lambda: 90_000 if len(self.endpoint.calls) < first + 2 else 70_000
        return super().process(body, **options)


@given(
    content=contents.filter(lambda content: not records_of(content)[1]),
    scanned=st.booleans(),
    hurried=st.booleans(),
    order=st.randoms(use_true_random=False),
)
@example(content=b'a\n"' + b"b\n" * 40 + b'"\nc\n', scanned=False, hurried=True, order=Random(1))
@example(content=b'a\n"' + b"b\n" * 40 + b'",\n', scanned=False, hurried=False, order=Random(1))
def test_any_file_is_answered_record_by_record_in_any_order(
    content: bytes, *, scanned: bool, hurried: bool, order: Random
) -> None:
    """Parts that begin within quotes may send what they find there, but none of it is in the result."""
    world = _Hurried() if hurried else Transforms()
    world.endpoint.answer = lambda call: Inference(b"%d\n" % len(call.body.removesuffix(b"\n")), "text/csv")
    world.drop(KEY, content, metadata={"answer-format": "None", "batch-strategy": "SingleRecord"})
    world.splits.bodies *= 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 5)
        if not scanned:
            patch.setattr(sluice.transform.splitter, "has_quotes", lambda beginning, delimiter: False)
        world.run(order.randrange)
    expected = b"".join(b"%d\n" % len(record) if record else b"\n" for record in records_of(content)[0])
    assert world.out(KEY) == expected
    assert f"{KEY}.err" not in world.results.objects


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_step_of_a_part_that_ends_in_another_range_gives_the_same_result(
    monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    monkeypatch.setattr(sluice.transform.splitter, "has_quotes", lambda beginning, delimiter: False)
    content = b"0,a\n" * 5 + b'1,"' + b"b\n" * 40 + b'"\n' + b"2,c\n" * 15
    step = 0
    while True:
        step += 1
        world = Transforms()
        world.endpoint.answer = lengths
        world.drop(KEY, content, metadata={"answer-format": "Lines"})
        world.process(world.splits.bodies.pop())
        fuse = Fuse(step, after=after)
        try:
            world.process(world.requests.bodies[0], fuse=fuse)
        except Killed:
            pass
        else:
            break
        world.run()
        assert world.out(KEY) == b"1\n" * 5 + b"80\n" + b"1\n" * 15
    assert step > 6


def test_parts_of_a_file_that_is_read_first_begin_and_end_with_records() -> None:
    records = table(200)
    world = Transforms()
    content = written(records)
    world.drop(KEY, content)
    world.process(world.splits.bodies.pop())
    parts = [internal_request(json.loads(body)) for body in world.requests.bodies]
    places = []
    for part in parts:
        assert isinstance(part, TransformPart)
        assert part.aligned
        places.append((part.start, part.end))
    assert [start for start, _ in places] == [0, *(end for _, end in places[:-1])]
    assert places[-1][1] == len(content)
    assert all(_ends_record(content[:end]) for _, end in places[:-1])
    assert len(places) > 20


def test_without_time_to_read_all_of_the_file_the_rest_is_cut_by_its_size() -> None:
    records = table(300)
    world = Transforms()
    world.endpoint.answer = lengths
    world.remaining_ms = lambda: 50_000.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sluice.transform.alignment._PIECE", 500)
        world.drop(KEY, written(records), metadata={"answer-format": "Lines"})
        world.process(world.splits.bodies.pop())
    aligned = [json.loads(body)["TransformPart"].get("Aligned", False) for body in world.requests.bodies]
    assert aligned.index(False) > 1
    assert not any(aligned[aligned.index(False) :])
    world.remaining_ms = lambda: 90_000
    world.run()
    assert world.out(KEY).decode().split() == [str(len(text)) for _, text in records]


def test_a_file_without_quotes_is_not_read_first() -> None:
    world = Transforms()
    world.drop(KEY, b"1,2\n" * 250_000)
    world.process(world.splits.bodies.pop())
    sample = sluice.transform.file_type.HEAD_BYTES
    assert world.inputs("input").ranges == [(start, start + sample) for start in (0, 250_000, 500_000, 750_000)]


def test_a_file_whose_first_quotes_are_far_from_its_beginning_is_read_first() -> None:
    world = Transforms()
    world.drop(KEY, b"1,2\n" * 150_000 + b'1,"2\n"\n' * 40_000)
    world.process(world.splits.bodies.pop())
    assert all(json.loads(body)["TransformPart"]["Aligned"] for body in world.requests.bodies)


@pytest.mark.parametrize("options", [{}, {"input_filter": "$[0,1]"}, {"join_source": "Input"}])
def test_a_quote_within_a_field_is_a_character(options: dict[str, str]) -> None:
    world = transformed(b'1,6" pizza\n2,12" pizza\n3,"a ""b"""\n', **options)
    assert len(world.endpoint.calls) == 1
    lines = [b'1,6" pizza,8', b'2,12" pizza,9', b'3,"a ""b""",5'] if "join_source" in options else [b"8", b"9", b"5"]
    assert world.out(KEY) == b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize(
    ("content", "where"),
    [(b'1,"a\n2,b\n', "line 1"), (b'1,"a\nb"\n2,"c\n' + b"3,d\n" * 50, "line 3"), (b'1,a\n2,b\n3,""c"', None)],
)
def test_a_field_that_is_not_closed_refuses_the_file_with_its_line(content: bytes, where: str | None) -> None:
    world = transformed(content)
    if where is None:
        assert world.summary(KEY)["succeeded"] == 3, 'the field is empty, and c" follows it'
        return
    assert not world.endpoint.calls
    message = json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]
    assert message.startswith(f"file: {where}: the quoted field that begins there is not closed")
    assert len(world.dead_letters.sent) == 1


def test_a_field_that_is_not_closed_after_the_beginning_of_a_file_is_an_error_of_its_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sluice.transform.splitter, "has_quotes", lambda beginning, delimiter: False)
    world = transformed(b"1,a\n" * 25 + b'2,"a\n3,b\n')
    (error,) = world.errors(KEY)
    assert (error["Line"], error["ErrorCode"]) == (26, "InvalidRecord")
    assert "the quoted field that begins at byte 102 is not closed" in error["ErrorMessage"]
    assert world.summary(KEY)["succeeded"] == 25


def test_a_record_that_no_call_can_carry_is_an_error_of_its_own() -> None:
    records = [["1", "a"], ["2", "b\n" * 700_000], ["3", "c\nd"], ["4", "e"]]
    world = transformed(written(records), max_payload="1", **{"answer-format": "Lines"})
    assert world.out(KEY) == b"1\n\n3\n1\n"
    assert [(error["Line"], error["ErrorCode"]) for error in world.errors(KEY)] == [(2, "RecordTooLong")]


@pytest.mark.parametrize(
    "options", [{}, {"input_filter": "$[0,1]"}, {"join_source": "Input", "output_filter": "$[-1]"}]
)
def test_large_fields(options: dict[str, str]) -> None:
    """Python's csv module accepts at most 131,072 characters."""
    content = b"1,%b\n2,b\n" % (b"x" * 200_000)
    world = transformed(
        content, lambda call: Inference(b"".join(b"%d\n" % len(one) for one in rows(call.body))), **options
    )
    assert world.out(KEY) == b"200002\n3\n"


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("options", [{}, {"join_source": "Input", "output_filter": "$[0,-1]"}])
def test_answers_of_csv_may_have_line_breaks_in_quotes(strategy: str, options: dict[str, str]) -> None:
    """A container that writes the rows that it got, as pandas does, with line breaks in text columns."""
    records = table(40)
    echo = lambda call: Inference(written(list(csv.reader(io.StringIO(call.body.decode(), newline="")))), "text/csv")  # noqa: E731
    world = Transforms()
    world.endpoint.answer = echo
    metadata = {name.replace("_", "-"): value for name, value in options.items()} | {"batch-strategy": strategy}
    world.drop(KEY, written(records), metadata=metadata)
    world.run()
    found = list(csv.reader(io.StringIO(world.out(KEY).decode(), newline="")))
    assert found == records
    assert world.summary(KEY)["answer_format"] == ("Lines" if strategy == "MultiRecord" else "None")


HEADER = b'id,"a\ntext"\n'


@pytest.mark.parametrize(
    ("value", "lines", "headers"),
    [
        ("none", b"6\n1\n3\n", 0),
        ("false", b"6\n1\n3\n", 0),
        ("drop", b"\n1\n3\n", 0),
        ("true", b"\n1\n3\n", 0),
        ("repeat", b"\n1\n3\n", 1),
    ],
)
def test_a_header(value: str, lines: bytes, headers: int) -> None:
    def answer(call: Call) -> Inference:
        assert call.body.startswith(HEADER) == (headers == 1 or value in {"none", "false"})
        return lengths(Call(call.endpoint_name, call.body.removeprefix(HEADER * headers), call.parameters))

    world = transformed(HEADER + b'1,a\n2,"b\nc"\n', answer, csv_header=value)
    assert world.out(KEY) == lines
    assert world.summary(KEY)["not_sent"] == (lines[:1] == b"\n")


def mlflow(call: Call) -> Inference:
    """The predictions of a container that reads CSV with pandas, so that each request needs the header."""
    found = list(csv.DictReader(io.StringIO(call.body.decode(), newline="")))
    return Inference(json.dumps({"predictions": [len(row["text"]) for row in found]}).encode(), "application/json")


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("options", [{}, {"input_filter": "$[1:]"}, {"answer_format": "JSONField:predictions"}])
def test_a_header_is_repeated_in_each_call(strategy: str, options: dict[str, str]) -> None:
    records = table(60)
    world = Transforms()
    world.endpoint.answer = mlflow
    metadata = {name.replace("_", "-"): value for name, value in options.items()}
    metadata |= {"csv-header": "repeat", "batch-strategy": strategy}
    world.drop(KEY, written([["id", "text"], *records]), metadata=metadata)
    world.run()
    header, *lines = world.out(KEY).decode().split("\n")[:-1]
    assert header == ""
    answers = [len(text) for _, text in records]
    assert [json.loads(line) for line in lines] == (
        answers
        if "answer_format" in options or strategy == "MultiRecord"
        else [{"predictions": [one]} for one in answers]
    )
    assert world.summary(KEY)["succeeded"] == 60
    assert world.summary(KEY)["not_sent"] == 1


@given(
    empty=st.lists(st.sampled_from([b"\n", b"\r\n"]), max_size=30).map(b"".join),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    count=st.integers(0, 20),
    how=st.sampled_from(["drop", "repeat"]),
    hurried=st.booleans(),
)
@example(empty=b"\n" * 30, bom=b"", count=1, how="repeat", hurried=False)
@settings(max_examples=40, deadline=None)
def test_a_header_may_follow_empty_lines(empty: bytes, bom: bytes, count: int, how: str, *, hurried: bool) -> None:
    """Whichever part it is in, and however parts are cut."""
    header = b"age,city"

    def answer(call: Call) -> Inference:
        repeated, *lines = call.body.split(b"\n")[:-1] if how == "repeat" else [header, *call.body.split(b"\n")[:-1]]
        assert repeated == header
        assert header not in lines
        assert all(lines)
        return Inference(b"".join(b"%d\n" % len(line) for line in lines), "text/csv")

    world = _Hurried() if hurried else Transforms()
    world.endpoint.answer = answer
    metadata = {"csv-header": how, "answer-format": "Lines"}
    content = bom + empty + header + b"\n" + b"".join(b"%d,x\n" % number for number in range(10, 10 + count))
    world.drop(KEY, content, metadata=metadata)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 10)
        world.run()
    lines = empty.count(b"\n") + 1
    assert world.out(KEY) == b"\n" * lines + b"4\n" * count
    assert world.summary(KEY)["not_sent"] == lines


@pytest.mark.parametrize("how", ["drop", "repeat"])
def test_a_file_without_a_header_where_one_is_looked_for(how: str) -> None:
    world = transformed(b"\n" * 70_000 + b"a\n1\n", csv_header=how)
    assert "has no header for CsvHeader" in json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]
    assert not world.endpoint.calls
    assert transformed(b"\n" * 100, csv_header=how).out(KEY) == b"\n" * 100


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("header", [b"", b"name\n"])
def test_no_request_is_over_the_limit(header: bytes, strategy: str) -> None:
    limit = 100
    world = Transforms()
    world.settings = world.settings.model_copy(update={"max_body_bytes": limit})
    world.endpoint.answer = lambda call: lengths(Call(call.endpoint_name, call.body[len(header) :], call.parameters))
    sizes = [1, 2, *range(limit - len(header) - 3, limit - len(header) + 3), 50, 49, 48, 33, 32, 31]
    content = header + b"".join(b"x" * size + b"\n" for size in sizes)
    world.drop(KEY, content, metadata={"batch-strategy": strategy} | ({"csv-header": "repeat"} if header else {}))
    world.run()
    answers = [b"%d" % size if size <= limit - len(header) else b"" for size in sizes]
    assert world.out(KEY).split(b"\n") == [b""] * bool(header) + [*answers, b""]
    assert max(len(call.body) for call in world.endpoint.calls) == limit


def test_a_header_that_no_call_can_carry_refuses_the_file() -> None:
    world = Transforms()
    world.settings = world.settings.model_copy(update={"max_body_bytes": 100})
    world.endpoint.answer = lengths
    world.drop(KEY, b"a" * 200 + b"\n" + b"1\n" * 50, metadata={"csv-header": "repeat"})
    world.run()
    assert f"{KEY}.out" not in world.results.objects
    assert not world.endpoint.calls
    assert "its header is over" in json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]


def test_the_header_of_a_file_that_is_not_split_is_sent_with_it() -> None:
    world = transformed(b"a,b\n1,2\n", csv_header="repeat", split_type="None")
    assert [call.body for call in world.endpoint.calls] == [b"a,b\n1,2\n"]


@pytest.mark.parametrize(("name", "delimiter"), [(";", ";"), ("tab", "\t"), ("\\t", "\t"), ("|", "|"), (",", ",")])
def test_a_delimiter(name: str, delimiter: str) -> None:
    mark = delimiter.encode()
    content = mark.join([b"1", b'"a\n' + mark + b'b"', b"3,4"]) + b"\n" + mark.join([b"2", b"c", b"5"]) + b"\n"
    world = transformed(
        content,
        lambda call: Inference(b"".join(b'%d,"x%by"\n' % (len(one), mark) for one in rows(call.body))),
        csv_delimiter=name,
        input_filter="$[1]",
        join_source="Input",
        output_filter="$[0,1,-2,-1]",
    )
    sent = b"".join(call.body for call in world.endpoint.calls)
    assert sent == b'"a\n' + mark + b'b"\nc\n'
    assert world.out(KEY) == (
        mark.join([b"1", b'"a\n' + mark + b'b"', b"6", b'"x' + mark + b'y"'])
        + b"\n"
        + mark.join([b"2", b"c", b"1", b'"x' + mark + b'y"'])
        + b"\n"
    )


@pytest.mark.parametrize(
    "content_type", ["text/tab-separated-values", "text/tsv; charset=utf-8", "binary/octet-stream"]
)
@pytest.mark.parametrize("how", ["drop", "repeat"])
def test_tab_separated_values_are_csv_with_tabs(content_type: str, how: str) -> None:
    def answer(call: Call) -> Inference:
        read = list(csv.reader(io.StringIO(call.body.decode(), newline=""), delimiter="\t"))
        assert (read[0] == ["age", "city"]) == (how == "repeat")
        lengths = [sum(map(len, row)) for row in read[how == "repeat" :]]
        return Inference(b"".join(b"%d,9\n" % one for one in lengths), "text/csv")

    world = Transforms()
    world.endpoint.answer = answer
    key = "transform/wine/rows.tsv"
    content = b'age\tcity\n1\t"a\nb"\n2\tc,d\n3\t\n4\tg\n'
    world.drop(key, content, content_type=content_type, metadata={"csv-header": how, "join-source": "Input"})
    world.run()
    assert world.out(key) == b'\n1\t"a\nb"\t4\t9\n2\tc,d\t4\t9\n3\t\t1\t9\n4\tg\t2\t9\n'
    assert (world.results.objects[key + ".out"].content_type or "").startswith("text/t")
    assert {call.body.count(b"\n") > 3 for call in world.endpoint.calls} == {True, False}, "several in a call"


def test_an_answer_of_tab_separated_values_is_read_with_tabs() -> None:
    def answer(call: Call) -> Inference:
        return Inference(b"a,b\tc\n" * call.body.count(b"\n"), "text/tab-separated-values")

    world = transformed(b"1\n2\n", answer, join_source="Input")
    assert world.out(KEY) == b'1,"a,b",c\n2,"a,b",c\n'
    world = transformed(b"1\n2\n", answer, output_filter="$[1,0]")
    assert world.out(KEY) == b'c\t"a,b"\n' * 2


@pytest.mark.parametrize("option", [{"csv-header": "drop"}, {"csv-delimiter": "tab"}])
@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonlines", "application/json", "text/x-python"])
def test_an_option_of_csv_is_refused_for_other_records(option: dict[str, str], content_type: str) -> None:
    world = Transforms()
    world.endpoint.answer = lengths
    world.drop("transform/wine/a.txt", b"1\n2\n", content_type=content_type, metadata=option)
    world.run()
    (name,) = option
    message = json.loads(world.results.objects["transform/wine/a.txt.err"].body)["ErrorMessage"]
    assert message.startswith(f"{name}: is for records of CSV, and the content type is {content_type}")
    assert not world.endpoint.calls


def test_a_default_of_the_deployment_is_for_files_of_all_types() -> None:
    world = Transforms()
    world.settings = world.settings.model_copy(
        update={"transform_defaults": {"CsvHeader": "drop", "CsvDelimiter": ";"}}
    )
    world.endpoint.answer = lengths
    for name, content_type in (("a.txt", "text/plain"), ("a.csv", "text/csv")):
        world.drop(f"transform/wine/{name}", b"1\n2;3\n", content_type=content_type)
        world.run()
    assert world.summary("transform/wine/a.txt")["succeeded"] == 2
    assert world.summary("transform/wine/a.csv")["succeeded"] == 1


def test_a_field_of_an_answer_with_the_files_delimiter_is_quoted() -> None:
    answer = lambda call: Inference(b'a;b,"c";d,"e;f",g\n' * len(rows(call.body)))  # noqa: E731
    world = transformed(b"1;2\n", answer, csv_delimiter=";", join_source="Input")
    assert world.out(KEY) == b'1;2;"a;b";"c;d";"e;f";g\n'


@pytest.mark.parametrize(
    ("metadata", "says"),
    [({"csv_header": "maybe"}, "CsvHeader: "), ({"csv_delimiter": "::"}, "CsvDelimiter: ")],
)
def test_an_invalid_option_is_named(metadata: dict[str, str], says: str) -> None:
    world = transformed(b"1\n", **metadata)
    assert says in json.loads(world.results.objects[f"{KEY}.err"].body)["ErrorMessage"]
