"""Edge cases of the sample models: every form of the same rows, input that breaks parsers, the real process."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from local.models.contract import create_app
from local.models.digits import Digits
from local.models.wine import FEATURES, Wine
from local.process import free_port

ROOT = Path(__file__).parents[2]
WINE = TestClient(create_app(Wine()))
DIGITS = TestClient(create_app(Digits()))
ONES = ",".join("1" * FEATURES)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
ROWS = st.lists(st.lists(NUMBERS, min_size=FEATURES, max_size=FEATURES), min_size=1, max_size=20)


def invoke(model: TestClient, body: bytes | str, content_type: str) -> httpx2.Response | Any:
    return model.post("/invocations", content=body, headers={"Content-Type": content_type})


@given(ROWS)
def test_the_same_rows_have_the_same_predictions_in_every_form(rows: list[list[float]]) -> None:
    as_json = invoke(WINE, json.dumps({"instances": rows}), "application/json").json()["predictions"]
    csv = "".join(f"{','.join(map(str, row))}\n" for row in rows)
    lines = invoke(WINE, "\n".join(map(json.dumps, rows)), "application/jsonlines").text.splitlines()
    assert len(as_json) == len(rows)
    assert invoke(WINE, csv, "text/csv").json()["predictions"] == as_json
    assert [json.loads(line) for line in lines] == as_json


def test_empty_lines_are_ignored_and_content_types_are_case_insensitive() -> None:
    assert len(invoke(WINE, f"{ONES}\n\n{ONES}\n\n", "Text/CSV; charset=utf-8").json()["predictions"]) == 2


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (
            f"{','.join(['alcohol'] * FEATURES)}\n{ONES}",
            "text/csv",
            "row 1, column 1 is not a number; send the numbers",
        ),
        (f"{ONES}\n{ONES[:-1]}x", "text/csv", "row 2, column 13 is not a number"),
        ("9" * 200_000, "text/csv", "line 1 is not CSV"),
        (f"[{ONES}]\n\n{{", "application/jsonlines", "line 3 is not JSON"),
        ("[" * 100_000, "application/json", "the body is not JSON"),
        (f'{{"instances": [[{ONES[:-1]}true]]}}', "application/json", "row 1, column 13 is not a number"),
        (f'{{"instances": [[{ONES[:-1]}null]]}}', "application/json", "row 1, column 13 is not a number"),
    ],
)
def test_invalid_input_is_a_400_that_names_the_position(body: str, content_type: str, says: str) -> None:
    answer = invoke(WINE, body, content_type)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
def test_numbers_that_break_the_model_are_a_500(value: str) -> None:
    answer = invoke(WINE, f"{ONES[:-1]}{value}", "text/csv")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("ValueError: Input X contains")


def test_a_damaged_picture_is_a_400_or_still_a_picture() -> None:
    picture = (ROOT / "examples/digits/7.png").read_bytes()
    dice = random.Random(7)
    damaged = [picture[: dice.randrange(len(picture))] for _ in range(100)]
    for _ in range(300):
        at = dice.randrange(8, len(picture))
        damaged.append(picture[:at] + dice.randbytes(1) + picture[at + 1 :])
    statuses = {invoke(DIGITS, body, "image/png").status_code for body in damaged}
    assert statuses == {200, 400}


def test_a_container_as_a_process() -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen([sys.executable, "-m", "local.models", "wine", "--port", str(port)], cwd=ROOT)
    with _ended(process):
        deadline = time.monotonic() + 60
        while not _pings(url):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # It responds only after it is trained.
        answer = httpx2.post(
            f"{url}/invocations",
            content=(ROOT / "examples/wine/three.csv").read_bytes(),
            headers={"Content-Type": "text/csv", "X-Amzn-SageMaker-Custom-Attributes": "t-1"},
            trust_env=False,
        )
        assert [one["label"] for one in answer.json()["predictions"]] == ["class_2", "class_0", "class_2"]
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "Trace ID: t-1"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _pings(url: str) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return httpx2.get(f"{url}/ping", trust_env=False).status_code == 200
    return False
