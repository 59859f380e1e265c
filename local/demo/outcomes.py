"""Sends the cases, waits for their outcomes, and compares them with the expected ones."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from local.demo.cases import Case, ObjectInput
from local.engine import Engine

_SECONDS = 60.0
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class Outcome:
    """The outcome of a case. `wrong` describes a difference from the expected outcome; it is empty if there is none."""

    case: Case
    name: str
    seconds: float
    prediction: str = ""
    reason: str = ""
    trace_id: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class _Pending:
    case: Case
    name: str
    started: float


def start(engine: Engine, cases: Sequence[Case]) -> list[_Pending]:
    """Configure the endpoint's faults, then send all inputs."""
    rules = [
        {"inference_id": case.input.inference_id, **case.fault}
        for case in cases
        if case.fault is not None and not isinstance(case.input, ObjectInput)
    ]
    httpx2.put(f"{engine.sagemaker_runtime_url}/_faults", json={"rules": rules}, trust_env=False).raise_for_status()
    return [_Pending(case, _send(engine, case), time.monotonic()) for case in cases]


def _send(engine: Engine, case: Case) -> str:
    """Send the case to the pipeline, and return the name of its result."""
    source = case.input
    if isinstance(source, ObjectInput):
        engine.clients.s3.put_object(
            Bucket=engine.input_bucket, Key=source.key, Body=source.body, Metadata=dict(source.metadata)
        )
        return source.key
    for _ in range(source.times):
        response = engine.clients.sqs.send_message(QueueUrl=engine.request_queue_url, MessageBody=source.body)
    return f"messages/{quote(source.inference_id or response['MessageId'])}"


def follow(engine: Engine, pending: Sequence[_Pending], directory: Path) -> Iterator[Outcome]:
    """Yield each outcome when it is stored, and copy it into `directory`. No outcome after a minute is an error."""
    deadline = time.monotonic() + _SECONDS
    waiting = {one.name: one for one in pending}
    while waiting and time.monotonic() < deadline:
        listed = engine.clients.s3.list_objects_v2(Bucket=engine.results_bucket).get("Contents", [])
        for key in (item["Key"] for item in listed):
            name, _, kind = key.rpartition(".")
            if name in waiting:
                yield _outcome(engine, waiting.pop(name), key, kind, directory)
        time.sleep(_POLL_SECONDS)
    for one in waiting.values():
        yield Outcome(one.case, one.name, time.monotonic() - one.started, wrong="no outcome after a minute")


def _outcome(engine: Engine, one: _Pending, key: str, kind: str, directory: Path) -> Outcome:
    stored = engine.clients.s3.get_object(Bucket=engine.results_bucket, Key=key)
    body = stored["Body"].read()
    copy = directory / key
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(body)
    ended = Outcome(one.case, one.name, time.monotonic() - one.started)
    if kind == "out":
        labels = _labels(body)
        ended.prediction = ", ".join(labels)
        ended.trace_id = stored["Metadata"].get("custom-attributes", "")
        sent = stored["Metadata"]["trace-id"]
        if one.case.error_code or labels != one.case.labels:
            ended.wrong = f"expected {one.case.error_code or ', '.join(one.case.labels)}"
        elif ended.trace_id != f"Trace ID: {sent}" or sent != (one.case.trace_id or sent):
            ended.wrong = f"the model returned {ended.trace_id!r} for the trace ID {sent!r}"
    else:
        document = json.loads(body)
        ended.reason = f"{document['ErrorCode']}: {_short(document)}"
        ended.trace_id = document["TraceId"]
        if document["ErrorCode"] != one.case.error_code or one.case.error_text not in document["ErrorMessage"]:
            ended.wrong = f"expected {one.case.error_code or ', '.join(one.case.labels)}"
    return ended


def _labels(body: bytes) -> tuple[str, ...]:
    text = body.decode()
    predictions = (
        json.loads(text)["predictions"]
        if text.startswith('{"predictions"')
        else [json.loads(line) for line in text.splitlines()]
    )
    return tuple(str(one["label"]) for one in predictions)


def _short(document: dict[str, Any]) -> str:
    message = str(document.get("OriginalMessage") or document["ErrorMessage"])
    return message.split(". See ", maxsplit=1)[0]


def check_dead_letters(engine: Engine, ended: Sequence[Outcome], directory: Path) -> str:
    """Compare the dead-letter queue with the failures: one message each, with the original body and the same reason.

    Returns a description of the first difference, or an empty string.
    """
    letters: list[dict[str, Any]] = []
    while messages := engine.clients.sqs.receive_message(
        QueueUrl=engine.dead_letter_queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        letters += [
            {
                "Body": message["Body"],
                "Attributes": {name: value["StringValue"] for name, value in message["MessageAttributes"].items()},
            }
            for message in messages
        ]
    (directory / "dead-letters.json").write_text(json.dumps(letters, indent=2))
    failed = [one for one in ended if one.reason]
    if len(letters) != len(failed):
        return f"{len(letters)} messages on the dead-letter queue for {len(failed)} failures"
    reasons = {letter["Attributes"]["TraceId"]: letter for letter in letters}
    for one in failed:
        letter = reasons.get(one.trace_id)
        if letter is None or letter["Attributes"]["ErrorCode"] != one.case.error_code:
            return f"{one.case.title}: its reason is not on the dead-letter queue"
        if not isinstance(one.case.input, ObjectInput) and letter["Body"] != one.case.input.body:
            return f"{one.case.title}: the body on the dead-letter queue differs from the one that was sent"
    return ""
