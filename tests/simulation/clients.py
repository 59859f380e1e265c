"""The clients: what each of them sends and uploads, and when."""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.simulation.requests import Registry
from tests.simulation.services import Services
from tests.support.events import sns_envelope

SENDER = "AIDAEXAMPLECLIENT0001"
_IDS = ("50% off", "two  spaces", "%41", "a/b", "s3://x/y", "+ and &", "~tilde", "q?a=b#c", "..", "x" * 50)
_REPEATS_SECONDS = 400.0


@dataclass
class Client:
    """A client with a name and random numbers of its own. `begin` is when it begins, in seconds."""

    services: Services
    registry: Registry
    number: int
    begin: float

    def __post_init__(self) -> None:
        self.name = f"u{self.number}"
        self.random = self.services.dice.stream(self.name)

    def later(self, most: float = _REPEATS_SECONDS) -> float:
        """A time after the client's begin: soon, more often than not."""
        return self.begin + most * self.random.random() ** 3

    def body(self, mark: bytes = b"") -> bytes:
        """A body that no other request has."""
        return f"{self.name}-".encode() + b"b%s %d" % (mark, self.random.randrange(10**9))

    def send(
        self,
        raw: object,
        *answers: bytes,
        kind: str,
        codes: Iterable[str] = (),
        at: float | None = None,
        attributes: dict[str, str] | None = None,
        trace: bool = True,
        **identity: Any,
    ) -> None:
        """Send a message once. `answers` are the bodies whose answer the request may have."""
        text = raw if isinstance(raw, str) else json.dumps(raw)
        attributes = {"TraceId": f"{self.name}-trace"} if trace and attributes is None else attributes or {}
        trace_id = attributes.get("TraceId")

        def act() -> None:
            message_id = self.services.send(text, sender_id=SENDER, name=f"{self.name}- {text}", attributes=attributes)
            self.registry.sent(
                message_id,
                text,
                client=self.name,
                kind=kind,
                trace_id=trace_id,
                answers=answers,
                codes=codes,
                **identity,
            )

        self.services.at(self.begin if at is None else at, act)


def _plain(one: Client) -> None:
    body = one.body()
    one.send({"Body": body.decode()}, body, kind="plain", trace=False)


def _id(one: Client) -> None:
    body, inference_id = one.body(), f"{one.name}-id"
    one.send({"Body": body.decode(), "InferenceId": inference_id}, body, kind="id", inference_id=inference_id)


def _strange_id(one: Client) -> None:
    body, inference_id = one.body(), f"{one.name}-{one.random.choice(_IDS)}"
    raw = {"Body": body.decode(), "InferenceId": inference_id}
    for _ in range(one.random.choice((1, 2))):
        one.send(raw, body, kind="strange id", inference_id=inference_id, at=one.later())


def _twice(one: Client) -> None:
    body, inference_id = one.body(b"-varying"), f"{one.name}-id"
    raw = {"Body": body.decode(), "InferenceId": inference_id}
    for at in (one.begin, one.begin + one.random.random() * 3, one.later()):
        one.send(raw, body, kind="sent three times", inference_id=inference_id, at=at)


def _resent(one: Client) -> None:
    body, inference_id = one.body(b"-tired"), f"{one.name}-id"
    raw = {"Body": body.decode(), "InferenceId": inference_id}
    for at in (one.begin, one.later(), one.later(), one.begin + _REPEATS_SECONDS):
        one.send(raw, body, kind="resent", inference_id=inference_id, at=at, codes=("ModelError",))


def _wavering(one: Client) -> None:
    """Copies of a message at the same time, some of which the model refuses."""
    body, inference_id = one.body(b"-wavering"), f"{one.name}-id"
    raw = {"Body": body.decode(), "InferenceId": inference_id}
    for _ in range(3):
        at = one.begin + one.random.random()
        one.send(raw, body, kind="wavering", inference_id=inference_id, at=at, codes=("ModelError",))


def _filename(one: Client) -> None:
    folder = one.random.choice(("", f"{one.name}-dir"))
    for number in range(one.random.choice((2, 3))):
        body = one.body(one.random.choice((b"", b"", b"-refused")))
        raw = {"Body": body.decode(), "Filename": f"{one.name}-f", "InferenceId": f"{one.name}-f{number}"}
        if folder:
            raw["S3OutputPathExtension"] = folder
        one.send(
            raw,
            *([] if b"-refused" in body else [body]),
            kind="one Filename",
            codes=("InvalidMessage", "ModelError"),
            at=one.later(5),
            inference_id=raw["InferenceId"],
            filename=f"{one.name}-f",
            folder=folder,
        )


def _id_of_several(one: Client) -> None:
    """Messages with one InferenceId and different Filenames, one of them with none."""
    inference_id = f"{one.name}-several"
    for number in range(3):
        is_refused, is_invalid = one.random.random() < 0.5, one.random.random() < 0.3
        body = one.body(b"-refused" if is_refused else b"")
        raw = {"Body": body.decode(), "InferenceId": inference_id}
        if filename := f"{one.name}-{number}" if number else None:
            raw["Filename"] = filename
        if is_invalid:
            raw["Unknown"] = "x"
        one.send(
            raw,
            *([] if is_invalid or is_refused else [body]),
            kind="one InferenceId for several Filenames",
            codes=("InvalidMessage", "ModelError"),
            at=one.later(5),
            inference_id=inference_id,
            filename=filename,
        )


def _folder(one: Client) -> None:
    body, folder = one.body(), f"{one.name}-dir/sub"
    raw = {"Body": body.decode(), "S3OutputPathExtension": folder}
    one.send(raw, body, kind="folder", folder=folder, trace=False)


def _binary(one: Client) -> None:
    body = one.body() + one.random.randbytes(20)
    raw = {"BodyBase64": base64.b64encode(body).decode(), "InferenceId": f"{one.name}-id"}
    one.send(raw, body, kind="binary", inference_id=f"{one.name}-id")


def _json(one: Client) -> None:
    value = {"a": [f"{one.name}-b", one.random.random(), "ü €"]}
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    one.send({"Body": value}, body, kind="JSON", trace=False)


def _sns(one: Client) -> None:
    body = one.body()
    message = sns_envelope({"Body": body.decode(), "InferenceId": f"{one.name}-id"})
    one.send(message, body, kind="SNS", inference_id=f"{one.name}-id")


def _event(one: Client) -> None:
    body = one.body()
    detail = {"Body": body.decode(), "InferenceId": f"{one.name}-id"}
    event = {"detail-type": "Wanted", "source": "my.app", "detail": detail}
    one.send(event, body, kind="EventBridge", inference_id=f"{one.name}-id")


def _expiring(one: Client) -> None:
    body = one.body()
    one.send(
        {"Body": body.decode(), "RequestTTLSeconds": 60, "EndpointName": "digits"},
        body,
        kind="RequestTTLSeconds",
        codes=("Expired",),
        trace=False,
    )


def _located(one: Client) -> None:
    body, key = one.body(), f"{one.name}-k.csv"
    one.services.at(one.begin - 1, lambda: one.services.upload(key, body, {}, bucket="lake", notifies=False))
    one.send({"InputLocation": f"s3://lake/{key}"}, body, kind="InputLocation", trace=False)


def _missing(one: Client) -> None:
    raw = {"InputLocation": f"s3://lake/{one.name}-gone.csv"}
    one.send(raw, kind="missing input", codes=("NoSuchKey",), trace=False)


def _denied(one: Client) -> None:
    one.send({"InputLocation": f"s3://lake/{one.name}-denied.csv"}, kind="denied input", trace=False)


def _invalid(one: Client) -> None:
    body = one.body().decode()
    raw: object = one.random.choice(
        (
            {"Body": body, "Unknown": 1},
            {"Body": body, "BodyBase64": ""},
            {"Body": body, "EndpointName": "other"},
            {"Body": body, "InferenceId": f"{one.name}-ü"},
            {"Body": "x" * 30_000, "TargetModel": f"{one.name}-m"},
            {"Body": body, "Filename": "../up"},
            {"Body": body, "S3OutputPathExtension": "a/../b"},
            {"InputLocation": f"s3://foreign/{one.name}-k"},
            {"Body": None, "Accept": None},
            {},
            [body],
            f'{{"Body": "{body}"',
            f'{{"Body": "{body}", "Body": 2}}',
            "[" * 5000 + "]" * 5000,
            f"{body}",
        )
    )
    one.send(raw, kind="invalid", codes=("InvalidMessage",), trace=False)


def _marked(kind: str, mark: bytes, *codes: str, answers: bool = True) -> Callable[[Client], None]:
    def act(one: Client) -> None:
        body, inference_id = one.body(mark), f"{one.name}-id"
        raw = {"Body": body.decode(), "InferenceId": inference_id}
        one.send(raw, *([body] if answers else []), kind=kind, codes=codes, inference_id=inference_id)

    return act


# How frequent each kind is, and what it does.
MESSAGES: dict[str, tuple[float, Callable[[Client], None]]] = {
    "plain": (16, _plain),
    "id": (14, _id),
    "strange id": (5, _strange_id),
    "sent three times": (4, _twice),
    "resent": (3, _resent),
    "wavering": (3, _wavering),
    "one Filename": (3, _filename),
    "one InferenceId for several Filenames": (3, _id_of_several),
    "folder": (3, _folder),
    "binary": (4, _binary),
    "JSON": (3, _json),
    "SNS": (3, _sns),
    "EventBridge": (3, _event),
    "RequestTTLSeconds": (3, _expiring),
    "InputLocation": (4, _located),
    "missing input": (2, _missing),
    "denied input": (0.5, _denied),
    "invalid": (5, _invalid),
    "refused": (4, _marked("refused", b"-refused", "ModelError", answers=False)),
    "failing": (2, _marked("failing", b"-failed", "ModelError", answers=False)),
    "slow": (1, _marked("slow", b"-slow", "ModelTimeout")),
    "large": (1, _marked("large", b"-large")),
    "odd headers": (2, _marked("odd headers", b"-odd")),
    "varying": (3, _marked("varying", b"-varying")),
    "crasher": (0.1, _marked("crasher", b"-crasher")),
}
