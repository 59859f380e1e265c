"""OpenAI's API over the buckets: the status of a batch from what is stored, pages, mistakes, limits."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws
from starlette.testclient import TestClient

import cli.openai_api.app
import cli.openai_api.files
from cli.main import main
from cli.openai_api.app import create_app
from cli.openai_api.batches import Batches
from cli.openai_api.files import Files
from cli.openai_api.results import Results
from cli.openai_api.status import Statuses
from cli.openai_api.store import Store
from sluice import keys

CHAT = "/v1/chat/completions"
REQUEST = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "chat", "messages": []}}
KEY = {"Authorization": "Bearer any"}


class Api:
    """The API over the buckets `input` and `results`."""

    def __init__(self, s3: Any, api_key: str | None = None, **options: Any) -> None:
        self.s3 = s3
        inputs, results = Store(s3, "input"), Results(Store(s3, "results"))
        files = Files(inputs, results)
        options = {"endpoint_names": ("wine", "chat"), "default_endpoint_name": "wine"} | options
        batches = Batches(inputs, files, Statuses(results), **options)
        self.http = TestClient(create_app(files, batches, api_key), headers=KEY, raise_server_exceptions=False)

    def upload(self, content: bytes = json.dumps(REQUEST).encode(), name: str = "prompts.jsonl") -> str:
        answer = self.http.post("/v1/files", data={"purpose": "batch"}, files={"file": (name, content)})
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["id"]
        return found

    def create(self, file_id: str | None = None, **changes: Any) -> Any:
        body = {"input_file_id": file_id or self.upload(), "endpoint": CHAT, "completion_window": "24h"} | changes
        return self.http.post("/v1/batches", json={name: value for name, value in body.items() if value is not ...})

    def begun(self) -> tuple[str, str]:
        """The ID of a new batch, and the name of its result."""
        created = self.create().json()
        return created["id"], f"transform/openai-batches/{created['id'].removeprefix('batch_')}.jsonl"

    def batch(self, batch_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/v1/batches/{batch_id}").json()
        return found

    def store(self, key: str, body: bytes | dict[str, Any], **metadata: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.s3.put_object(Bucket="results", Key=key, Body=content, Metadata=metadata)


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for name in ("input", "results"):
            client.create_bucket(Bucket=name)
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def api(s3: Any) -> Api:
    return Api(s3)


def error(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    found: dict[str, Any] = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


def test_a_batch_is_a_copy_of_its_requests_that_the_pipeline_processes(api: Api, s3: Any) -> None:
    batch_id, name = api.begun()
    stored = s3.get_object(Bucket="input", Key=name)
    assert stored["Body"].read() == json.dumps(REQUEST).encode()
    assert stored["ContentType"] == "application/jsonlines"
    assert stored["Metadata"] == {"record-format": "OpenAIBatch", "request-url": CHAT, "endpoint-name": "chat"}
    assert api.batch(batch_id)["status"] == "validating"


@pytest.mark.parametrize(
    ("model", "option", "expected"), [("chat", None, "chat"), ("gpt-x", None, "wine"), ("chat", "wine", "wine")]
)
def test_which_endpoint_a_batch_calls(s3: Any, model: str, option: str | None, expected: str) -> None:
    api = Api(s3, endpoint_name=option)
    requests = json.dumps(REQUEST | {"body": {"model": model}})
    created = api.create(api.upload(requests.encode())).json()
    key = f"transform/openai-batches/{created['id'].removeprefix('batch_')}.jsonl"
    assert s3.head_object(Bucket="input", Key=key)["Metadata"]["endpoint-name"] == expected
    assert created["model"] == model


def test_the_status_follows_what_is_stored(api: Api) -> None:
    batch_id, name = api.begun()
    size, folder = len(json.dumps(REQUEST)), f"parts/{name}/version/"
    api.store(f"{folder}openai-batch.json", {"requests": 5, "duplicates": []})
    assert api.batch(batch_id)["status"] == "in_progress"
    assert api.batch(batch_id)["request_counts"] == {"total": 5, "completed": 0, "failed": 0}
    counts = {"records": "4", "failed": "1", "not-sent": "1"}
    api.store(keys.part_name(folder, 0, 10) + keys.OUT, b"", **counts)
    batch = api.batch(batch_id)
    assert (batch["status"], batch["request_counts"]) == ("in_progress", {"total": 5, "completed": 2, "failed": 1})
    api.store(keys.part_name(folder, 10, size) + keys.OUT, b"", records="2", failed="0")
    batch = api.batch(batch_id)
    assert (batch["status"], batch["request_counts"]) == ("finalizing", {"total": 5, "completed": 4, "failed": 1})
    assert batch["output_file_id"] is None
    api.store(name + keys.ERRORS, b"{}\n")
    times = {"started": "2026-01-02T03:04:05.678Z", "finished": "2026-01-02T03:05:05.678Z"}
    api.store(name + keys.SUMMARY, {"records": 6, "succeeded": 4, "failed": 1, "not_sent": 1, **times})
    assert api.batch(batch_id)["status"] == "finalizing", "the .out decides"
    answered, refused = b'{"id":"1","error":null}\n', b'{"id":"2","error":{"code":"x","message":"y"}}\n'
    api.store(name + keys.OUT, answered + refused)
    batch = api.batch(batch_id)
    assert (batch["status"], batch["request_counts"]) == ("completed", {"total": 5, "completed": 4, "failed": 1})
    assert (batch["in_progress_at"], batch["finalizing_at"]) == (1767323045, 1767323105)
    for file, content in (("output_file_id", answered), ("error_file_id", refused)):
        assert api.http.get(f"/v1/files/{batch[file]}/content").content == content
        assert api.http.get(f"/v1/files/{batch[file]}").json()["bytes"] == len(content)


@pytest.mark.parametrize(
    ("code", "status"), [("InvalidMessage", "failed"), ("ModelError", "failed"), ("Expired", "expired")]
)
def test_a_file_that_failed(api: Api, code: str, status: str) -> None:
    batch_id, name = api.begun()
    api.store(name + keys.ERR, {"ErrorCode": code, "ErrorMessage": "why"})
    batch = api.batch(batch_id)
    assert batch["status"] == status
    assert batch["errors"]["data"] == [{"code": code, "message": "why", "param": None, "line": None}]
    assert batch[f"{status}_at"] is not None
    api.s3.delete_object(Bucket="results", Key=name + keys.ERR)  # as a redrive that succeeds does
    assert api.batch(batch_id)["status"] == "validating"


def test_when_every_request_failed_the_batch_is_completed_with_an_error_file(api: Api) -> None:
    batch_id, name = api.begun()
    refused = {"Line": 1, "Id": "batch_req_1", "CustomId": "a", "ErrorCode": "ModelError", "ErrorMessage": "no"}
    refused |= {"OriginalStatusCode": 400, "OriginalMessage": '{"error": {"message": "m"}}', "TraceId": "t"}
    api.store(name + keys.ERRORS, json.dumps(refused).encode() + b"\n")
    api.store(name + keys.SUMMARY, {"succeeded": 0, "failed": 1})
    api.store(name + keys.ERR, {"ErrorCode": "NoRecordSucceeded", "ErrorMessage": "none"})
    batch = api.batch(batch_id)
    assert (batch["status"], batch["output_file_id"]) == ("completed", None)
    assert batch["request_counts"] == {"total": 1, "completed": 0, "failed": 1}
    (line,) = api.http.get(f"/v1/files/{batch['error_file_id']}/content").text.splitlines()
    assert json.loads(line) == {
        "id": "batch_req_1",
        "custom_id": "a",
        "response": {"status_code": 400, "request_id": "t", "body": {"error": {"message": "m"}}},
        "error": {"code": "ModelError", "message": "no"},
    }


def test_a_batch_that_was_stopped_before_all_requests_were_tried_has_failed(api: Api) -> None:
    batch_id, name = api.begun()
    api.store(name + keys.ERRORS, b"{}\n")
    api.store(name + keys.SUMMARY, {"succeeded": 0, "failed": 64, "untried": 136})
    api.store(name + keys.ERR, {"ErrorCode": "NoRecordSucceeded", "ErrorMessage": "none; line 1: no"})
    batch = api.batch(batch_id)
    assert batch["status"] == "failed"
    assert batch["errors"]["data"][0]["message"] == "none; line 1: no"


def test_pages_of_batches_and_files_begin_with_the_newest(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**18, 2 * 10**18, 10**9))
    monkeypatch.setattr("cli.openai_api.ids.time.time_ns", lambda: next(clock))
    files = [api.upload() for _ in range(3)]
    batches = [api.create(file).json()["id"] for file in files]
    first = api.http.get("/v1/batches?limit=2").json()
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (batches[:0:-1], True)
    rest = api.http.get(f"/v1/batches?limit=2&after={first['last_id']}").json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (batches[:1], False)
    listed = api.http.get("/v1/files?purpose=batch").json()["data"]
    assert {one["id"] for one in listed} == set(files)
    page = api.http.get(f"/v1/files?limit=1&after={listed[0]['id']}").json()
    assert (page["data"], page["has_more"]) == ([listed[1]], True)
    assert api.http.get("/v1/files?order=asc").json()["data"] == listed[::-1]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input_file_id": ...}, "input_file_id"),
        ({"endpoint": ...}, "endpoint"),
        ({"endpoint": "no path"}, "endpoint"),
        ({"completion_window": "7d"}, "completion_window"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
    ],
)
def test_a_mistake_in_a_batch_names_the_field(api: Api, changes: dict[str, Any], param: str) -> None:
    found = error(api.create(**changes), 400)
    assert (found["param"], found["type"]) == (param, "invalid_request_error")
    assert param in found["message"]
    assert not api.s3.list_objects_v2(Bucket="input", Prefix="transform/").get("Contents")


def test_an_empty_file_is_no_batch(api: Api) -> None:
    assert error(api.create(api.upload(b"")), 400)["code"] == "empty_file"


@pytest.mark.parametrize(
    ("data", "files", "param"),
    [
        ({}, {"file": ("a", b"1")}, "purpose"),
        ({"purpose": "assistants"}, {"file": ("a", b"1")}, "purpose"),
        ({"purpose": "batch"}, {"other": ("a", b"1")}, "other"),
        ({"purpose": "batch", "file": "text"}, {"x": ("a", b"1")}, "x"),
        ({"purpose": "batch", "expires_after[anchor]": "created_at"}, {"file": ("a", b"1")}, "expires_after[anchor]"),
        ({"purpose": "batch"}, {"file": ("a" * 300, b"1")}, "file"),
    ],
)
def test_a_mistake_in_an_upload_names_the_field(
    api: Api, data: dict[str, str], files: dict[str, Any], param: str
) -> None:
    assert error(api.http.post("/v1/files", data=data, files=files), 400)["param"] == param
    assert not api.s3.list_objects_v2(Bucket="input").get("Contents")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"{}", "application/json"), (b"x", "multipart/form-data"), (b"x", "multipart/form-data; boundary=b")],
)
def test_an_upload_that_is_no_form(api: Api, content: bytes, content_type: str) -> None:
    error(api.http.post("/v1/files", content=content, headers={"Content-Type": content_type}), 400)


def test_an_upload_over_the_limit_is_refused_before_it_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.openai_api.app, "_MAX_FORM_BYTES", 1000)
    form = {"data": {"purpose": "batch"}, "files": {"file": ("a", b"x" * 2000)}}
    assert error(api.http.post("/v1/files", **form), 413)["param"] == "file"  # type: ignore[arg-type]
    monkeypatch.undo()
    monkeypatch.setattr(cli.openai_api.files, "MAX_BYTES", 1000)
    error(api.http.post("/v1/files", **form), 413)  # type: ignore[arg-type]
    assert not api.s3.list_objects_v2(Bucket="input").get("Contents")


def test_json_over_the_limit(api: Api) -> None:
    error(api.create("file-1", metadata={"a": "x" * 100_000}), 413)


@pytest.mark.parametrize("path", ["files/file-1", "files/file-1/content", "batches/batch_1"])
def test_an_id_of_nothing(api: Api, path: str) -> None:
    error(api.http.get(f"/v1/{path}"), 404)
    error(api.http.get(f"/v1/{path.replace('1', '0' * 24)}"), 404)


def test_a_result_that_is_not_there_is_no_file(api: Api) -> None:
    batch_id, _ = api.begun()
    error(api.http.get(f"/v1/files/file-{batch_id.removeprefix('batch_')}-output"), 404)


def test_a_file_that_is_deleted_leaves_its_batches(api: Api) -> None:
    file_id = api.upload()
    batch_id = api.create(file_id).json()["id"]
    assert api.http.delete(f"/v1/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    error(api.http.delete(f"/v1/files/{file_id}"), 404)
    error(api.create(file_id), 404)
    assert api.batch(batch_id)["input_file_id"] == file_id


def test_a_batch_cannot_be_cancelled(api: Api) -> None:
    batch_id, _ = api.begun()
    assert "cannot cancel" in error(api.http.post(f"/v1/batches/{batch_id}/cancel"), 400)["message"]
    error(api.http.post("/v1/batches/batch_1/cancel"), 404)


@pytest.mark.parametrize(
    ("api_key", "sent", "status"),
    [
        (None, None, 401),
        (None, "Bearer ", 401),
        (None, "Basic any", 401),
        (None, "Bearer any", 200),
        ("secret", "Bearer any", 401),
        ("secret", "Bearer secret", 200),
    ],
)
def test_a_token_is_always_needed_so_that_no_web_page_can_use_the_server(
    s3: Any, api_key: str | None, sent: str | None, status: int
) -> None:
    http = Api(s3, api_key).http
    del http.headers["Authorization"]
    answer = http.get("/v1/batches", headers={} if sent is None else {"Authorization": sent})
    assert answer.status_code == status
    if status == 401:
        assert error(answer, 401)["code"] == "invalid_api_key"


def test_an_error_of_aws_is_one_of_the_server(api: Api) -> None:
    api.s3.delete_bucket(Bucket="results")
    assert error(api.http.get("/v1/files"), 502)["type"] == "server_error"


def test_other_addresses_need_a_key() -> None:
    result = CliRunner().invoke(main, ["openai-server", "--host", "0.0.0.0"])
    assert result.exit_code == 2
    assert re.search(r"--api-key: is required", result.stderr)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "cli.openai_api.server", raising=False)
    result = CliRunner().invoke(main, ["openai-server"])
    assert result.exit_code == 1
    assert "uvicorn is not installed" in result.stderr
