"""Files are taken by their content: gzip, charsets and aliases are recognized, and what has no lines is refused."""

import bz2
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.failures import Failure
from sluice.ports import Inference
from sluice.transform.content_types import canonical, charset_of, holds_several, syntax_of, with_charset_utf8
from sluice.transform.file_type import check_lines, is_gzip
from tests.support.transform import Transforms

ROWS = b"1,a\n2,b\n"
OBJECTS = b'{"a":[1]}\n{"a":[2]}\n'
UNSTATED = "binary/octet-stream"
PRETTY = json.dumps([{"a": 1, "b": [1, 2]}, {"a": 2, "b": []}], indent=2).encode()


def transformed(key: str, content: bytes, own_type: str, **options: str) -> Transforms:
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body, call.parameters["ContentType"])
    metadata = {name.replace("_", "-"): value for name, value in options.items()}
    world.drop(key, content, content_type=own_type, metadata=metadata)
    world.run()
    return world


def sent_type(world: Transforms) -> str:
    (found,) = {call.parameters["ContentType"] for call in world.endpoint.calls}
    return found


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.csv.gz", "text/csv"),
        ("a.csv.gz", UNSTATED),
        ("a.csv.gz", "application/x-gzip"),
        ("a.csv.gz", "application/gzip"),
        ("a.csv.GZ", UNSTATED),
        ("a.CSV.GZ", "application/octet-stream"),
        ("a.csv", "text/csv"),  # with Content-Encoding: gzip
        ("a.csv", "application/gzip"),
        ("a.csv.gz", "application/vnd.ms-excel"),
    ],
)
def test_gzip_is_unpacked_whatever_the_file_is_called(name: str, content_type: str) -> None:
    world = transformed(f"transform/wine/{name}", gzip.compress(ROWS), content_type, input_filter="$[1]")
    assert world.out(f"transform/wine/{name}") == b"a\nb\n"
    assert sent_type(world) == "text/csv"


@pytest.mark.parametrize(
    ("name", "content_type", "sent"),
    [
        ("a.csv", "application/vnd.ms-excel", "text/csv"),
        ("a.csv", "application/csv", "text/csv"),
        ("a", "text/comma-separated-values; charset=utf-8", "text/csv; charset=utf-8"),
        ("a.csv", "application/octet-stream", "text/csv"),
        *(
            ("a", f"application/{alias}", "application/jsonlines")
            for alias in ("x-ndjson", "ndjson", "jsonl", "x-jsonlines", "x-jsonl", "jsonlines")
        ),
        *((f"a.{suffix}", UNSTATED, "application/jsonlines") for suffix in ("ndjson", "jl", "jsonl", "JSONL")),
    ],
)
def test_aliases_are_filtered_and_sent_by_the_name_that_containers_know(
    name: str, content_type: str, sent: str
) -> None:
    content, path, answers = (ROWS, "$[1]", b"a\nb\n") if "csv" in sent else (OBJECTS, "$.a", b"[1]\n[2]\n")
    world = transformed(f"transform/wine/{name}", content, content_type, input_filter=path)
    assert world.out(f"transform/wine/{name}") == answers
    assert sent_type(world) == sent
    assert any(call.body.count(b"\n") > 1 for call in world.endpoint.calls), "sent together"


def test_a_type_that_the_metadata_sets_is_sent_as_it_is() -> None:
    world = transformed("transform/wine/a", OBJECTS, UNSTATED, content_type="application/x-ndjson", input_filter="$.a")
    assert sent_type(world) == "application/x-ndjson"


TABLES = {
    "Parquet": b"PAR1\x15\x04\n\x15",
    "zip": b"PK\x03\x04\x14\n\x00",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "NUL": b"1,2\n3,\x004\n",
    "charset=utf-16": "1,a\n2,b\n".encode("utf-16"),
    "text/csv; charset=utf-16": "1,a\n2,b\n".encode("utf-16-le"),
}


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("says", "content"), TABLES.items(), ids=TABLES)
def test_a_file_without_lines_is_refused_before_the_first_call(
    says: str, content: bytes, packed: Callable[[bytes], bytes]
) -> None:
    key = "transform/wine/a.csv"
    world = transformed(key, packed(content), "text/csv")
    assert not world.endpoint.calls
    message = json.loads(world.results.objects[f"{key}.err"].body)["ErrorMessage"]
    assert message.startswith("file: is ")
    assert says in message
    assert "split-type to None, or convert it" in message or "set its metadata content-type to text/csv" in message
    assert len(world.dead_letters.sent) == 1
    assert not any("unpacked" in name for name in world.results.objects)


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_a_file_without_lines_is_sent_whole(content: bytes) -> None:
    world = transformed("transform/wine/a.csv", content, "application/x-own", split_type="None")
    assert world.out("transform/wine/a.csv") == content


@pytest.mark.parametrize(
    ("content", "is_refused"),
    [
        (PRETTY, True),
        (b"[\n{}]", True),
        (b"{\n", False),  # all of the file: a record that is cut off
        (b'\xef\xbb\xbf\n {"a":\n1}', True),
        (b"[" + b"\n{},\n" * 30_000, True),
        (OBJECTS, False),
        (b'{"a":1\n{"a":2}\n', False),
        (b'{"a":"\n{"a":2}\n', False),
        (b'{bad}\n{"a":2}\n', False),
        (b'[{"a":1},{"a":2}]\n', False),
        (b"[" * 10_000 + b"\n1", False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/jsonlines"])
def test_json_over_several_lines_is_refused(content: bytes, content_type: str, *, is_refused: bool) -> None:
    head = content[: 64 * 1024]
    if not is_refused:
        check_lines(head, content_type, is_whole=len(head) == len(content))
        return
    with pytest.raises(Failure, match="file: begins with a JSON document of several lines"):
        check_lines(head, content_type, is_whole=len(head) == len(content))
    check_lines(head, "text/csv", is_whole=len(head) == len(content))


@pytest.mark.parametrize(
    "charset", ["utf-16", "UTF-16LE", "utf-16-be", "iso-8859-1", "latin1", '"windows-1252"', "cp500"]
)
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_in_another_charset_is_sent_in_utf8(charset: str, packed: Callable[[bytes], bytes]) -> None:
    text = "".join(f"{number},Käse\n" for number in range(10_000))
    key = "transform/wine/a.csv"
    world = transformed(key, packed(text.encode(charset.strip('"'))), f"text/csv;  charset={charset}; header=present")
    assert world.out(key) == text.encode()
    assert sent_type(world) == "text/csv; charset=utf-8; header=present"
    assert world.results.objects[f"{key}.out"].content_type == "text/csv; charset=utf-8; header=present"


def test_a_file_that_is_not_split_is_sent_in_its_charset() -> None:
    content = "1,ä\n".encode("utf-16")
    world = transformed("transform/wine/a.csv", content, "text/csv; charset=utf-16", split_type="None")
    assert [call.body for call in world.endpoint.calls] == [content]
    assert sent_type(world) == "text/csv; charset=utf-16"


@pytest.mark.parametrize(
    ("charset", "says"),
    [
        ("klingon", "its charset is not known: klingon"),
        ("base64", "its charset is not known: base64"),
        ("utf-16-le", "content-type: the file is not utf-16-le"),
    ],
)
def test_a_charset_that_is_not_that_of_the_file_is_refused(charset: str, says: str) -> None:
    key = "transform/wine/a.csv"
    world = transformed(key, b"1,2,\n", f"text/csv; charset={charset}")
    assert says in json.loads(world.results.objects[f"{key}.err"].body)["ErrorMessage"]
    assert not world.endpoint.calls


def test_a_byte_order_mark_is_no_part_of_the_first_record() -> None:
    world = transformed("transform/wine/a.csv", "\ufeff1\n2\n".encode(), "text/csv; charset=utf-8")
    assert world.out("transform/wine/a.csv") == b"1\n2\n"


WORDS = [
    "",
    "PAR1",
    "ORC",
    "ORCID,",
    "ORC_ID;",
    "GIF8",
    "GIF89a",
    "BZh",
    "BZh9",
    "BZhang",
    "%PDF",
    "%PDF,",
    "PK",
    "Obj",
]


@pytest.mark.parametrize("content_type", ["text/csv", "text/plain", "application/jsonlines"])
@given(
    word=st.sampled_from(WORDS),
    text=st.text(st.characters(exclude_characters="{[", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\r\n")),
)
def test_any_text_is_split(content_type: str, word: str, text: str) -> None:
    head = (word + text).encode()
    check_lines(head, content_type, is_whole=True)
    assert not is_gzip(head)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("Parquet", b"PAR1\x15\x04\x15 "),
        ("ORC", b"ORC\n\x0b\n\x03"),
        ("a GIF image", b"GIF89a\x01\x00\x01\x00\x80"),
        ("bzip2", bz2.compress(b"1,2\n")),
        ("bzip2", bz2.compress(b"")),
        ("a PDF", b"%PDF-1.4\n1 0 obj\n"),
    ],
)
def test_a_file_of_a_format_with_a_signature_of_letters_is_refused(name: str, head: bytes) -> None:
    with pytest.raises(Failure, match=f"file: is {name}, and cannot be split into lines"):
        check_lines(head, "text/csv", is_whole=True)


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text("ab{}[],:", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text("ab", max_size=2), documents, min_size=1, max_size=3)


@given(first=objects, rest=st.lists(objects, min_size=2, max_size=4), data=st.data(), whole=st.booleans())
@example(first={"a": 0}, rest=[{"a": 1}, {"a": 2}], data=None, whole=True)
def test_json_lines_are_split_wherever_the_first_is_cut_off(
    first: Any, rest: list[Any], data: st.DataObject | None, *, whole: bool
) -> None:
    line = json.dumps(first)
    cut = line[: data.draw(st.integers(0, len(line)))] if data else line[:5]
    head = "".join(text + "\n" for text in [cut, *map(json.dumps, rest)]).encode()
    check_lines(head, "application/jsonlines", is_whole=whole)


@given(value=objects | st.lists(documents, min_size=1), indent=st.integers(0, 4), more=st.lists(objects, max_size=2))
def test_json_of_several_lines_is_refused(value: Any, indent: int, more: list[Any]) -> None:
    head = "\n".join(json.dumps(one, indent=indent) for one in [value, *more]).encode()
    with pytest.raises(Failure, match="file: begins with a JSON document of several lines"):
        check_lines(head, "application/json", is_whole=True)


@given(st.sampled_from(["application/x-ndjson", "application/csv", "text/csv", "application/json", "image/png", ""]))
def test_an_alias_is_read_as_what_it_stands_for(content_type: str) -> None:
    assert syntax_of(canonical(content_type)) is syntax_of(content_type)
    assert holds_several(canonical(content_type)) == holds_several(content_type)
    assert canonical(canonical(content_type)) == canonical(content_type)


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/csv", None),
        ("text/csv; charset=UTF-8", None),
        ("text/csv;charset=us-ascii", None),
        ("text/csv; Charset = 'Latin-1' ", "iso8859-1"),
        ("text/csv; x=1; charset=utf-16; y=2", "utf-16"),
    ],
)
def test_charsets(content_type: str, charset: str | None) -> None:
    assert charset_of(content_type) == charset
    assert charset_of(with_charset_utf8(content_type)) is None
