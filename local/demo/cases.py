"""The demo's inputs, and their expected outcomes."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
_ROW = [13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]


@dataclass(frozen=True, slots=True)
class ObjectInput:
    """An object that is put into the input bucket under `key`."""

    key: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessageInput:
    """A message that is sent to the request queue `times` times. `inference_id` is its InferenceId, if readable."""

    body: str
    inference_id: str | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """One input. It must end with a result with `labels`, or with `error_code` and a message that has `error_text`."""

    title: str
    input: ObjectInput | MessageInput
    labels: tuple[str, ...] = ()
    error_code: str | None = None
    error_text: str = ""
    trace_id: str | None = None
    fault: Mapping[str, Any] | None = None


def _example(name: str, *, metadata: Mapping[str, str] | None = None) -> ObjectInput:
    return ObjectInput(f"invoke/{name}", (EXAMPLES / name).read_bytes(), metadata or {})


def _message(inference_id: str, *, times: int = 1, **parameters: Any) -> MessageInput:
    return MessageInput(json.dumps({"InferenceId": inference_id, **parameters}), inference_id, times)


def _wine(file: str, labels: str) -> Case:
    return Case(f"drop   wine/{file}", _example(f"wine/{file}"), tuple(f"class_{label}" for label in labels))


def _digit(digit: int) -> Case:
    return Case(f"drop   digits/{digit}.png", _example(f"digits/{digit}.png"), (str(digit),))


def _invalid(title: str, inference_id: str, error_text: str, **parameters: Any) -> Case:
    message = _message(inference_id, **parameters)
    return Case(f"send   {title}", message, error_code="InvalidMessage", error_text=error_text, trace_id=inference_id)


def cases(input_bucket: str) -> list[Case]:
    """The demo's inputs: first those that succeed, then one of each kind that fails."""
    seven = base64.b64encode((EXAMPLES / "digits" / "7.png").read_bytes()).decode()
    return [
        _wine("three.csv", "202"),
        _wine("one.json", "2"),
        _wine("ten.jsonl", "1210120121"),
        *(_digit(digit) for digit in (0, 1, 2, 3)),
        Case(
            "drop   digits/4.png, with a trace ID",
            _example("digits/4.png", metadata={"trace-id": "order-1234"}),
            ("4",),
            trace_id="order-1234",
        ),
        Case(
            "send   a row as JSON, with a trace ID",
            _message("a-row", EndpointName="wine", Body={"instances": [_ROW]}, TraceId="checkout-42"),
            ("class_0",),
            trace_id="checkout-42",
        ),
        Case(
            "send   a picture as BodyBase64",
            _message("a-picture", EndpointName="digits", BodyBase64=seven, ContentType="image/png"),
            ("7",),
        ),
        Case(
            "send   a row that is stored in S3",
            _message("a-location", EndpointName="wine", InputLocation=f"s3://{input_bucket}/invoke/wine/one.json"),
            ("class_2",),
        ),
        Case(
            "send   the same message twice",
            _message("twice", EndpointName="wine", Body={"instances": [_ROW]}, times=2),
            ("class_0",),
        ),
        Case(
            "send   while the endpoint throttles",
            _message("throttled", EndpointName="wine", Body={"instances": [_ROW]}),
            ("class_0",),
            fault={"fault": "ThrottlingException", "times": 2},
        ),
        Case(
            "send   text that is not JSON",
            MessageInput('{"EndpointName": "wine", "Body": '),
            error_code="InvalidMessage",
            error_text="is not JSON",
        ),
        _invalid("an unknown key", "unknown-key", "did you mean ContentType?", Body="x", ContentTyp="text/csv"),
        _invalid("two bodies", "two-bodies", "exactly one of the three", Body="x", BodyBase64="eA=="),
        _invalid(
            "an unknown endpoint", "unknown-endpoint", "EndpointName: is not one of", EndpointName="wein", Body="x"
        ),
        _invalid("a bucket not on the list", "other-bucket", "bucket is not on", InputLocation="s3://other-bucket/x"),
        _invalid("non-ASCII CustomAttributes", "not-ascii", "visible ASCII", Body="x", CustomAttributes="naïve"),
        _invalid("broken base64", "bad-base64", "not valid base64", BodyBase64="@@@"),
        Case(
            "drop   a body over the limit",
            ObjectInput("invoke/wine/huge.csv", b"0," * 3_200_000),
            error_code="InvalidMessage",
            error_text="are over the deployment's max_body_bytes",
        ),
        Case(
            "send   an object that is not there",
            _message("missing", InputLocation=f"s3://{input_bucket}/invoke/nothing.csv"),
            error_code="NoSuchKey",
            error_text="does not exist",
        ),
        Case(
            "send   a row too short (400)",
            _message("model-400", EndpointName="wine", Body={"instances": [_ROW[:12]]}),
            error_code="ModelError",
            error_text="row 1 has 12 values; send 13",
        ),
        Case(
            "send   a row that breaks the model",
            _message("model-500", EndpointName="wine", Body="nan," * 12 + "nan", ContentType="text/csv"),
            error_code="ModelError",
            error_text="Input X contains NaN",
        ),
        Case(
            "send   to a model that hangs for 60 s",
            _message("model-time-out", EndpointName="wine", Body="x"),
            error_code="ModelTimeout",
            error_text="timed out",
            fault={"fault": "timeout"},
        ),
        Case(
            "send   while access is denied",
            _message("denied", EndpointName="wine", Body="x"),
            error_code="AccessDeniedException",
            error_text="not authorized",
            fault={"fault": "AccessDeniedException", "message": "not authorized to perform sagemaker:InvokeEndpoint"},
        ),
    ]
