"""The real `mlflow models serve`, where it is installed: a CSV of pandas, line by line as asked row by row.

Install it in an environment of its own, and name its command: `MLFLOW=/path/to/bin/mlflow make test`.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from local.process import free_port
from sluice.failures import Operation
from sluice.ports import Inference
from tests.support.fakes import Call, service_error
from tests.support.transform import Transforms

MLFLOW = os.environ.get("MLFLOW") or shutil.which("mlflow")
KEY = "transform/texts.csv"
STARTING_SECONDS = 120

pytestmark = pytest.mark.skipif(MLFLOW is None, reason="mlflow is not installed; MLFLOW=/path/to/bin/mlflow")

# Says of each row how long its text is, as one value and as two.
MODEL = """
import mlflow
import pandas as pd

class Lengths(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["text"].str.len() + model_input["number"].astype(int)

class Columns(Lengths):
    def predict(self, context, model_input, params=None):
        # pandas takes the type of a column from all rows of a call: one text makes texts of all numbers.
        number = model_input["number"].astype(int)
        return pd.DataFrame({"length": model_input["text"].str.len(), "number": number})

for name, model in (("lengths", Lengths()), ("columns", Columns())):
    mlflow.pyfunc.save_model(name, python_model=model, pip_requirements=["mlflow"])
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models, saved by MLflow itself."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "save.py").write_text(MODEL)
    python = Path(str(MLFLOW)).parent / "python"
    subprocess.run([str(python), "save.py"], cwd=folder, env=environment(), check=True, capture_output=True)
    return folder


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return inherited | {"PATH": f"{Path(str(MLFLOW)).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(params=["lengths", "columns"])
def url(request: pytest.FixtureRequest, models: Path) -> Iterator[str]:
    """The URL of a served model."""
    port = free_port()
    command = [str(MLFLOW), "models", "serve", "--model-uri", request.param, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (models / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=models, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield started(f"http://127.0.0.1:{port}", server, models / "log")
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


def started(url: str, server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            if httpx2.get(f"{url}/ping").status_code == 200:
                return url
        except httpx2.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def ask(url: str, body: bytes) -> httpx2.Response:
    return httpx2.post(f"{url}/invocations", content=body, headers={"Content-Type": "text/csv"}, timeout=60)


def table(rows: list[list[object]]) -> bytes:
    """As pandas' `to_csv` writes it: quotes where they are needed, and `\\n`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_each_line_is_its_rows_answer(url: str, strategy: str) -> None:
    header: list[object] = ["text", "number"]
    rows: list[list[object]] = [[f'row {n}, "quoted"\nsecond line' * (n % 4 + 1), n] for n in range(40)]
    rows[17][1] = "none"  # which the model refuses, alone and together with others
    world = Transforms()

    def answer(call: Call) -> Inference | Exception:
        response = ask(url, call.body)
        if response.status_code != 200:
            return service_error(
                Operation.INVOKE, "ModelError", "refused", status=424, original_status_code=response.status_code
            )
        return Inference(response.content, response.headers["content-type"])

    world.endpoint.answer = answer
    world.drop(KEY, table([header, *rows]), metadata={"csv-header": "repeat", "batch-strategy": strategy})
    world.run()
    first, *lines = world.out(KEY).decode().split("\n")[:-1]
    assert first == ""
    for number, (row, line) in enumerate(zip(rows, lines, strict=True)):
        if number == 17:
            assert line == ""
            continue
        alone = ask(url, table([header, row])).json()["predictions"]
        given = json.loads(line)
        assert (given["predictions"] if strategy == "SingleRecord" else [given]) == alone
