"""Text that is neither UTF-8 nor of a stated charset is not sent: a container may answer for another text."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from sluice.ports import Inference
from sluice.transform.file_type import HEAD_BYTES
from tests.support.transform import Transforms

KEY = "transform/wine/a"
TYPES = {
    "text/csv": '1,"Käse"\n',
    "text/plain": "Käse\n",
    "text/tab-separated-values": "1\tKäse\n",
    "application/jsonlines": '{"a":"Käse"}\n',
    "application/json": '{"a":"Käse"}\n',
    "text/csv; charset=utf-8": "1,Käse\n",
}
ASCII = {name: line.replace("ä", "ae") for name, line in TYPES.items()}


def transformed(content: bytes, content_type: str, **options: str) -> Transforms:
    """As by a container that decodes with errors="replace"."""
    world = Transforms()
    world.endpoint.answer = lambda call: Inference(call.body.decode(errors="replace").encode(), "text/plain")
    metadata = {name.replace("_", "-"): value for name, value in options.items()}
    world.drop(KEY, content, content_type=content_type, metadata=metadata)
    world.run(first_receive=1)
    return world


def reason(world: Transforms) -> str:
    document: dict[str, Any] = json.loads(world.results.objects[f"{KEY}.err"].body)
    return f"{document['ErrorCode']}: {document['ErrorMessage']}"


def advice(content_type: str) -> str:
    base = content_type.partition(";")[0]
    return f"state its charset in the content type, such as {base}; charset=iso-8859-1, or save it as UTF-8"


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("count", [1, 20_000], ids=["small", "large"])
def test_a_file_in_another_charset_is_refused_before_any_call(
    packed: Callable[[bytes], bytes], content_type: str, count: int
) -> None:
    content = ASCII[content_type].encode() + TYPES[content_type].encode("iso-8859-1") * count
    world = transformed(packed(content), content_type)
    assert not world.endpoint.calls
    at = content.splitlines()[1].index(0xE4)
    assert reason(world) == f"InvalidMessage: file: line 2 is not UTF-8 (byte {at} is 0xE4); {advice(content_type)}"
    assert len(world.dead_letters.sent) == 1


@pytest.mark.parametrize("content_type", TYPES)
def test_a_record_that_the_sample_does_not_show_fails_alone(content_type: str) -> None:
    line = ASCII[content_type].encode()
    count = HEAD_BYTES // len(line) + 1
    bad = TYPES[content_type].encode("iso-8859-1")
    world = transformed(line * count + bad + line, content_type, answer_format="Lines")
    assert world.out(KEY) == line * count + b"\n" + line
    (error,) = world.errors(KEY)
    assert (error["Line"], error["ErrorCode"]) == (count + 1, "InvalidRecord")
    assert error["ErrorMessage"] == f"is not UTF-8 (byte {bad.index(0xE4)} is 0xE4); {advice(content_type)}"
    assert not any(0xE4 in call.body for call in world.endpoint.calls)


def test_a_bad_record_of_a_file_in_utf8_fails_alone() -> None:
    world = transformed("1,Käse\n".encode() + b"2,K\xe4se\n", "text/csv", answer_format="Lines")
    assert world.out(KEY) == "1,Käse\n\n".encode()
    assert [error["Line"] for error in world.errors(KEY)] == [2]


def test_a_character_that_the_sample_cuts_is_no_error() -> None:
    content = ("ä" * 50 + "\n").encode() * (HEAD_BYTES // 50) + b"\n"
    content = content if content[HEAD_BYTES - 1] == 0xC3 else b"a" + content
    assert content[HEAD_BYTES - 1] == 0xC3, "the first byte of two"
    world = transformed(content, "text/plain", answer_format="Lines")
    assert world.out(KEY) == content
    long = ("ä" * HEAD_BYTES + "\n").encode()
    assert transformed(long, "text/plain", answer_format="Lines").out(KEY) == long


def test_with_its_charset_the_file_is_transformed() -> None:
    content = TYPES["text/csv"] * 20
    world = transformed(content.encode("iso-8859-1"), "text/csv; charset=iso-8859-1", answer_format="Lines")
    assert world.out(KEY) == content.encode()


def test_a_header_in_another_charset_is_not_repeated() -> None:
    """The sample does not reach the end of this one."""
    header = b"a," * HEAD_BYTES + b"K\xe4se\n"
    world = transformed(header + b"1,2\n" * 5, "text/csv", csv_header="repeat")
    assert not world.endpoint.calls
    assert "its header cannot be sent: is not UTF-8" in reason(world)


def test_a_request_of_a_batch_in_another_charset_is_not_sent() -> None:
    line = '{"custom_id":"%s","method":"POST","url":"/v1/x","body":{"n":"ä"}}\n'
    world = transformed((line % 1).encode() + (line % 2).encode("iso-8859-1"), "application/jsonlines")
    assert len(world.endpoint.calls) == 1
    (error,) = world.errors(KEY)
    assert "not UTF-8" in error["ErrorMessage"]


@pytest.mark.parametrize(
    ("content_type", "options"),
    [
        ("text/csv", {"split_type": "None"}),
        ("application/x-own", {}),
        ("application/x-npy", {"split_type": "None"}),
    ],
)
def test_what_is_no_text_or_not_split_is_sent_as_it_is(content_type: str, options: dict[str, str]) -> None:
    content = b"1,K\xe4se\n"
    world = transformed(content, content_type, **options)
    assert [call.body for call in world.endpoint.calls] == [content]
    assert not world.dead_letters.sent
