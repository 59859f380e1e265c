"""`make up` while the local run is up."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.engine import Engine
from local.process import LocalRunError
from local.service import exports_of, up

OWN = {"mine": "http://127.0.0.1:8080"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A directory whose local run is up with the container `mine`."""
    (tmp_path / "state.json").write_text(json.dumps({"pid": 0, "exports": {"A": "1"}, "containers": OWN}))
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield tmp_path


@pytest.mark.parametrize("containers", [{}, OWN])
def test_it_prints_the_exports_again(
    running: Path, containers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert up(running, containers) == 0
    assert capsys.readouterr().out == "export A=1\n"


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        ({}, set[str]()),
        ({"SuccessTopicArn": "arn:s"}, {"SUCCESS_TOPIC_ARN"}),
        ({"SuccessTopicArn": "arn:s", "ErrorTopicArn": "arn:e"}, {"SUCCESS_TOPIC_ARN", "ERROR_TOPIC_ARN"}),
    ],
)
def test_the_topics_are_exported_if_there_are_any(topics: dict[str, str], names: set[str]) -> None:
    outputs = dict.fromkeys(("InputBucketName", "ResultsBucketName", "RequestQueueUrl", "DeadLetterQueueUrl"), "x")
    engine: Any = SimpleNamespace(url="u", sagemaker_runtime_url="r", outputs={**outputs, **topics})
    for name in ("input_bucket", "results_bucket", "request_queue_url", "dead_letter_queue_url"):
        setattr(engine, name, getattr(Engine, name).fget(engine))
    exports = exports_of(engine)
    assert {name for name in exports if name.endswith("TOPIC_ARN")} == names
    assert exports["REQUEST_QUEUE_URL"] == "x"


def test_other_containers_are_refused(running: Path) -> None:
    with pytest.raises(LocalRunError, match="already up with mine="):
        up(running, {"other": "http://127.0.0.1:8080"})
