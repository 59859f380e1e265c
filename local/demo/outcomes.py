"""Drops and sends the cases, follows them to their outcomes, and says which are not the expected ones."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from local.demo.cases import Case, Dropped
from local.engine import Engine

_SECONDS = 60.0
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class Ended:
    """How a case ended. `wrong` says what is not as it should be; empty when all is."""

    case: Case
    name: str
    seconds: float
    answer: str = ""
    reason: str = ""
    trace_id: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class _Pending:
    case: Case
    name: str
    started: float


def start(engine: Engine, cases: Sequence[Case]) -> list[_Pending]:
    """Ask the endpoint for the faults, then drop and send everything."""
    rules = [
        {"inference_id": case.given.inference_id, **case.fault}
        for case in cases
        if case.fault is not None and not isinstance(case.given, Dropped)
    ]
    httpx2.put(f"{engine.sagemaker_runtime_url}/_faults", json={"rules": rules}, trust_env=False).raise_for_status()
    return [_Pending(case, _give(engine, case), time.monotonic()) for case in cases]


def _give(engine: Engine, case: Case) -> str:
    """Give the case to the pipeline, and return the name its result will have."""
    given = case.given
    if isinstance(given, Dropped):
        engine.clients.s3.put_object(
            Bucket=engine.input_bucket, Key=given.key, Body=given.body, Metadata=dict(given.metadata)
        )
        return given.key
    for _ in range(given.times):
        sent = engine.clients.sqs.send_message(QueueUrl=engine.request_queue_url, MessageBody=given.body)
    return f"messages/{quote(given.inference_id or sent['MessageId'])}"


def follow(engine: Engine, pending: Sequence[_Pending], directory: Path) -> Iterator[Ended]:
    """Each case as it ends; its result is copied into `directory`. What hasn't ended after a minute is wrong."""
    deadline = time.monotonic() + _SECONDS
    waiting = {one.name: one for one in pending}
    while waiting and time.monotonic() < deadline:
        listed = engine.clients.s3.list_objects_v2(Bucket=engine.results_bucket).get("Contents", [])
        for key in (item["Key"] for item in listed):
            name, _, kind = key.rpartition(".")
            if name in waiting:
                yield _ended(engine, waiting.pop(name), key, kind, directory)
        time.sleep(_POLL_SECONDS)
    for one in waiting.values():
        yield Ended(one.case, one.name, time.monotonic() - one.started, wrong="no outcome after a minute")


def _ended(engine: Engine, one: _Pending, key: str, kind: str, directory: Path) -> Ended:
    stored = engine.clients.s3.get_object(Bucket=engine.results_bucket, Key=key)
    body = stored["Body"].read()
    copy = directory / key
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(body)
    ended = Ended(one.case, one.name, time.monotonic() - one.started)
    if kind == "out":
        labels = _labels(body)
        ended.answer = ", ".join(labels)
        ended.trace_id = stored["Metadata"].get("custom-attributes", "")
        sent = stored["Metadata"]["trace-id"]
        if one.case.error_code or labels != one.case.labels:
            ended.wrong = f"expected {one.case.error_code or ', '.join(one.case.labels)}"
        elif ended.trace_id != f"Trace ID: {sent}" or sent != (one.case.trace_id or sent):
            ended.wrong = f"the model answered {ended.trace_id!r}, to the trace ID {sent!r}"
    else:
        document = json.loads(body)
        ended.reason = f"{document['ErrorCode']}: {_short(document)}"
        ended.trace_id = document["TraceId"]
        if document["ErrorCode"] != one.case.error_code or one.case.says not in document["ErrorMessage"]:
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


def check_dead_letters(engine: Engine, ended: Sequence[Ended], directory: Path) -> str:
    """Compare the dead-letter queue with the failures: one message each, body verbatim, the same reason.

    Returns what is wrong; empty when nothing is.
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
            return f"{one.case.title}: no such reason on the dead-letter queue"
        if not isinstance(one.case.given, Dropped) and letter["Body"] != one.case.given.body:
            return f"{one.case.title}: its body on the dead-letter queue is not the one that was sent"
    return ""
