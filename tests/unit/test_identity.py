"""Trace ID, identity and the result's name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.failures import Failure
from sluice.inputs.identity import Identity, is_newer, of_message, of_object
from sluice.inputs.requests import DroppedObject, SentMessage
from tests.support.fakes import SETTINGS, delivery

ID = "11111111-1111-4111-8111-111111111111"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"
HEADER = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"


def message(raw: dict[str, object], **how: Any) -> Identity:
    return of_message(SentMessage(raw), delivery("", **how))


def dropped(key: str = "invoke/a.csv", *, bucket: str = "input", **details: str | None) -> Identity:
    details = {"version_id": "v1", "sequencer": "0A", "etag": "e", **details}
    return of_object(DroppedObject(bucket=bucket, key=key, size=1, **details), SETTINGS, delivery(""))


@pytest.mark.parametrize(
    ("raw", "attributes", "header", "trace_id"),
    [
        ({"TraceId": "t", "InferenceId": "i"}, {"TraceId": "at", "InferenceId": "ai"}, HEADER, "t"),
        ({"InferenceId": "i"}, {"TraceId": "at", "InferenceId": "ai"}, HEADER, "at"),
        ({"InferenceId": "i"}, {}, HEADER, "i"),
        ({}, {"InferenceId": "ai"}, HEADER, "ai"),
        ({}, {}, HEADER, ROOT),
        ({}, {}, f"Parent=1;Root={ROOT}", ROOT),
        ({}, {}, "Sampled=1", ID),
        ({}, {}, None, ID),
        ({"TraceId": "not valid"}, {"TraceId": "nor this"}, None, ID),
        ({"TraceId": 7}, {}, None, ID),
    ],
)
def test_trace_id_is_the_callers_else_the_inference_id_else_x_ray_else_the_message_id(
    raw: dict[str, object], attributes: dict[str, str], header: str | None, trace_id: str
) -> None:
    assert message(raw, attributes=attributes, trace_header=header).trace_id == trace_id


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({}, f"messages/{ID}"),
        ({"InferenceId": "order-7"}, "messages/order-7"),
        ({"InferenceId": "../../x y/é?".replace("é", "e")}, "messages/..%2F..%2Fx%20y%2Fe%3F"),
        ({"InferenceId": "i", "S3OutputPathExtension": "a/b"}, "messages/a/b/i"),
        ({"InferenceId": "i", "S3OutputPathExtension": "a/b/"}, "messages/a/b/i"),
        ({"InferenceId": "i", "Filename": "answer.json"}, "files/answer.json"),
        ({"Filename": "answer.out", "S3OutputPathExtension": "a"}, "files/a/answer"),
        # invalid names fail later; their .err still needs a key
        ({"InferenceId": "i", "S3OutputPathExtension": "../up"}, "messages/i"),
        ({"InferenceId": "i", "Filename": "../up"}, "messages/i"),
        ({"InferenceId": "i" * 65}, f"messages/{ID}"),
    ],
)
def test_the_name_of_a_messages_result(raw: dict[str, object], name: str) -> None:
    assert message(raw).name == name


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "InferenceId": st.text(),
            "S3OutputPathExtension": st.text("ab./!-") | st.text(),
            "Filename": st.text("ab._-") | st.text(),
        },
    )
)
def test_no_message_leaves_its_prefix(raw: dict[str, object]) -> None:
    identity = message(raw)
    assert identity.name.startswith(("messages/", "files/"))
    assert identity.error_name.startswith("messages/")
    for name in (identity.name, identity.error_name):
        assert not {"", ".", ".."} & set(f"{name}.out".split("/"))
        assert name.isascii()
        assert name.isprintable()


@given(st.lists(st.fixed_dictionaries({"Filename": st.sampled_from(["a", "b"])}), min_size=2))
def test_each_request_has_an_err_of_its_own(raws: list[dict[str, object]]) -> None:
    names = {message(raw, message_id=str(number)).error_name for number, raw in enumerate(raws)}
    assert len(names) == len(raws)


@given(st.sets(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64), min_size=2))
def test_different_inference_ids_have_different_results(ids: set[str]) -> None:
    assert len({message({"InferenceId": one}).name for one in ids}) == len(ids)


def test_a_redrive_is_the_same_request() -> None:
    first = message({}, message_id="first")
    redriven = message({}, message_id="second", attributes={"InferenceId": first.key, "TraceId": first.trace_id})
    assert (redriven.key, redriven.name, redriven.trace_id) == (first.key, first.name, first.trace_id)


def test_a_dropped_object_is_the_same_at_every_delivery_of_a_version_and_another_at_the_next() -> None:
    assert dropped() == dropped()
    assert dropped().key != dropped(version_id="v2").key
    assert dropped().key != dropped("invoke/b.csv").key
    assert dropped(version_id=None).key != dropped(version_id=None, sequencer="0B").key
    assert dropped(version_id=None, sequencer=None).key != dropped(version_id=None, sequencer=None, etag="f").key
    assert dropped().trace_id == dropped().key


def test_a_dropped_objects_result_has_its_key() -> None:
    assert dropped("invoke/a/b.csv").name == "invoke/a/b.csv"
    assert dropped("some/where.csv", bucket="lake").name == "buckets/lake/some/where.csv"


@pytest.mark.parametrize(
    ("key", "bucket", "says"),
    [
        ("invoke/a", "elsewhere", "bucket: the object's bucket is not one"),
        ("messages/a", "input", "key: objects for inference are dropped under invoke/"),
        ("invoke/../messages/a", "input", "key: must not have '.' or '..'"),
        ("invoke/./a", "input", "key: must not have '.' or '..'"),
        ("/a", "lake", "key: must not have"),
        ("invoke/a\nb", "input", "key: must not hold control characters"),
        ("invoke/a\x7f", "input", "key: must not hold control characters"),
        ("invoke/" + "k" * 1014, "input", "key: must have at most"),
        ("k" * 1010, "lake", "key: must have at most"),
        ("invoke/" + "é" * 507, "input", "key: must have at most"),
    ],
)
def test_keys_that_no_result_can_have(key: str, bucket: str, says: str) -> None:
    with pytest.raises(Failure) as raised:
        dropped(key, bucket=bucket)
    assert says in raised.value.message


def test_the_longest_key_that_leaves_room_for_its_result() -> None:
    assert len(dropped("invoke/" + "k" * 1013).name + ".out") == 1024


@pytest.mark.parametrize(
    ("stored", "arrived", "newer"),
    [
        ("0055AED6DCD90281E6", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E5", False),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E6", False),
        ("0055AED7", "0055AED6DCD90281E5", True),  # the shorter is padded on the right
        ("0055AED6", "0055AED600", False),
        ("0055aed7", "0055AED6", True),
        (None, "00", False),
        ("00", None, False),
    ],
)
def test_sequencers(stored: str | None, arrived: str | None, newer: bool) -> None:
    assert is_newer(stored, arrived) == newer
