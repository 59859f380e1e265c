"""`sluice audit` on the local run: real requests have no violation, and what is broken by hand is named."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from sluice.keys import parts_folder
from tests.e2e.commands import rows, sluice
from tests.e2e.conftest import EXAMPLES, Pipeline
from tests.e2e.test_pipeline import ROW, WINE


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def prefixes(name: str) -> list[str]:
    """Those of this test's requests: the deployment has those of other tests, too."""
    return [f"invoke/wine/{name}/", f"transform/wine/{name}/", f"messages/{name}/", f"files/{name}/"]


def audit(pipeline: Pipeline, name: str, *, code: int = 0) -> list[dict[str, Any]]:
    """The documents for each prefix. The queues are empty, so no request may be waiting."""
    return [
        document
        for prefix in prefixes(name)
        for document in rows(sluice(pipeline, "audit", "--prefix", prefix, "--grace", "0s", "--json", code=code))
    ]


def violated(documents: list[dict[str, Any]]) -> dict[str, str]:
    return {one["Key"]: one["Check"] for one in documents if one["State"] == "violated" and "Key" in one}


def empty_the_queues(pipeline: Pipeline) -> None:
    """Wait until the functions have deleted the messages, and delete what earlier tests have left."""
    deadline = time.monotonic() + 30
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    urls = [pipeline.engine.outputs[f"{queue}QueueUrl"] for queue in ("Request", "Split", "Assembly", "Crashed")]
    while time.monotonic() < deadline:
        counts = [pipeline.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in urls]
        if not any(int(value) for count in counts for value in count.values()):
            return
        time.sleep(0.2)
    for url in urls:
        pipeline.sqs.purge_queue(QueueUrl=url)


def send_some_of_each_kind(pipeline: Pipeline, name: str) -> None:
    """Success, failure, a replaced object, a dataset with a refused record, a redrive."""
    wine = (EXAMPLES / "wine/one.json").read_bytes()
    row = ",".join(map(str, ROW))
    pipeline.drop(f"invoke/wine/{name}/good.json", wine)
    pipeline.drop(f"invoke/wine/{name}/bad.csv", b"1,2\n")
    pipeline.drop(f"invoke/wine/{name}/twice.csv", b"1,2\n")
    pipeline.wait(f"invoke/wine/{name}/twice.csv.err")
    pipeline.drop(f"invoke/wine/{name}/twice.csv", f"{row}\n".encode())
    pipeline.drop(f"transform/wine/{name}/data.csv", f"{row}\n1,2\n{row}\n".encode())
    message = {**WINE, "S3OutputPathExtension": name}
    pipeline.send({**message, "InferenceId": f"{name} 50%"})
    pipeline.send({**message, "Filename": "file.json"})
    pipeline.send({**message, "InferenceId": f"{name}-redriven", "EndpointName": "wime"})
    pipeline.send({**message, "InferenceId": f"{name}-failed", "Body": {"instances": [[1]]}})
    pipeline.wait(f"messages/{name}/{name}-redriven.err")
    redrive = ("dlq", "redrive", "--inference-id", f"{name}-redriven", "--set", "EndpointName=wine", "--json")
    deadline = time.monotonic() + 60
    while rows(sluice(pipeline, *redrive))[0]["Sent"] == 0:  # the dead letter is sent after the .err is written
        assert time.monotonic() < deadline
    for stored in (
        f"invoke/wine/{name}/good.json.out",
        f"invoke/wine/{name}/bad.csv.err",
        f"invoke/wine/{name}/twice.csv.out",
        f"transform/wine/{name}/data.csv.out",
        f"messages/{name}/{name}%2050%25.out",
        f"files/{name}/file.json.out",
        f"messages/{name}/{name}-redriven.out",
        f"messages/{name}/{name}-failed.err",
    ):
        pipeline.wait(stored)
    empty_the_queues(pipeline)


def test_real_requests_have_no_violation_and_what_is_broken_is_named(
    pipeline: Pipeline, name: str, tmp_path: Path
) -> None:
    send_some_of_each_kind(pipeline, name)
    clean = audit(pipeline, name)
    assert violated(clean) == {}
    checked: dict[str, int] = {}
    for one in clean:
        checked[one["Check"]] = checked.get(one["Check"], 0) + one.get("Checked", 0)
    assert checked["inputs"] == 4
    assert checked["messages"] == 4
    assert checked["dead letters"] == 2
    assert checked["parts"] >= 1
    assert not any(one.get("Pending") for one in clean)

    results, bucket = pipeline.engine.results_bucket, pipeline.engine.input_bucket
    for key in (
        f"invoke/wine/{name}/good.json.out",
        f"messages/{name}/{name}%2050%25.out",
        f"files/{name}/file.json.out",
        f"invoke/wine/{name}/bad.csv.err",
    ):
        pipeline.s3.delete_object(Bucket=results, Key=key)
    stray = f"{parts_folder(f'transform/wine/{name}/data.csv', str(uuid.uuid4()))}"
    pipeline.s3.put_object(Bucket=results, Key=f"{stray}{0:015}-{9:015}.out", Body=b"x")
    pipeline.s3.put_object(Bucket=results, Key=f"invoke/wine/{name}/stray.err", Body=json.dumps({}).encode())
    unsent = {"sluice-identity": f"{name}-none", "message-id": str(uuid.uuid4())}
    pipeline.s3.put_object(Bucket=results, Key=f"messages/{name}/{name}-none.err", Body=b"{}", Metadata=unsent)
    assert violated(audit(pipeline, name, code=3)) == {
        f"s3://{bucket}/invoke/wine/{name}/good.json": "inputs",
        f"s3://{bucket}/invoke/wine/{name}/bad.csv": "inputs",
        f"s3://{results}/messages/{name}/{name}%2050%25.out": "messages",
        f"s3://{results}/files/{name}/file.json.out": "messages",
        f"s3://{results}/invoke/wine/{name}/stray.err": "owners",
        f"s3://{results}/messages/{name}/{name}-none.err": "dead letters",
        f"s3://{results}/{stray}": "parts",
    }
