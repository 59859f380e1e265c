"""A sender who may send messages, and nothing else, forges what only S3 or a function may say.

The outcome of the victim does not change, no model is called again, and the victim's next upload is answered.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, DroppedObject, TransformPart
from tests.e2e.conftest import EXAMPLES, Pipeline
from tests.support.events import s3_event

LATEST = "FFFFFFFFFFFFFFFF"  # a sequencer that is later than all those of S3


class Victim(NamedTuple):
    """Two answered requests: an object under invoke/, a dataset under transform/."""

    one: DroppedObject
    dataset: DroppedObject


def _uploaded(pipeline: Pipeline, key: str, body: bytes) -> DroppedObject:
    put = pipeline.s3.put_object(Bucket=pipeline.engine.input_bucket, Key=key, Body=body)
    return DroppedObject(
        bucket=pipeline.engine.input_bucket,
        key=key,
        size=len(body),
        version_id=put["VersionId"],
        sequencer=LATEST,
        etag=put["ETag"].strip('"'),
    )


@pytest.fixture
def victim(pipeline: Pipeline) -> Victim:
    name = uuid.uuid4().hex
    rows = (EXAMPLES / "wine/three.csv").read_bytes()
    made = Victim(
        _uploaded(pipeline, f"invoke/digits/{name}.png", (EXAMPLES / "digits/7.png").read_bytes()),
        _uploaded(pipeline, f"transform/wine/{name}.csv", rows),
    )
    for upload in made:
        pipeline.wait(upload.key + ".out")
    return made


def _event(upload: DroppedObject, **details: Any) -> str:
    return json.dumps(s3_event(upload.key, bucket=upload.bucket, sequencer=LATEST, **details))


FORGERIES: dict[str, Callable[[Victim], str]] = {
    "an event without a version": lambda victim: _event(victim.one),
    "an event of another version": lambda victim: _event(victim.one, version_id=uuid.uuid4().hex),
    "half of the dataset": lambda victim: body_of(TransformPart(victim.dataset, 0, 10)),
    "a part of another object": lambda victim: body_of(TransformPart(victim.one, 0, victim.one.size or 1)),
    "an assembly of a smaller file": lambda victim: body_of(Assembly(_resized(victim.dataset, 10))),
    "an event of the dataset": lambda victim: _event(victim.dataset, version_id=victim.dataset.version_id or ""),
}


def _resized(upload: DroppedObject, size: int) -> DroppedObject:
    return DroppedObject(upload.bucket, upload.key, size, upload.version_id, upload.sequencer, upload.etag)


def _versions(pipeline: Pipeline, victim: Victim) -> list[tuple[str, str]]:
    """All versions of the victim's outcomes: what was written and removed shows, even if it was undone."""
    found: list[tuple[str, str]] = []
    for upload in victim:
        listed: Any = pipeline.s3.list_object_versions(Bucket=pipeline.engine.results_bucket, Prefix=upload.key)
        for kind in ("Versions", "DeleteMarkers"):
            found += [(version["Key"], version["VersionId"]) for version in listed.get(kind, [])]
    return found


def test_only_the_functions_may_send_to_the_part_queue(pipeline: Pipeline, victim: Victim) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        pipeline.sqs.send_message(
            QueueUrl=pipeline.engine.outputs["PartQueueUrl"], MessageBody=FORGERIES["half of the dataset"](victim)
        )


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_message_changes_no_outcome(pipeline: Pipeline, victim: Victim, what: str) -> None:
    before, calls = _versions(pipeline, victim), pipeline.all_calls()
    body = FORGERIES[what](victim)
    message_id = pipeline.send(body)
    if pipeline.ended(message_id) == "dead-lettered":
        pipeline.dead_letter(body)
    assert _versions(pipeline, victim) == before
    assert pipeline.all_calls() == calls

    upload = _uploaded(pipeline, victim.one.key, (EXAMPLES / "digits/3.png").read_bytes())
    result = pipeline.wait(upload.key + ".out", lambda result: result.metadata["source-version"] == upload.version_id)
    assert b'"label": 3' in result.body
