"""The sample models with SageMaker's container contract, on their test data."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from examples.make import make
from local.models import wine
from local.models.chat import NOTE, Chat
from local.models.contract import create_app
from local.models.digits import Digits
from local.models.wine import Wine

EXAMPLES = Path(__file__).parents[2] / "examples"
ROW = [13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]


@pytest.fixture(scope="module")
def wine_container() -> TestClient:
    return TestClient(create_app(Wine()))


@pytest.fixture(scope="module")
def digits_container() -> TestClient:
    return TestClient(create_app(Digits()))


def invoke(container: TestClient, body: bytes | str, content_type: str, **headers: str) -> Any:
    return container.post("/invocations", content=body, headers={"Content-Type": content_type, **headers})


def test_ping(wine_container: TestClient) -> None:
    assert wine_container.get("/ping").status_code == 200


def test_the_trace_id_comes_back_as_on_the_api_page(wine_container: TestClient) -> None:
    header = {"X-Amzn-SageMaker-Custom-Attributes": "c000b4f9"}
    answer = invoke(wine_container, json.dumps({"instances": [ROW]}), "application/json", **header)
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "Trace ID: c000b4f9"
    without = invoke(wine_container, json.dumps({"instances": [ROW]}), "application/json")
    assert "x-amzn-sagemaker-custom-attributes" not in without.headers


def test_wine_is_right_about_the_examples(wine_container: TestClient) -> None:
    expected = [f"class_{label}" for label in wine.held_out()[1][:14]]
    csv = invoke(wine_container, (EXAMPLES / "wine/three.csv").read_bytes(), "text/csv").json()["predictions"]
    one = invoke(wine_container, (EXAMPLES / "wine/one.json").read_bytes(), "application/json").json()["predictions"]
    lines = invoke(wine_container, (EXAMPLES / "wine/ten.jsonl").read_bytes(), "application/jsonlines")
    assert lines.headers["content-type"] == "application/jsonlines"
    ten = [json.loads(line) for line in lines.text.splitlines()]
    assert [prediction["label"] for prediction in [*csv, *one, *ten]] == expected


@pytest.mark.parametrize("digit", range(10))
def test_digits_is_right_about_the_examples(digits_container: TestClient, digit: int) -> None:
    answer = invoke(digits_container, (EXAMPLES / f"digits/{digit}.png").read_bytes(), "image/png")
    assert answer.json() == {"predictions": [{"label": digit}]}


def test_a_picture_of_any_size_and_mode(digits_container: TestClient) -> None:
    with Image.open(EXAMPLES / "digits/3.png") as picture:
        larger = io.BytesIO()
        picture.convert("RGB").resize((200, 200)).save(larger, "PNG")
    assert invoke(digits_container, larger.getvalue(), "image/png").json() == {"predictions": [{"label": 3}]}


def test_wine_answers_in_csv_when_asked(wine_container: TestClient) -> None:
    answer = invoke(wine_container, ",".join(map(str, ROW)), "text/csv", Accept="text/csv")
    assert answer.text.startswith("class_0,0.98")
    assert answer.text.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "content_type", "status", "says"),
    [
        ("1,2,3", "text/csv", 400, "row 1 has 3 values; send 13"),
        (",".join(["x"] * 13), "text/csv", 400, "row 1, column 1 is not a number"),
        ("", "text/csv", 400, "there is no row"),
        ("{", "application/json", 400, "not JSON"),
        ("[1]", "application/json", 400, "instances"),
        ('{"instances": [7]}', "application/json", 400, "row 1 has int values; send 13"),
        (b"\xff", "text/csv", 400, "UTF-8"),
        ("x", "image/png", 415, "send text/csv"),
        (",".join(["nan"] * 13), "text/csv", 500, "Input X contains NaN"),
    ],
)
def test_wine_describes_invalid_input(
    wine_container: TestClient, body: bytes | str, content_type: str, status: int, says: str
) -> None:
    answer = invoke(wine_container, body, content_type)
    assert answer.status_code == status
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [(b"not a picture", "image/png", 400), (b"\x89PNG\r\n\x1a\n", "image/png", 400), (b"", "text/csv", 415)],
)
def test_digits_describes_invalid_input(
    digits_container: TestClient, body: bytes, content_type: str, status: int
) -> None:
    answer = invoke(digits_container, body, content_type)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_the_examples_are_what_the_script_makes(tmp_path: Path) -> None:
    make(tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.glob("*/*")}
    inputs = [path for endpoint in ("wine", "digits") for path in (EXAMPLES / endpoint).iterdir()]
    assert made == {path.relative_to(EXAMPLES): path.read_bytes() for path in inputs}


@pytest.fixture(scope="module")
def chat_container() -> TestClient:
    return TestClient(create_app(Chat()))


def prompt(text: str, **options: Any) -> str:
    return json.dumps({"model": "any", "messages": [{"role": "user", "content": text}], **options})


def test_chat_answers_a_chat_completion_that_says_what_it_is(chat_container: TestClient) -> None:
    found = invoke(chat_container, prompt("When is a message acknowledged?"), "application/json").json()
    assert found["object"] == "chat.completion"
    assert found["id"].startswith("chatcmpl-")
    (choice,) = found["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"]["role"] == "assistant"
    content = choice["message"]["content"]
    assert "A message is acknowledged only after its outcome is stored." in content
    assert content.endswith(NOTE)
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] == 6
    parts = [{"type": "text", "text": "When is a message acknowledged?"}]
    same = json.dumps({"model": "any", "messages": [{"role": "user", "content": parts}]})
    assert invoke(chat_container, same, "application/json").json()["choices"] == found["choices"]


def test_chat_is_asked_by_the_last_message_of_the_user() -> None:
    chat = Chat()
    messages = [{"role": "system", "content": "zzz"}, {"role": "user", "content": "parts"}]
    body = json.dumps({"model": "m", "messages": [*messages, {"role": "assistant", "content": "yes"}]})
    found = json.loads(chat.predict(body.encode(), "application/json", "*/*").body)
    assert found["choices"][0]["message"]["content"] == chat.answer("parts")
    assert chat.answer("zzz").startswith("No sentence of the documentation")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_chat_answers_as_many_tokens_as_allowed(chat_container: TestClient, name: str) -> None:
    found = invoke(chat_container, prompt("acknowledged", **{name: 5}), "application/json").json()
    assert found["usage"]["completion_tokens"] == 5
    assert found["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ("[1]", 400, None),
        ("{", 400, None),
        ('{"messages": []}', 400, "model"),
        ('{"model": "m"}', 400, "messages"),
        ('{"model": "m", "messages": []}', 400, "messages"),
        ('{"model": "m", "messages": [{"role": "system", "content": "x"}]}', 400, "messages"),
        ('{"model": "m", "messages": [{"role": "user", "content": 7}]}', 400, "messages"),
        (prompt("x", stream=True), 400, "stream"),
        (prompt("x", n=2), 400, "n"),
        (prompt("x", max_tokens="7"), 400, "max_completion_tokens"),
    ],
)
def test_chat_describes_invalid_input_as_openai_does(
    chat_container: TestClient, body: str, status: int, param: str | None
) -> None:
    answer = invoke(chat_container, body, "application/json")
    assert answer.status_code == status
    found = answer.json()["error"]
    assert (found["type"], found["param"]) == ("invalid_request_error", param)
    assert found["message"]


def test_chat_wants_json(chat_container: TestClient) -> None:
    assert invoke(chat_container, prompt("x"), "text/csv").status_code == 415
