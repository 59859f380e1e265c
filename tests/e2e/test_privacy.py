"""Functions write no payload, custom attribute or credential, except in results and in the bodies of dead letters."""

import base64
import json
import re
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Pipeline

CREDENTIAL = re.compile(r"A[KS]IA[A-Z0-9]{16}|aws_secret_access_key|x-amz-security-token", re.IGNORECASE)


def failures(pipeline: Pipeline) -> Iterator[str]:
    """All `.err` documents, and the dead letters' attributes."""
    for key in pipeline.stored():
        if key.endswith(".err"):
            got = pipeline.s3.get_object(Bucket=pipeline.engine.results_bucket, Key=key)
            yield got["Body"].read().decode()
    received: set[str] = set()
    while letters := [
        letter
        for letter in pipeline.sqs.receive_message(
            QueueUrl=pipeline.engine.dead_letter_queue_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=1,
        ).get("Messages", [])
        if letter["MessageId"] not in received
    ]:
        for letter in letters:
            received.add(letter["MessageId"])
            yield json.dumps(letter["MessageAttributes"])


@pytest.fixture
def canary() -> str:
    return f"canary{uuid.uuid4().hex}"


def test_canaries_appear_nowhere(pipeline: Pipeline, canary: str) -> None:
    row = "13.28,1.64,2.84,15.5,110.0,2.6,2.68,0.34,1.36,4.6,1.09,2.78,880.0"
    encoded = base64.b64encode(canary.encode()).decode()
    sent = {
        "answered": {"Body": row, "ContentType": "text/csv", "CustomAttributes": canary},
        "refused by a rule": {"Body": canary, "Unknown": canary, "CustomAttributes": canary},
        "of the wrong type": {"Body": canary, "RequestTTLSeconds": canary},
        "not base64": {"BodyBase64": f"{encoded}!"},
        "refused by the model": {"Body": "1,2", "ContentType": "text/csv", "CustomAttributes": canary},
        "not an image": {"BodyBase64": encoded, "EndpointName": "digits", "ContentType": "image/png"},
    }
    names = {}
    for what, message in sent.items():
        inference_id = names[what] = f"{what.replace(' ', '-')}-{uuid.uuid4().hex[:8]}"
        pipeline.send({"EndpointName": "wine", "InferenceId": inference_id, **message})
    pipeline.send(f'{{"Body": "{canary}')
    file = f"invoke/digits/{uuid.uuid4().hex}.png"
    pipeline.drop(file, canary.encode(), Metadata={"custom-attributes": canary})
    rows = f"transform/wine/{uuid.uuid4().hex}.csv"
    pipeline.drop(rows, f"{row}\n1,{canary}\n".encode(), Metadata={"custom-attributes": canary, "accept": "text/csv"})

    pipeline.wait(f"messages/{names.pop('answered')}.out")
    for inference_id in names.values():
        pipeline.wait(f"messages/{inference_id}.err")
    pipeline.wait(f"{file}.err")
    pipeline.wait(f"{rows}.summary.json")

    lines = "\n".join(pipeline.logged())
    assert all(inference_id in lines for inference_id in names.values()), "these are the logs"
    reasons = "\n".join(failures(pipeline))
    assert all(inference_id in reasons for inference_id in names.values()), "these are the failures"
    for written in (lines, reasons):
        for secret in (canary, encoded):
            assert secret not in written, written[max(0, written.index(secret) - 500) :][:1000]
        assert not CREDENTIAL.search(written)
