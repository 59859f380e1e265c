"""Starts the local run once for all tests: the synthesized stack on a local AWS, and the models behind the endpoint.

The local AWS enforces IAM, the policies of queues and buckets, and TLS, so the tests run with exactly the roles of the
template.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local.engine import Engine, running

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SETTINGS: dict[str, Any] = {
    "retry": {"max_receive_count": 3, "base_seconds": 1, "cap_seconds": 1},
    "notifications": {"success_topic": True, "error_topic": True, "event_bridge": True},
    "input_location_buckets": ["sluice-listed"],
    "senders": {"account_ids": ["111122223333"], "organization_id": "o-a1b2c3d4e5"},
}
DECISIONS = "SLUICE_DECISIONS"  # the file in which the local AWS writes what it allows roles to do
_SECONDS = 60.0


@dataclass(frozen=True)
class Result:
    body: bytes
    metadata: Mapping[str, str]
    content_type: str


class Pipeline:
    """The deployed pipeline, from the perspective of a user."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.s3 = engine.clients.s3
        self.sqs = engine.clients.sqs

    def trust(self) -> dict[str, str]:
        """The environment variables that make SDKs trust the local AWS's certificate."""
        authority = str(self.engine.tls.authority) if self.engine.tls else ""
        return {"AWS_CA_BUNDLE": authority, "NODE_EXTRA_CA_CERTS": authority}

    def drop(self, key: str, body: bytes, **options: Any) -> None:
        self.s3.put_object(Bucket=self.engine.input_bucket, Key=key, Body=body, **options)

    def send(self, body: object, **options: Any) -> str:
        """Send a message and return its ID."""
        text = body if isinstance(body, str) else json.dumps(body)
        return self.sqs.send_message(QueueUrl=self.engine.request_queue_url, MessageBody=text, **options)["MessageId"]

    def stored(self) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.engine.results_bucket)
        return {item["Key"] for page in pages for item in page.get("Contents", [])}

    def wait(self, key: str, until: Callable[[Result], bool] = lambda result: True) -> Result:
        """Wait for the object at `key` in the results bucket until `until` is true for it, and return it."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            if key in self.stored():
                stored = self.s3.get_object(Bucket=self.engine.results_bucket, Key=key)
                result = Result(stored["Body"].read(), stored["Metadata"], stored["ContentType"])
                if until(result):
                    return result
            time.sleep(0.05)
        raise AssertionError(f"{key} was not stored; the bucket has {sorted(self.stored())}")

    def dead_letter(self, body: str) -> dict[str, str]:
        """The attributes of the dead-letter message with `body`. The message is deleted."""
        return self._dead_letter(lambda found: found == body, f"the body {body[:100]}")

    def dead_letter_about(self, text: str) -> dict[str, str]:
        """The same for a message with `text` in its body, such as the event of a dropped object."""
        return self._dead_letter(lambda found: text in found, text)

    def _dead_letter(self, matches: Callable[[str], bool], description: str) -> dict[str, str]:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for message in self.sqs.receive_message(
                QueueUrl=self.engine.dead_letter_queue_url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                VisibilityTimeout=1,  # so that the next call receives others
            ).get("Messages", []):
                if matches(message["Body"]):
                    self.sqs.delete_message(
                        QueueUrl=self.engine.dead_letter_queue_url, ReceiptHandle=message["ReceiptHandle"]
                    )
                    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
            time.sleep(0.05)
        raise AssertionError(f"no dead letter with {description}")

    def faults(self, *rules: dict[str, Any]) -> None:
        url = f"{self.engine.sagemaker_runtime_url}/_faults"
        httpx2.put(url, json={"rules": rules}, trust_env=False).raise_for_status()

    def calls(self, inference_id: str) -> list[dict[str, Any]]:
        return [call for call in self.all_calls() if call.get("InferenceId") == inference_id]

    def all_calls(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = httpx2.get(
            f"{self.engine.sagemaker_runtime_url}/_calls", trust_env=False
        ).json()["Calls"]
        return listed

    def logged(self) -> Iterator[str]:
        """The functions' output, including metrics."""
        for group in self.engine.outputs["LogGroupNames"].split(","):
            pages = self.engine.clients.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            yield from (event["message"] for page in pages for event in page["events"])

    def ended(self, message_id: str) -> str:
        """Wait until the message has ended, and return its status, as logged."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for line in self.logged():
                if message_id in line and (status := json.loads(line).get("message")) not in {None, "retry"}:
                    return str(status)
            time.sleep(0.2)
        raise AssertionError(f"message {message_id} has not ended")


@pytest.fixture(scope="session")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DECISIONS, str(directory / "decisions.jsonl"))
        with running(directory, SETTINGS, enforce=True) as engine:
            yield engine


@pytest.fixture
def pipeline(_engine: Engine) -> Iterator[Pipeline]:
    pipeline = Pipeline(_engine)
    yield pipeline
    pipeline.faults()
