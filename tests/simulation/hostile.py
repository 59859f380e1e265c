"""The hostile sender: whatever a principal may send that may only send messages.

It knows how keys and IDs are formed and what objects contain, but no version ID, which S3 makes up. A message with a
victim's InferenceId is, by the definition of the InferenceId, the victim's request sent again: it must not change an
outcome that is there, but it may be the first to be answered. Likewise whoever is answered first has a Filename. Every
other message must not change anything for anybody.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, DroppedObject, TransformPart
from tests.simulation.requests import Registry
from tests.simulation.services import Services
from tests.support.events import event_bridge_event, s3_event, sns_envelope

SENDER = "AIDAEXAMPLEHOSTILE001"
_LAST = "F" * 16  # later than any sequencer of S3


@dataclass
class Hostile:
    """One message of the hostile sender, about a victim."""

    services: Services
    registry: Registry
    name: str
    victim: str
    random: random.Random

    def body(self) -> bytes:
        """A body whose answer nobody else may have."""
        return f"{self.name}-forged".encode()

    def act(self) -> None:
        """Send a message."""
        _ATTACKS[self.random.choice(sorted(_ATTACKS))](self)

    def send(self, raw: object, attributes: dict[str, str] | None = None) -> None:
        """Send a message, and note its ID."""
        text = raw if isinstance(raw, str) else json.dumps(raw)
        name = f"{self.name}- {self.random.random()}"
        message_id = self.services.send(text, sender_id=SENDER, name=name, attributes=attributes)
        self.registry.forged.add(message_id)

    def as_victim(self, owner: str) -> None:
        """Note that the next message is, by its ID, one of the victim's request."""
        self.registry.attacks[owner].append((self.services.scheduler.time, self.body()))

    def victims_keys(self) -> list[str]:
        """The keys that the victim may have."""
        name = self.victim
        return [f"invoke/{name}-k.csv", f"transform/{name}-k.csv", f"transform/{name}-k.csv.gz"]

    def details(self) -> dict[str, Any]:
        """What a forged event says of an object: nothing that identifies its version."""
        made: list[dict[str, Any]] = [
            {"sequencer": _LAST},
            {"sequencer": _LAST, "etag": "0" * 32},
            {"sequencer": _LAST, "version_id": "null", "etag": "0" * 32},
            {"sequencer": _LAST, "version_id": self.services.dice.identifier(f"guess {self.name}")},
            {"etag": self._etag()},
            {"sequencer": _LAST, "etag": self._etag()},
        ]
        return self.random.choice(made)

    def _etag(self) -> str:
        """The ETag of the victim's object: its content may be known."""
        for key in self.victims_keys():
            if (there := self.services.bucket("input").current(key)) is not None:
                return there.etag
        return "0" * 32

    def file(self) -> DroppedObject:
        """The dataset of the victim, as far as it can be known."""
        key = self.random.choice(self.victims_keys())
        there = self.services.bucket("input").current(key)
        size = len(there.body or b"") if there else 1000
        version = self.random.choice((None, "null", self.services.dice.identifier(f"guess {self.name}")))
        return DroppedObject("input", key, size, version, _LAST, self._etag())


def _event(one: Hostile) -> None:
    made: Callable[..., dict[str, Any]] = one.random.choice((s3_event, event_bridge_event))
    event = made(one.random.choice(one.victims_keys()), size=one.random.choice((0, 5, 10**9)), **one.details())
    one.send(sns_envelope(event) if one.random.random() < 0.2 else event)


def _records(one: Hostile) -> None:
    events = [s3_event(key, **one.details()) for key in one.victims_keys() * 3]
    one.send({"Records": [event["Records"][0] for event in events]})


def _many_records(one: Hostile) -> None:
    record = s3_event(one.victims_keys()[0], **one.details())["Records"][0]
    one.send({"Records": [record] * one.random.choice((11, 500)) + [{}] * one.random.choice((0, 5000))})


def _foreign(one: Hostile) -> None:
    key, bucket = one.random.choice(
        (
            ("invoke/" + one.victim + "-k.csv", "foreign"),
            ("invoke/" + one.victim + "-k.csv.out", "results"),
            (f"parts/transform/{one.victim}-k.csv/0", "input"),
            (f"messages/{one.victim}-id.out", "input"),
            (f"invoke/../messages/{one.victim}-id", "input"),
            (f"invoke/{one.victim}-k.csv\x00", "input"),
            (f"{one.victim}-k.csv", "lake"),
            (f"invoke/{one.victim}-gone.csv", "input"),
        )
    )
    one.send(s3_event(key, bucket=bucket, **one.details()))


def _part(one: Hostile) -> None:
    file = one.file()
    end = one.random.choice((1, file.size or 1, 10**9))
    body = json.loads(body_of(TransformPart(file, 0, min(end, file.size or 1), one.random.random() < 0.3)))
    body["TransformPart"]["End"] = end
    one.send(body)


def _assembly(one: Hostile) -> None:
    one.send(body_of(Assembly(one.file())))


def _same_id(one: Hostile) -> None:
    one.as_victim(f"{one.victim}-id")
    raw: dict[str, Any] = {"Body": one.body().decode(), "InferenceId": f"{one.victim}-id"}
    if one.random.random() < 0.3:
        raw["Unknown"] = 1
    one.send(raw)


def _id_and_filename(one: Hostile) -> None:
    """The victim's InferenceId with a Filename is another request."""
    inference_id = f"{one.victim}-{one.random.choice(('id', 'several', 'f0'))}"
    raw = {"Body": one.body().decode(), "InferenceId": inference_id, "Filename": "hostile"}
    if one.random.random() < 0.5:
        raw["EndpointName"] = "nope"
    if one.random.random() < 0.3:
        raw["S3OutputPathExtension"] = f"{one.victim}-dir"
    one.registry.sharing[inference_id] += 1
    one.send(raw)


def _id_in_attributes(one: Hostile) -> None:
    one.as_victim(f"{one.victim}-id")
    one.send({"Body": one.body().decode()}, {"InferenceId": f"{one.victim}-id", "TraceId": f"{one.victim}-trace"})


def _same_filename(one: Hostile) -> None:
    one.send({"Body": one.body().decode(), "Filename": f"{one.victim}-f"})


def _path_as_id(one: Hostile) -> None:
    names = (f"../invoke/{one.victim}-k.csv", f"../{one.victim}-id", f"{one.victim}-id.out", f"{one.victim}-id.err")
    raw = {"Body": one.body().decode(), "InferenceId": one.random.choice(names)}
    if one.random.random() < 0.5:
        raw["S3OutputPathExtension"] = one.random.choice(("..", f"../invoke/{one.victim}-k.csv", "a//b", "."))
    one.send(raw)


def _own_input(one: Hostile) -> None:
    """The victim's input and results, as the hostile sender's own input."""
    places = [f"s3://input/{key}" for key in one.victims_keys()]
    places += [f"s3://results/messages/{one.victim}-id.out", f"s3://lake/{one.victim}-k.csv", "s3://lake/../x"]
    one.send({"InputLocation": one.random.choice(places), "CustomAttributes": "a\r\nb"})


def _deep(one: Hostile) -> None:
    depth = one.random.choice((150, 250, 20_000))
    deep = "[" * depth + "]" * depth
    one.send(one.random.choice((deep, f'{{"Body": {deep}}}', f'{{"Records": [{deep}]}}')))


def _large(one: Hostile) -> None:
    keys = ", ".join(f'"k{number}": 1' for number in range(one.random.choice((65, 3000))))
    one.send(one.random.choice((f"{{{keys}}}", "9" * 5000, '{"Body": ' + "9" * 5000 + "}", " ")))


_ATTACKS: dict[str, Callable[[Hostile], None]] = {
    "forged event": _event,
    "forged event again": _event,
    "forged records": _records,
    "many records": _many_records,
    "foreign object": _foreign,
    "forged part": _part,
    "forged assembly": _assembly,
    "the victim's ID": _same_id,
    "the victim's ID as an attribute": _id_in_attributes,
    "the victim's Filename": _same_filename,
    "the victim's ID and a Filename": _id_and_filename,
    "a path as an ID": _path_as_id,
    "the victim's input": _own_input,
    "deep JSON": _deep,
    "large JSON": _large,
}
