"""The `sluice` command against the local run."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from local.aws import environment
from tests.e2e.conftest import EXAMPLES, ROOT, Pipeline

ROW = [13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]
COMMAND = [sys.executable, "-m", "cli"]


@dataclass(frozen=True)
class Run:
    code: int
    out: bytes
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Sluice = Callable[..., Run]


def variables(pipeline: Pipeline) -> dict[str, str]:
    return {**environment(), "AWS_ENDPOINT_URL": pipeline.engine.url, **pipeline.trust()}


@pytest.fixture
def sluice(pipeline: Pipeline) -> Sluice:
    """The command in this process, which is faster than a new process for each call."""
    of_others = dict.fromkeys((one for one in os.environ if one.startswith("AWS_")), None)

    def run(*arguments: str | Path, stdin: bytes = b"") -> Run:
        done = CliRunner(env={**of_others, **variables(pipeline)}).invoke(main, [*map(str, arguments)], input=stdin)
        assert isinstance(done.exception, SystemExit | None), done.exception
        return Run(done.exit_code, done.stdout_bytes, done.stderr)

    return run


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_send_status_result(sluice: Sluice, name: str) -> None:
    sent = sluice("send", EXAMPLES / "wine/one.json", "--inference-id", name, "--trace-id", f"t-{name}", "--json")
    assert sent.code == 0, sent.err
    assert sent.documents[0]["Name"] == f"messages/{name}"
    waited = sluice("wait", name, sent.documents[0]["MessageId"], f"t-{name}", "--json")
    assert [one["State"] for one in waited.documents] == ["done"] * 3, "by each of its IDs"
    status = sluice("status", f"t-{name}")
    assert status.code == 0
    assert f"Name:                     messages/{name}\n".encode() in status.out
    result = sluice("result", name)
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["predictions"][0]["label"] == "class_2"
    as_json = sluice("result", name, "--json").documents[0]
    assert as_json["Body"] == json.loads(result.out)
    assert as_json["TraceId"] == f"t-{name}"


def test_a_picture_is_sent_and_its_answer_shown(sluice: Sluice, tmp_path: Path) -> None:
    picture = (EXAMPLES / "digits/7.png").read_bytes()
    sent = sluice("send", "-", "--endpoint-name", "digits", "--content-type", "image/png", "--wait", stdin=picture)
    assert (sent.code, sent.out) == (0, b'{"predictions": [{"label": 7}]}')
    inference_id = sent.err.removeprefix("Sent ").partition(";")[0]
    assert sluice("result", inference_id, "--output", tmp_path / "7.json").out == b""
    assert (tmp_path / "7.json").read_bytes() == sent.out
    assert sluice("result", inference_id, "--output", tmp_path / "no/7.json").code == 2


def test_poison_is_explained(sluice: Sluice, name: str) -> None:
    body = json.dumps({"instances": [ROW[:12]]})
    sent = sluice("send", "--body", body, "--inference-id", name, "--wait", "--endpoint-name", "wine")
    assert (sent.code, sent.out) == (3, b"")
    assert "row 1 has 12 values; send 13" in sent.err
    status = sluice("status", name, "--json")
    assert status.code == 3
    assert status.documents[0]["ErrorCode"] == "ModelError"
    assert status.documents[0]["OriginalStatusCode"] == 400
    result = sluice("result", name)
    assert (result.code, result.out) == (3, b"")
    assert result.err.count("\n") == 1, "the reason in one line"


def test_a_request_that_failed_may_be_sent_again(sluice: Sluice, name: str) -> None:
    request = {"InferenceId": name, "EndpointName": "wine"}
    short, right = ({**request, "Body": {"instances": [row]}} for row in (ROW[:12], ROW))
    assert sluice("send", "--message", json.dumps(short), "--wait").code == 3
    again = sluice("send", "--message", json.dumps(right), "--wait")
    assert again.code == 0, again.err
    assert sluice("status", name).code == 0, "its .err is gone"


@pytest.mark.parametrize("row", [ROW, ROW[:11]])
@pytest.mark.parametrize("is_awaited_by_send", [True, False])
def test_a_request_that_is_sent_again_is_waited_for(
    sluice: Sluice, pipeline: Pipeline, name: str, row: list[float], *, is_awaited_by_send: bool
) -> None:
    request = {"InferenceId": name, "EndpointName": "wine"}
    assert sluice("send", "--message", json.dumps({**request, "Body": {"instances": [ROW[:12]]}}), "--wait").code == 3
    pipeline.faults({"fault": "delay", "delay_seconds": 2, "inference_id": name})
    again = json.dumps({**request, "Body": {"instances": [row]}})
    code = 0 if row is ROW else 3
    if is_awaited_by_send:
        done = sluice("send", "--message", again, "--wait")
    else:
        sluice("send", "--message", again)
        done = sluice("wait", name)
    assert done.code == code, done.err
    assert code == 0 or "has 11 values" in done.err + done.out.decode(), "not the reason of the first attempt"


@pytest.mark.parametrize(
    "shape", ["invoke/{}", "transform/{}.csv", "messages/{}", "files/x/{}", "s3://{}", "50% {}  off"]
)
def test_an_inference_id_that_looks_like_a_key(sluice: Sluice, name: str, shape: str) -> None:
    inference_id = shape.format(name)
    sent = sluice(
        "send", EXAMPLES / "wine/one.json", "--inference-id", inference_id, "--endpoint-name", "wine", "--wait"
    )
    assert sent.code == 0, sent.err
    printed = sent.err.partition("its result will be ")[2].strip()
    for text in (inference_id, printed, printed.removesuffix(".out")):
        assert sluice("wait", text).code == 0
        assert sluice("status", text).code == 0
        assert sluice("result", text).out == sent.out


def test_two_requests_with_one_filename_in_a_folder(sluice: Sluice, name: str) -> None:
    options = ("--endpoint-name", "wine", "--s3-output-path-extension", f"{name}/sub", "--filename", "answer.json")
    one, two = f"one/{name}", f"two/{name}"
    first = sluice("send", EXAMPLES / "wine/one.json", *options, "--inference-id", one, "--wait")
    assert first.code == 0, first.err
    second = sluice("send", EXAMPLES / "wine/one.json", *options, "--inference-id", two, "--wait")
    assert (second.code, second.out) == (3, b"")
    assert "another request's result has this name" in second.err
    for text in (one, f"files/{name}/sub/answer.json", f"files/{name}/sub/answer.json.out"):
        assert sluice("result", text).out == first.out
    for text in (
        two,
        f"messages/{name}/sub/two%2F{name}@answer.json",
        f"messages/{name}/sub/two%2F{name}@answer.json.err",
    ):
        assert sluice("status", text).code == 3


def test_an_invalid_message_from_another_sender(sluice: Sluice, pipeline: Pipeline, name: str) -> None:
    message_id = pipeline.send(f'{{"InferenceId": "{name}", ')
    waited = sluice("wait", message_id, "--json")
    assert waited.code == 3
    assert "is not JSON" in waited.documents[0]["Reason"]


def test_drop_a_folder_and_wait(sluice: Sluice, tmp_path: Path, name: str) -> None:
    for digit in (3, 5):
        (tmp_path / f"sub {digit}").mkdir()
        (tmp_path / f"sub {digit}" / "ü.png").write_bytes((EXAMPLES / f"digits/{digit}.png").read_bytes())
    (tmp_path / "empty.png").touch()
    dropped = sluice(
        "drop",
        tmp_path,
        "--to",
        f"invoke/digits/{name}",
        "--metadata",
        "custom-attributes=team=blue",
        "--wait",
        "--json",
    )
    assert dropped.code == 3
    states = {one["Request"].removeprefix(f"invoke/digits/{name}/"): one["State"] for one in dropped.documents}
    assert states == {"sub 3/ü.png": "done", "sub 5/ü.png": "done", "empty.png": "failed"}
    assert sluice("result", f"invoke/digits/{name}/sub 5/ü.png").out == b'{"predictions": [{"label": 5}]}'
    trace_id = next(one["TraceId"] for one in dropped.documents if one["State"] == "done")
    assert sluice("status", trace_id, "--json").documents[0]["State"] == "done"


def test_drop_a_file_to_transform(sluice: Sluice, name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.csv"
    row = ",".join(map(str, ROW))
    file.write_text(f"{row}\n1,2\n{row}\n")
    dropped = sluice(
        "drop", file, "--to", "transform/", "--endpoint-name", "wine", "--metadata", "accept=text/csv", "--wait"
    )
    assert dropped.code == 0, dropped.err
    assert dropped.out.decode() == (
        f"Request\tState\tReason\ntransform/wine/{name}.csv\tdone\t"
        f"1 of 3 records failed; see transform/wine/{name}.csv.errors.jsonl\n"
    )
    status = sluice("status", f"transform/wine/{name}.csv", "--json").documents[0]
    assert (status["Records"], status["RecordsFailed"]) == (3, 1)
    assert sluice("result", f"transform/wine/{name}.csv").out.splitlines()[1] == b""


def test_retrying_then_done(sluice: Sluice, pipeline: Pipeline, name: str) -> None:
    pipeline.faults({"fault": "ThrottlingException", "inference_id": name, "times": 1})
    sluice("send", "--message", json.dumps({"InferenceId": name, "EndpointName": "wine", "Body": {"instances": [ROW]}}))
    assert sluice("wait", name, "--timeout", "60s").code == 0


def test_no_outcome_in_time(sluice: Sluice, pipeline: Pipeline, name: str) -> None:
    pipeline.faults({"fault": "delay", "delay_seconds": 3, "inference_id": name})
    sent = sluice(
        "send", "--body", "1,2", "--inference-id", name, "--wait", "--timeout", "0s", "--endpoint-name", "wine"
    )
    assert sent.code == 5, sent.err
    assert f"messages/{name} is pending" in sent.err
    assert sluice("wait", name).code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["send", "--body", "x", "--endpoint-name", "wein"], 2, "EndpointName: is not one of this deployment's"),
        (["send", "--body", "x", "--trace-id", "a b"], 2, "TraceId: must be visible ASCII"),
        (["send"], 2, "exactly one of the three must be given; found none"),
        (["send", "no-such-file"], 2, "No such file"),
        (["send", "--body", "x" * 1_050_000], 2, "over the 1,040,384 that the queue takes"),
        (["drop", str(EXAMPLES / "wine/one.json"), "--metadata", "acept=x"], 2, "did you mean accept?"),
        (["drop", str(EXAMPLES / "wine/one.json"), "--to", "elsewhere"], 2, "must begin with invoke/ or transform/"),
        (["status", "invoke/../" + "x" * 60], 2, "key: must not have"),
        (["result", "invoke/../x"], 4, "nothing is known of invoke/../x: key: must not have"),
        (["result", "no-such-request"], 4, "nothing is known of no-such-request"),
        (["status", "x", "--stack", "Nothing"], 4, "there is no stack Nothing"),
        (["watch", "--once", "--profile", "nobody"], 2, "--profile: "),
    ],
)
def test_errors_are_one_line(sluice: Sluice, arguments: list[str], code: int, says: str) -> None:
    run = sluice(*arguments)
    assert (run.code, run.out) == (code, b"")
    assert run.err.splitlines()[-1].startswith("Error: ")
    assert says in run.err.splitlines()[-1]
    assert "Traceback" not in run.err


def test_watch_shows_the_latest_outcomes(sluice: Sluice, name: str, tmp_path: Path) -> None:
    sluice("send", "--body", "1,2", "--inference-id", name, "--wait", "--endpoint-name", "wine")
    picture = tmp_path / "watch.svg"
    (frame,) = sluice("watch", "--once", "--json", "--svg", picture).documents
    assert sum(frame["PerMinute"]["Failed"]) >= 1
    assert "ModelError" in {reason["ErrorCode"] for reason in frame["Reasons"]}
    assert f"messages/{name}" in {line.get("result") for line in frame["Latest"]}
    assert next(one for one in frame["Queues"] if one["Queue"] == "dead letters")["Visible"] >= 1
    assert picture.read_text().count("<text") > 20
    plain = sluice("watch", "--once").out.decode()
    assert "dead letters" in plain
    assert "\x1b" not in plain


@pytest.mark.parametrize(("arguments", "code"), [(["watch", "--json"], 0), (["wait", "never-sent"], 130)])
def test_ctrl_c_ends_it(pipeline: Pipeline, arguments: list[str], code: int, tmp_path: Path) -> None:
    log = tmp_path / "out"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=variables(pipeline),
        )
        deadline = time.monotonic() + 30
        while arguments[0] == "watch" and not log.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.1)
        if arguments[0] != "watch":
            time.sleep(4)  # it prints nothing before the end
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert err.decode() == ("" if code == 0 else "Error: interrupted\n")


def test_completion() -> None:
    def complete(**how: str) -> bytes:
        return subprocess.run(COMMAND, env={**os.environ, **how}, cwd=ROOT, capture_output=True, check=True).stdout

    assert b"_SLUICE_COMPLETE=bash_complete" in complete(_SLUICE_COMPLETE="bash_source")
    assert complete(_SLUICE_COMPLETE="bash_complete", COMP_WORDS="sluice re", COMP_CWORD="1") == b"plain,result\n"
