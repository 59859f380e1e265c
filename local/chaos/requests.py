"""The requests of a chaos run, and the outcome that each must have unless it fails with a retryable error."""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from local.chaos.container import predict

ENDPOINT = "chaos"


@dataclass(frozen=True, slots=True)
class ChaosRequest:
    """A request. `name` is its result's name; `expected` the result, or None if it must fail with one of `codes`.

    `body` is the message's body, or the object's if `key` is set. `inference_id` is the InferenceId of the call.
    """

    kind: str
    name: str | None
    body: bytes
    inference_id: str | None
    expected: bytes | None
    codes: tuple[str, ...] = ()
    key: str | None = None
    times: int = 1


def requests(count: int, seed: int, input_bucket: str) -> Iterator[ChaosRequest]:
    """`count` requests of all kinds, determined by `seed`. An object that is replaced counts as two."""
    dice = random.Random(seed)  # noqa: S311 - reproducible chaos, not secrets
    made = 0
    while made < count:
        for one in _create(made, dice, input_bucket):
            made += 1
            yield one


def _create(number: int, dice: random.Random, bucket: str) -> list[ChaosRequest]:
    inference_id = f"r{number:06}"
    body = f"{number} {dice.random()}"
    kind = dice.choices(
        ["plain", "id", "twice", "base64", "sns", "event", "drop", "replace", "bad", "400", "500", "missing", "slow"],
        [14, 14, 6, 8, 5, 5, 25, 6, 5, 4, 3, 3, 2],
    )[0]

    def message(parameters: object, text: bytes | None, *codes: str, times: int = 1) -> list[ChaosRequest]:
        name = f"messages/{quote(inference_id)}"
        return [ChaosRequest(kind, name, json.dumps(parameters).encode(), inference_id, text, codes, times=times)]

    raw = {"Body": body, "InferenceId": inference_id}
    answer = predict(body.encode())
    if kind == "plain":  # named by the message ID that SQS assigns
        trace = {"Body": body, "TraceId": inference_id}
        return [ChaosRequest(kind, None, json.dumps(trace).encode(), inference_id, answer)]
    if kind in {"drop", "replace"}:
        key = f"invoke/{number}.bin"
        ids = [inference_id] if kind == "drop" else [f"{inference_id}-old", inference_id]
        return [
            ChaosRequest(kind, key, f"{body} {one}".encode(), one, predict(f"{body} {one}".encode()), key=key)
            for one in ids
        ]
    if kind == "base64":
        data = dice.randbytes(200)
        return message({"BodyBase64": base64.b64encode(data).decode(), "InferenceId": inference_id}, predict(data))
    if kind == "sns":
        return message({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": json.dumps(raw)}, answer)
    if kind == "event":
        return message({"detail-type": "Wanted", "source": "my.app", "detail": raw}, answer)
    if kind == "bad":
        return message({**raw, "Unknown": number}, None, "InvalidMessage")
    if kind in {"400", "500"}:
        return message({**raw, "Body": f"model-{kind} {body}"}, None, "ModelError")
    if kind == "missing":
        return message(
            {"InputLocation": f"s3://{bucket}/gone/{number}", "InferenceId": inference_id}, None, "NoSuchKey"
        )
    if kind == "slow":
        return message({**raw, "Body": f"slow {body}"}, predict(f"slow {body}".encode()))
    return message(raw, answer, times=3 if kind == "twice" else 1)
