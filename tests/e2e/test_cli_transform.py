"""`sluice transform retry` on the local run: only the failed lines are sent again, and their answers are merged."""

import json
import time
import uuid

import pytest

from local.models.wine import Wine
from tests.e2e.commands import rows, sluice
from tests.e2e.conftest import Pipeline
from tests.e2e.test_transform import wine_csv


@pytest.fixture
def key() -> str:
    return f"transform/wine/{uuid.uuid4().hex}.csv"


def answers(lines: list[str]) -> list[str]:
    content = ("\n".join(lines) + "\n").encode()
    return Wine().predict(content, "text/csv", "text/csv").body.decode().splitlines()


def refuse_rows(pipeline: Pipeline, text: str) -> None:
    """The endpoint refuses requests with `text` in their body."""
    pipeline.faults({"fault": "ModelError", "original_status_code": 400, "body_contains": text})


def test_the_failed_lines_are_sent_again_and_merged(pipeline: Pipeline, key: str) -> None:
    lines = wine_csv(2000)
    marked = sorted({3, 700, 1999})
    for number in marked:
        lines[number] = lines[number].rpartition(",")[0] + f",12345{number}"
    refuse_rows(pipeline, ",12345")
    metadata = {"accept": "text/csv", "trace-id": uuid.uuid4().hex}
    pipeline.drop(key, ("\n".join(lines) + "\n").encode(), Metadata=metadata)
    out = pipeline.wait(f"{key}.out")
    assert out.metadata["failed"] == "3"
    errors = [json.loads(line) for line in pipeline.wait(f"{key}.errors.jsonl").body.splitlines()]
    assert [error["Line"] - 1 for error in errors] == marked
    pipeline.faults()
    calls = len(pipeline.all_calls())
    (shown,) = rows(sluice(pipeline, "transform", "retry", key, "--wait", "--timeout", "1m", "--json"))
    assert shown.items() >= {"State": "done", "RecordsFailed": 0}.items()
    assert pipeline.wait(f"{key}.out").body.decode().splitlines() == answers(lines)
    assert f"{key}.errors.jsonl" not in pipeline.stored()
    assert f"{key}.err" not in pipeline.stored()
    summary = json.loads(pipeline.wait(f"{key}.summary.json").body)
    assert (summary["records"], summary["succeeded"], summary["failed"]) == (2000, 2000, 0)
    assert len(pipeline.all_calls()) - calls <= 3
    refused = sluice(pipeline, "transform", "retry", key, code=2)
    assert "none of its records failed" in refused.output


def test_a_file_over_its_threshold_is_retried_after_it_failed(pipeline: Pipeline, key: str) -> None:
    lines = wine_csv(40)
    lines[5] = "poison,5"
    pipeline.drop(key, ("\n".join(lines) + "\n").encode(), Metadata={"accept": "text/csv", "error-threshold": "0"})
    assert json.loads(pipeline.wait(f"{key}.err").body)["ErrorCode"] == "ErrorThresholdExceeded"
    result = sluice(pipeline, "wait", key, code=3)
    assert "ErrorThresholdExceeded" in result.output
    assert pipeline.dead_letter_about(key)["ErrorCode"] == "ErrorThresholdExceeded"
    (shown,) = rows(sluice(pipeline, "transform", "retry", key, "--wait", "--timeout", "1m", "--json", code=3))
    assert shown["ErrorCode"] == "ErrorThresholdExceeded"
    assert pipeline.dead_letter_about(key)["ErrorCode"] == "ErrorThresholdExceeded"
    assert f"{key}.out" not in pipeline.stored()


def test_a_file_is_stopped_by_deleting_it(pipeline: Pipeline, key: str) -> None:
    count = 2000
    pipeline.faults({"fault": "delay", "delay_seconds": 0.5})
    before = len(pipeline.all_calls())
    metadata = {"accept": "text/csv", "batch-strategy": "SingleRecord"}
    pipeline.drop(key, ("\n".join(wine_csv(count)) + "\n").encode(), Metadata=metadata)
    while len(pipeline.all_calls()) == before:
        time.sleep(0.1)
    pipeline.s3.delete_object(Bucket=pipeline.engine.input_bucket, Key=key)
    assert json.loads(pipeline.wait(f"{key}.err").body)["ErrorCode"] == "ObjectDeleted"
    assert pipeline.dead_letter_about(key)["ErrorCode"] == "ObjectDeleted"
    pipeline.faults()
    assert len(pipeline.all_calls()) - before < count / 4
    assert f"{key}.out" not in pipeline.stored()


def test_what_cannot_be_retried_is_refused(pipeline: Pipeline, key: str) -> None:
    assert "drop it again" in sluice(pipeline, "transform", "retry", key, code=4).output
    assert "only files under" in sluice(pipeline, "transform", "retry", "invoke/a.csv", code=2).output
