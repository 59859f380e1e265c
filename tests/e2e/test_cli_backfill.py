"""`sluice backfill` on the local run: existing objects are answered once, as the request of their own event."""

import re
import signal
import time
import uuid
from typing import Any

import pytest

from tests.e2e.commands import sluice, start, versions_tagged
from tests.e2e.conftest import EXAMPLES, Pipeline

IMAGE = (EXAMPLES / "digits/3.png").read_bytes()


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def quiet(pipeline: Pipeline) -> Any:
    """Turn the notifications of the input bucket off, as before the deployment."""
    bucket = pipeline.engine.input_bucket
    configured: Any = pipeline.s3.get_bucket_notification_configuration(Bucket=bucket)
    configured.pop("ResponseMetadata")
    pipeline.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    yield
    pipeline.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configured)


def answers(pipeline: Pipeline, name: str, count: int) -> list[str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = sorted(key for key in pipeline.stored() if name in key and not key.startswith("parts/"))
        if len(found) == count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{count} answers did not come; there are {found}")


def counts(output: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+): +(\d+)", output)}


def test_a_folder_is_enqueued_and_then_only_objects_without_an_answer(
    pipeline: Pipeline, name: str, quiet: None
) -> None:
    prefix = f"invoke/digits/{name}"
    keys = [f"{prefix}/a.png", f"{prefix}/a.png.bak", f"{prefix}/a b+é.png", f"{prefix}/c.png"]
    for key in keys:
        pipeline.drop(key, IMAGE, ContentType="image/png")
    pipeline.drop(f"{prefix}/", b"")
    uri = f"s3://{pipeline.engine.input_bucket}/{prefix}"
    dry = sluice(pipeline, "backfill", uri, "--dry-run", "--exclude", "*.bak")
    listed = [f"s3://{pipeline.engine.input_bucket}/{key}" for key in sorted(keys) if "bak" not in key]
    assert dry.stdout.splitlines() == listed
    assert counts(sluice(pipeline, "backfill", uri, "--exclude", "*.bak").stdout) == {"Sent": 3, "SkippedByPattern": 2}
    found = answers(pipeline, name, 3)
    assert found == sorted(f"{key}.out" for key in keys if "bak" not in key)
    again = sluice(pipeline, "backfill", uri)
    assert counts(again.stdout) == {"Sent": 1, "SkippedAsAnswered": 3, "SkippedByPattern": 1}
    answers(pipeline, name, 4)
    assert counts(sluice(pipeline, "backfill", uri, "--start-after", keys[3]).stdout) == {"Sent": 0}


def test_the_request_is_that_of_the_objects_own_event(pipeline: Pipeline, name: str) -> None:
    key = f"invoke/digits/{name}.png"
    pipeline.drop(key, IMAGE)
    first = pipeline.wait(f"{key}.out").metadata
    pipeline.s3.delete_object(Bucket=pipeline.engine.results_bucket, Key=f"{key}.out")
    sluice(pipeline, "backfill", f"s3://{pipeline.engine.input_bucket}/{key}")
    again = pipeline.wait(f"{key}.out").metadata
    assert again["sluice-identity"] == first["sluice-identity"]
    assert again["source-version"] == first["source-version"]


def test_failed_objects_are_skipped_without_failed_and_force_sends_answered_objects(
    pipeline: Pipeline, name: str
) -> None:
    good, bad = f"invoke/wine/{name}/good.csv", f"invoke/wine/{name}/bad.csv"
    pipeline.drop(good, (EXAMPLES / "wine/three.csv").read_bytes())
    pipeline.drop(bad, b"1,2\n")
    answers(pipeline, name, 2)
    uri = f"s3://{pipeline.engine.input_bucket}/invoke/wine/{name}/"
    skipped = {"Sent": 0, "SkippedAsAnswered": 1, "SkippedAsFailed": 1}
    assert counts(sluice(pipeline, "backfill", uri).stdout) == skipped
    assert counts(sluice(pipeline, "backfill", uri, "--failed").stdout) == {"Sent": 1, "SkippedAsAnswered": 1}
    sluice(pipeline, "wait", bad, code=3)
    assert versions_tagged(pipeline, f"{bad}.err") == [True, False], "the first failure is not that of this request"
    identity = pipeline.wait(f"{good}.out").metadata["sluice-identity"]
    assert len(pipeline.calls(identity)) == 1
    assert counts(sluice(pipeline, "backfill", uri, "--force", "--include", "*/good.csv").stdout)["Sent"] == 1
    pipeline.wait(f"{good}.out")
    assert len(pipeline.calls(identity)) == 2


def test_a_file_under_transform_goes_to_be_split(pipeline: Pipeline, name: str, quiet: None) -> None:
    key = f"transform/wine/{name}.csv"
    rows = (EXAMPLES / "wine/three.csv").read_bytes()
    pipeline.drop(key, rows, ContentType="text/csv")
    uri = f"s3://{pipeline.engine.input_bucket}/{key}"
    for options in ((), ("--force",)):
        assert counts(sluice(pipeline, "backfill", uri, *options).stdout) == {"Sent": 1}
        assert len(pipeline.wait(f"{key}.out").body.splitlines()) == len(rows.splitlines())


def test_an_interrupted_run_prints_the_command_that_resumes_it(pipeline: Pipeline, name: str, quiet: None) -> None:
    keys = [f"invoke/digits/{name}/{number:03}.png" for number in range(40)]
    for key in keys:
        pipeline.drop(key, IMAGE)
    uri = f"s3://{pipeline.engine.input_bucket}/invoke/digits/{name}/"
    slow = start(pipeline, "backfill", uri, "--max-per-second", "10")
    answers_before = time.monotonic() + 30
    while not any(name in key for key in pipeline.stored()):
        assert time.monotonic() < answers_before
        time.sleep(0.05)
    slow.send_signal(signal.SIGINT)
    output, _ = slow.communicate(timeout=30)
    assert slow.returncode == 130, output
    found = re.search(r"^  sluice (backfill .*)$", output, re.MULTILINE)
    assert found, output
    resume = [*found[1].replace("--max-per-second 10", "").split()]
    sluice(pipeline, *resume)
    answers(pipeline, name, 40)


@pytest.mark.parametrize(
    ("uri", "code", "says"),
    [
        ("s3://other/x", 2, "add it to input_location_buckets"),
        ("INPUT/elsewhere/", 2, "must be under invoke/ or transform/"),
        ("INPUT/invoke", 2, "must be under invoke/ or transform/"),
        ("INPUT/invoke/nothing-there/", 4, "there is no object"),
        ("/tmp/x", 2, "is not s3://bucket/prefix"),
    ],
)
def test_sources_that_are_rejected(pipeline: Pipeline, uri: str, code: int, says: str) -> None:
    uri = uri.replace("INPUT", f"s3://{pipeline.engine.input_bucket}")
    assert says in sluice(pipeline, "backfill", uri, code=code).stderr
