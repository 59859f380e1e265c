"""What the chaos run asks, and how each request must end unless the failure is one that a retry can help."""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from local.chaos.container import answer_to

ENDPOINT = "chaos"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `name` is its result's; `expected` the answer, or None where it must fail with one of `codes`.

    `given` is the message's body, or the object's where `key` is set. `inference_id` is the one that goes out.
    """

    kind: str
    name: str | None
    given: bytes
    inference_id: str | None
    expected: bytes | None
    codes: tuple[str, ...] = ()
    key: str | None = None
    times: int = 1


def requests(count: int, seed: int, input_bucket: str) -> Iterator[Asked]:
    """`count` requests of all kinds, in an order that `seed` decides. An object that is replaced counts as two."""
    dice = random.Random(seed)  # noqa: S311 - as above
    made = 0
    while made < count:
        for asked in _some(made, dice, input_bucket):
            made += 1
            yield asked


def _some(number: int, dice: random.Random, bucket: str) -> list[Asked]:
    inference_id = f"r{number:06}"
    body = f"{number} {dice.random()}"
    kind = dice.choices(
        ["plain", "id", "twice", "base64", "sns", "event", "drop", "replace", "bad", "400", "500", "missing", "slow"],
        [14, 14, 6, 8, 5, 5, 25, 6, 5, 4, 3, 3, 2],
    )[0]

    def message(parameters: object, text: bytes | None, *codes: str, times: int = 1) -> list[Asked]:
        name = f"messages/{quote(inference_id)}"
        return [Asked(kind, name, json.dumps(parameters).encode(), inference_id, text, codes, times=times)]

    raw = {"Body": body, "InferenceId": inference_id}
    answer = answer_to(body.encode())
    if kind == "plain":  # named by the message ID that SQS will give it
        trace = {"Body": body, "TraceId": inference_id}
        return [Asked(kind, None, json.dumps(trace).encode(), inference_id, answer)]
    if kind in {"drop", "replace"}:
        key = f"invoke/{number}.bin"
        ids = [inference_id] if kind == "drop" else [f"{inference_id}-old", inference_id]
        return [
            Asked(kind, key, f"{body} {one}".encode(), one, answer_to(f"{body} {one}".encode()), key=key) for one in ids
        ]
    if kind == "base64":
        data = dice.randbytes(200)
        return message({"BodyBase64": base64.b64encode(data).decode(), "InferenceId": inference_id}, answer_to(data))
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
        return message({**raw, "Body": f"slow {body}"}, answer_to(f"slow {body}".encode()))
    return message(raw, answer, times=3 if kind == "twice" else 1)
