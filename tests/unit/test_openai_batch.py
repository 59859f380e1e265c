"""OpenAI batch files under transform/: what is sent, the line of each request in the result, and what is refused."""

import gzip
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sluice.transform.batch_file
import sluice.transform.options
import sluice.transform.splitter
from sluice import keys
from sluice.failures import Operation, ServiceError
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.openai_batch import BatchRequest, RequestError, digest_of_custom_id, is_request
from tests.support.fakes import Call, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/prompts.jsonl"
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts, whose ranges do not end where lines do."""
    monkeypatch.setattr(sluice.transform.options, "_MIN_CHUNK_BYTES", 300)
    monkeypatch.setattr(sluice.transform.batch_file, "_PIECE", 100)
    monkeypatch.setattr(sluice.transform.batch_file, "_FIRST", 16)


@pytest.fixture
def world() -> Transforms:
    made = Transforms()
    made.endpoint.answer = completion
    return made


def completion(call: Call) -> Inference | ServiceError:
    """An answer that repeats the prompt; a 400 in OpenAI's form for the prompt `bad`."""
    content = json.loads(call.body)["messages"][0]["content"]
    if content == "bad":
        said = '{"error": {"message": "no", "type": "invalid_request_error"}}'
        return service_error(
            Operation.INVOKE, "ModelError", said, status=424, original_status_code=400, original_message=said
        )
    choice = {"index": 0, "message": {"role": "assistant", "content": content.upper()}, "finish_reason": "stop"}
    return Inference(
        json.dumps({"object": "chat.completion", "choices": [choice]}, indent=1).encode(), "application/json"
    )


def request(name: str, prompt: str = "hello", **changes: Any) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    fields = {"custom_id": name, "method": "POST", "url": CHAT, "body": body} | changes
    return json.dumps({key: value for key, value in fields.items() if value is not ...})


def transformed(world: Transforms, lines: list[str], **options: Any) -> list[dict[str, Any]]:
    world.drop(KEY, "\n".join(lines).encode(), **options)
    world.run()
    return [json.loads(line) for line in world.out(KEY).splitlines()]


def prompts(world: Transforms) -> list[str]:
    return [json.loads(call.body)["messages"][0]["content"] for call in world.endpoint.calls]


def test_each_body_goes_out_alone_and_each_line_is_one_of_openais_output_file(world: Transforms) -> None:
    answers = transformed(world, [request(f"r-{n}", f"prompt {n}") for n in range(20)])
    assert [one["custom_id"] for one in answers] == [f"r-{n}" for n in range(20)]
    assert len({one["id"] for one in answers}) == 20
    for number, one in enumerate(answers):
        assert list(one) == ["id", "custom_id", "response", "error"]
        assert one["id"].startswith("batch_req_")
        assert list(one["response"]) == ["status_code", "request_id", "body"]
        assert one["response"]["status_code"] == 200
        assert one["response"]["body"]["choices"][0]["message"]["content"] == f"PROMPT {number}"
        assert one["error"] is None
    assert {call.parameters["ContentType"] for call in world.endpoint.calls} == {"application/json"}
    assert sorted(prompts(world)) == sorted(f"prompt {n}" for n in range(20))
    stored = world.results.objects[KEY + keys.OUT]
    assert stored.content_type == "application/jsonlines"
    assert {one["response"]["request_id"] for one in answers} == {stored.metadata["trace-id"]}
    summary = world.summary(KEY)
    assert summary["record_format"] == "OpenAIBatch"
    assert (summary["records"], summary["succeeded"], summary["failed"], summary["calls"]) == (20, 20, 0, 20)
    assert summary["parts"] > 1


def test_body_and_custom_id_stay_as_they_are_written(world: Transforms) -> None:
    body = '{"messages":[{"role":"user","content":"caf\\u00e9"}], "temperature":1.0E-5,"seed":12345678901234567890}'
    line = f'{{"custom_id":"\\u00e9\\"1","method":"POST","url":"{CHAT}","body":{body}}}'
    (answer,) = transformed(world, [line])
    assert world.endpoint.calls[0].body == body.encode() + b"\n"
    assert answer["custom_id"] == 'é"1'
    assert b'"custom_id":"\\u00e9\\"1"' in world.out(KEY)


def test_a_refused_request_has_a_line_with_the_models_status_and_is_an_error_of_the_file(world: Transforms) -> None:
    lines = [request("a"), request("b", "bad"), request("c")]
    answers = transformed(world, lines)
    assert [one["custom_id"] for one in answers] == ["a", "b", "c"]
    refused = answers[1]
    assert refused["response"]["status_code"] == 400
    assert refused["response"]["body"]["error"]["type"] == "invalid_request_error"
    assert refused["error"]["code"] == "ModelError"
    assert set(refused["error"]) == {"code", "message"}
    (error,) = world.errors(KEY)
    assert (error["Line"], error["CustomId"], error["Id"]) == (2, "b", refused["id"])
    assert error["Record"] == lines[1]
    summary = world.summary(KEY)
    assert (summary["records"], summary["succeeded"], summary["failed"]) == (3, 2, 1)


def test_an_error_that_is_no_json_is_written_as_openai_writes_errors(world: Transforms) -> None:
    def answer(call: Call) -> Inference | ServiceError:
        if b"bad" in call.body:
            return service_error(
                Operation.INVOKE, "ModelError", "boom", status=424, original_status_code=500, original_message="boom"
            )
        return completion(call)

    world.endpoint.answer = answer
    _, refused = transformed(world, [request("a"), request("b", "bad")])
    assert refused["response"]["status_code"] == 500
    assert refused["response"]["body"]["error"]["message"] == "boom"


@pytest.mark.parametrize(
    ("line", "field", "custom_id"),
    [
        (request("b", custom_id=...), "custom_id", None),
        (request("b", custom_id=7), "custom_id", None),
        (request("b", custom_id=""), "custom_id", ""),
        (request("b", method="GET"), "method", "b"),
        (request("b", method=...), "method", "b"),
        (request("b", url=...), "url", "b"),
        (request("b", url=["/v1"]), "url", "b"),
        (request("b", body="{}"), "body", "b"),
        (request("b", body=...), "body", "b"),
        ('{"custom_id": "b", "method"', "the line must be one JSON object", "b"),
        ("[1]", "the line must be one JSON object", None),
        ('{"custom_id": "b"} {}', "the line must be one JSON object", "b"),
        (f'{request("b")[:-1]}, "url": "/v1/embeddings"}}', "a name occurs twice", "b"),
    ],
)
def test_a_line_of_another_shape_is_an_error_that_names_the_field(
    world: Transforms, line: str, field: str, custom_id: str | None
) -> None:
    answers = transformed(world, [request("a"), line, request("c")])
    assert [one["custom_id"] for one in answers] == ["a", custom_id, "c"]
    assert answers[1]["response"] is None
    assert answers[1]["error"]["code"] == "InvalidRecord"
    assert field in answers[1]["error"]["message"]
    (error,) = world.errors(KEY)
    assert (error["Line"], error["ErrorCode"]) == (2, "InvalidRecord")
    assert len(world.endpoint.calls) == 2


def test_a_duplicate_custom_id_is_refused_in_whatever_part_it_is(world: Transforms) -> None:
    lines = [request(f"r-{n}", f"prompt {n}") for n in range(30)]
    lines[25] = request("r-0", "prompt 25")
    lines[4] = request("r-3", "prompt 4", url=7)  # a line that is refused for something else, too
    lines[20] = json.dumps(dict(reversed(json.loads(request("r-0", "prompt 20")).items())))
    answers = transformed(world, lines)
    refused = {number for number, one in enumerate(answers) if one["error"]}
    assert refused == {4, 20, 25}
    assert "custom_id: an earlier line" in answers[20]["error"]["message"]
    assert "custom_id: an earlier line" in answers[25]["error"]["message"]
    assert world.summary(KEY)["failed"] == 3
    assert not {"prompt 4", "prompt 20", "prompt 25"} & set(prompts(world)), "none of them is paid for"


def test_escapes_do_not_hide_a_duplicate(world: Transforms) -> None:
    answers = transformed(world, [request("é"), request("é").replace("\\u00e9", "é")])
    assert [one["error"] is None for one in answers] == [True, False]


def test_empty_lines_and_a_byte_order_mark(world: Transforms) -> None:
    lines = ["", request("a"), "", request("b"), request("a"), "", ""]
    world.drop(KEY, b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    world.run()
    answers = [json.loads(line) for line in world.out(KEY).splitlines()]
    assert [(one["custom_id"], one["error"] is None) for one in answers] == [("a", True), ("b", True), ("a", False)]
    summary = world.summary(KEY)
    assert summary["records"] == summary["succeeded"] + summary["failed"] + summary["not_sent"]
    assert [error["Line"] for error in world.errors(KEY)] == [5]


def test_a_gzip(world: Transforms) -> None:
    key = f"{KEY}.gz"
    world.drop(key, gzip.compress("\n".join(request(f"r-{n % 9}") for n in range(10)).encode()))
    world.run()
    answers = [json.loads(line) for line in world.out(key).splitlines()]
    assert [one["error"] is None for one in answers] == [True] * 9 + [False]


def test_a_line_over_the_limit(world: Transforms) -> None:
    world = Transforms()
    world.endpoint.answer = completion
    world.settings = world.settings.model_copy(update={"max_body_bytes": 400})
    answers = transformed(world, [request("a"), request("long", "x" * 900), request("b"), request("long")])
    assert [one["custom_id"] for one in answers] == ["a", "long", "b", "long"]
    assert [one["error"] and one["error"]["code"] for one in answers] == [None, "RecordTooLong", None, "InvalidRecord"]


@pytest.mark.parametrize(
    "lines",
    [
        ['{"features": [1]}', request("a")],
        [request("a", method="GET")],
        [request("a", body=[1])],
        [request("a", url=...)],
        ["1", "2"],
    ],
)
def test_a_file_whose_first_record_is_no_request_is_an_ordinary_one(world: Transforms, lines: list[str]) -> None:
    world.endpoint.answer = lambda call: Inference(b"1")
    world.drop(KEY, "\n".join(lines).encode())
    world.run()
    assert world.out(KEY) == b"1\n" * len(lines)
    assert world.summary(KEY)["record_format"] == "Line"


@pytest.mark.parametrize(
    "metadata",
    [
        {"record-format": "Line"},
        {"answer-format": "None"},
        {"input-filter": "$.body"},
        {"output-filter": "$"} | {"join-source": "Input"},
        {"content-type": "text/plain"},
    ],
)
def test_an_option_or_a_type_of_other_lines_turns_the_recognition_off(
    world: Transforms, metadata: dict[str, str]
) -> None:
    world.endpoint.answer = lambda call: Inference(b"1")
    world.drop(KEY, request("a").encode(), metadata=metadata)
    world.run()
    assert world.summary(KEY)["record_format"] == "Line"


def test_it_can_be_set(world: Transforms) -> None:
    """The first line is wrong, and the content type says nothing of lines."""
    lines = [request("a", method="GET"), request("b")]
    answers = transformed(world, lines, metadata={"record-format": "OpenAIBatch"}, content_type="application/json")
    assert [one["error"] is None for one in answers] == [False, True]


def test_when_it_is_set_the_deployments_defaults_for_other_records_do_not_count() -> None:
    defaults = {"InputFilter": "$.a", "AnswerFormat": "Lines", "SplitType": "None", "AssembleWith": "None"}
    world = Transforms(transform_defaults=defaults)
    world.endpoint.answer = completion
    answers = transformed(world, [request("a"), request("b")], metadata={"record-format": "OpenAIBatch"})
    assert [one["error"] for one in answers] == [None, None]


def test_it_cannot_be_set_with_options_of_other_lines(world: Transforms) -> None:
    world.drop(KEY, request("a").encode(), metadata={"record-format": "OpenAIBatch", "join-source": "Input"})
    world.run()
    error = json.loads(world.results.objects[KEY + keys.ERR].body)
    assert "record-format: OpenAIBatch cannot be combined with join-source" in error["ErrorMessage"]
    assert not world.endpoint.calls


def test_a_url_that_is_not_the_stated_one(world: Transforms) -> None:
    answers = transformed(world, [request("a"), request("b", url="/v1/embeddings")], metadata={"request-url": CHAT})
    assert answers[0]["error"] is None
    assert f"url: must be the file's request-url, {CHAT}" in answers[1]["error"]["message"]


def test_an_answer_that_is_no_json_is_refused(world: Transforms) -> None:
    world.endpoint.answer = lambda call: Inference(b"hello", "text/plain") if b"bad" in call.body else completion(call)
    answers = transformed(world, [request("a"), request("b", "bad")])
    assert [one["error"] and one["error"]["code"] for one in answers] == [None, "AnswerNotJoined"]


def test_when_all_are_refused_the_file_fails_and_each_has_its_error(world: Transforms) -> None:
    world.drop(KEY, "\n".join([request("a", "bad"), request("b", url=...)]).encode())
    world.run()
    assert json.loads(world.results.objects[KEY + keys.ERR].body)["ErrorCode"] == "NoRecordSucceeded"
    assert KEY + keys.OUT not in world.results.objects
    assert [(error["CustomId"], error["ErrorCode"]) for error in world.errors(KEY)] == [
        ("a", "ModelError"),
        ("b", "InvalidRecord"),
    ]
    assert all(error["Id"].startswith("batch_req_") for error in world.errors(KEY))


@pytest.mark.parametrize(("limit", "reason"), [("MAX_REQUESTS", "over 3 requests"), ("MAX_DUPLICATES", "over 3 req")])
def test_too_many_are_refused_before_any_call(
    world: Transforms, monkeypatch: pytest.MonkeyPatch, limit: str, reason: str
) -> None:
    monkeypatch.setattr(sluice.transform.batch_file, limit, 3)
    same = limit == "MAX_DUPLICATES"
    world.drop(KEY, "\n".join(request("a" if same else f"r-{n}") for n in range(9)).encode())
    world.run()
    assert reason in json.loads(world.results.objects[KEY + keys.ERR].body)["ErrorMessage"]
    assert not world.endpoint.calls


def test_lines_are_the_same_whatever_the_order_of_the_parts(world: Transforms) -> None:
    lines = [request(f"r-{n % 35}", "bad" if n % 11 == 0 else f"prompt {n}") for n in range(40)]
    expected = transformed(world, lines)
    for seed in range(3):
        other, choices = Transforms(), random.Random(seed)
        other.endpoint.answer = completion
        other.drop(KEY, "\n".join(lines).encode())
        other.run(choices.randrange)
        assert [json.loads(line)["custom_id"] for line in other.out(KEY).splitlines()] == [
            one["custom_id"] for one in expected
        ]
        assert other.summary(KEY)["failed"] == world.summary(KEY)["failed"]


def test_a_second_delivery_of_the_file_does_not_read_it_again(
    world: Transforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = world.drop(KEY, "\n".join([request("a"), request("a")]).encode())
    world.process(json.dumps(event))
    monkeypatch.setattr(sluice.transform.splitter, "requests_of", lambda content: pytest.fail("it was read again"))
    (second,) = world.process(json.dumps(event))
    assert second.status is Status.SUCCEEDED
    world.splits.bodies.clear()
    world.run()
    assert world.summary(KEY)["failed"] == 1


def test_parts_whose_folder_has_expired_say_so(world: Transforms) -> None:
    world.process(json.dumps(world.drop(KEY, request("a").encode())))
    for key in [key for key in world.results.objects if key.endswith("/openai-batch.json")]:
        del world.results.objects[key]
    world.splits.bodies.clear()
    world.run()
    error = json.loads(world.results.objects[KEY + keys.ERR].body)
    assert "file: its parts have expired; drop it again" in error["ErrorMessage"]
    assert not world.endpoint.calls


@pytest.mark.parametrize("field", ["custom_id", "method", "url", "body"])
def test_each_field_is_required(field: str) -> None:
    with pytest.raises(RequestError, match=f"^{field}: must be"):
        BatchRequest.parse(json.dumps({**json.loads(request("a")), field: None}).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["custom_id", "method", "url", "body", "other"])


@given(
    st.dictionaries(NAMES, st.sampled_from(["POST", "GET", ""]) | JSON),
    st.booleans(),
    st.sampled_from([None, 1]),
    st.permutations(["custom_id", "method", "url", "body"]),
    st.booleans(),
)
def test_any_line_is_a_request_exactly_if_its_fields_are(
    changes: dict[str, Any], ascii_only: bool, indent: int | None, order: list[str], is_right: bool
) -> None:
    right = json.loads(request("é"))
    fields = {name: right[name] for name in order} | ({} if is_right else changes)
    line = json.dumps(fields, ensure_ascii=ascii_only, indent=indent).replace("\n", " ")
    try:
        encoded = line.encode()
    except UnicodeEncodeError:
        return
    expected = (
        isinstance(fields["custom_id"], str)
        and fields["custom_id"] != ""
        and fields["method"] == "POST"
        and isinstance(fields["url"], str)
        and fields["url"] != ""
        and isinstance(fields["body"], dict)
    )
    assert is_request(encoded) == expected
    named = fields["custom_id"]
    assert (digest_of_custom_id(encoded) is not None) == isinstance(named, str)
    if expected:
        parsed = BatchRequest.parse(encoded)
        assert json.loads(parsed.body) == fields["body"]
        assert json.loads(parsed.custom_id) == named
        assert parsed.url == fields["url"]
        assert digest_of_custom_id(encoded) == digest_of_custom_id(json.dumps({"x": 1, "custom_id": named}).encode())
