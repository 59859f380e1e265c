"""The unmodified `openai` client against `sluice openai-server`, over the local run and its chat model."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import openai
import pytest
from openai.types import Batch

from local.models.chat import Chat
from tests.e2e.commands import start
from tests.e2e.conftest import ROOT, Pipeline

CHAT: Final = "/v1/chat/completions"
_SECONDS = 60.0


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[openai.OpenAI]:
    server = start(pipeline, "openai-server", "--port", "0")
    try:
        assert server.stdout is not None
        line = server.stdout.readline().strip()
        name, _, url = line.removeprefix("export ").partition("=")
        assert name == "OPENAI_BASE_URL", line + server.stdout.read()
        with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client:
            yield client
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if server.stdout is not None:
            server.stdout.close()


def request(name: str, prompt: str, **changes: Any) -> dict[str, Any]:
    body = {"model": "chat", "messages": [{"role": "user", "content": prompt}]}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body} | changes


def upload(client: openai.OpenAI, requests: list[dict[str, Any]], name: str = "prompts.jsonl") -> str:
    content = "".join(json.dumps(one) + "\n" for one in requests).encode()
    return client.files.create(file=(name, io.BytesIO(content)), purpose="batch").id


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        batch = client.batches.retrieve(batch.id)
        if batch.status in {"completed", "failed", "expired", "cancelled"}:
            return batch
        assert batch.status in {"validating", "in_progress", "finalizing"}
        time.sleep(0.1)
    raise AssertionError(batch)


def lines(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_a_batch_from_its_file_to_its_answers(client: openai.OpenAI) -> None:
    prompts = [f"How is part {n} of a dataset stored?" for n in range(40)]
    requests = [request(f"r-{n}", prompt) for n, prompt in enumerate(prompts)]
    requests[7]["body"] = {"model": "chat"}  # the model refuses it
    requests[9]["url"] = "/v1/embeddings"
    requests[11]["custom_id"] = "r-3"
    file_id = upload(client, requests)
    created = client.batches.create(
        input_file_id=file_id, endpoint=CHAT, completion_window="24h", metadata={"job": "nightly"}
    )
    assert created.status == "validating"
    batch = ended(client, created)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (40, 37, 3)
    assert (batch.endpoint, batch.completion_window, batch.input_file_id) == (CHAT, "24h", file_id)
    assert batch.metadata == {"job": "nightly"}
    assert batch.model == "chat"
    assert batch.completed_at is not None
    assert batch.completed_at >= batch.created_at

    chat = Chat()
    answers = lines(client, batch.output_file_id)
    good = [n for n in range(40) if n not in {7, 9, 11}]
    assert [one["custom_id"] for one in answers] == [f"r-{n}" for n in good], "in the order of the input"
    for number, one in zip(good, answers, strict=True):
        assert one["error"] is None
        assert one["response"]["status_code"] == 200
        assert one["response"]["body"]["object"] == "chat.completion"
        assert one["response"]["body"]["choices"][0]["message"]["content"] == chat.answer(prompts[number])
    refused = lines(client, batch.error_file_id)
    assert [one["custom_id"] for one in refused] == ["r-7", "r-9", "r-3"]
    assert refused[0]["response"]["status_code"] == 400
    assert refused[0]["response"]["body"]["error"]["param"] == "messages"
    assert [one["response"] for one in refused[1:]] == [None, None]
    assert "url: must be the file's request-url, /v1/chat/completions" in refused[1]["error"]["message"]
    assert "custom_id: " in refused[2]["error"]["message"]

    assert batch.output_file_id is not None
    output = client.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output"
    assert output.bytes == len(client.files.content(output.id).content)
    listed = {one.id for one in client.files.list(purpose="batch_output")}
    assert {batch.output_file_id, batch.error_file_id} <= listed
    assert batch.id in {one.id for one in client.batches.list(limit=1)}, "pages follow each other"
    with pytest.raises(openai.BadRequestError, match=r"s3://.*delete the objects|delete the objects s3://"):
        client.files.delete(output.id)
    with pytest.raises(openai.BadRequestError, match="cannot cancel"):
        client.batches.cancel(batch.id)


def test_a_batch_whose_requests_are_all_refused_has_an_error_file_only(client: openai.OpenAI) -> None:
    requests = [request("a", "", body={"model": "chat"}), request("b", "", body={"model": "chat", "messages": "x"})]
    batch = ended(
        client,
        client.batches.create(input_file_id=upload(client, requests), endpoint=CHAT, completion_window="24h"),
    )
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.failed) == (2, 2)
    refused = lines(client, batch.error_file_id)
    assert [(one["custom_id"], one["response"]["status_code"]) for one in refused] == [("a", 400), ("b", 400)]
    assert all(one["error"]["code"] == "ModelError" for one in refused)
    assert len({one["id"] for one in refused}) == 2


def test_files(client: openai.OpenAI) -> None:
    file_id = upload(client, [request("a", "hello")], "my prompts, é.jsonl")
    file = client.files.retrieve(file_id)
    assert (file.filename, file.purpose, file.object) == ("my prompts, é.jsonl", "batch", "file")
    content = client.files.content(file_id).content
    assert json.loads(content) == request("a", "hello")
    assert file.bytes == len(content)
    assert file_id in {one.id for one in client.files.list(purpose="batch", limit=1)}
    assert client.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError, match=file_id):
        client.files.retrieve(file_id)
    assert file_id not in {one.id for one in client.files.list()}


def test_mistakes_are_explained_in_openais_form(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="purpose: must be batch") as caught:
        client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    assert (caught.value.param, caught.value.type) == ("purpose", "invalid_request_error")
    file_id = upload(client, [request("a", "hello")])
    with pytest.raises(openai.BadRequestError, match="completion_window: must be 24h"):
        client.batches.create(
            input_file_id=file_id,
            endpoint=CHAT,
            completion_window="1h",  # type: ignore[arg-type]
        )
    with pytest.raises(openai.NotFoundError, match="No such File"):
        client.batches.create(input_file_id="file-unknown", endpoint=CHAT, completion_window="24h")
    with pytest.raises(openai.NotFoundError, match="No such Batch"):
        client.batches.retrieve("batch_unknown")
    with pytest.raises(openai.BadRequestError, match="metadata"):
        client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h", metadata={"a": "x" * 513})
    with pytest.raises(openai.NotFoundError, match="Unknown request URL"):
        client.models.list()


def test_the_code_of_the_docs(client: openai.OpenAI) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/openai-batch.md").read_text(), re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "OPENAI_BASE_URL": str(client.base_url), "OPENAI_API_KEY": "any"},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert run.stdout.startswith("completed BatchRequestCounts(completed=5, failed=2, total=7)"), run
    answers = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert [one["custom_id"] for one in answers if one["error"]] == ["no-messages", "split"]
    assert len(answers) == 7
