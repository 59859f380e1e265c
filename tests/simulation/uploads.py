"""The clients that upload objects: one object, several versions of one key, datasets."""

import gzip
import json
from collections.abc import Callable

from tests.simulation.clients import SENDER, Client
from tests.simulation.endpoint import REFUSED
from tests.simulation.requests import Object
from tests.simulation.services import Upload

_NAME_OF = {"input": "", "lake": "buckets/lake/"}


def _object(one: Client, key: str, kind: str, *codes: str, bucket: str = "input") -> Object:
    """The object that the client uploads; made at its first upload."""
    found = one.registry.objects.get((bucket, key))
    if found is None:
        found = Object(one.name, kind, bucket, key, _NAME_OF[bucket] + key, codes=set(codes))
        one.registry.objects[bucket, key] = found
    return found


def _upload(
    one: Client,
    at: float,
    key: str,
    body: bytes,
    kind: str,
    *codes: str,
    bucket: str = "input",
    traced: bool = False,
    metadata: dict[str, str] | None = None,
) -> None:
    def act() -> None:
        described = dict(metadata or {})
        found = _object(one, key, kind, *codes, bucket=bucket)
        if traced:
            described["trace-id"] = f"{one.name}-{len(found.uploads)}"
        upload = one.services.upload(key, body, described, bucket=bucket)
        found.uploads.append(upload)
        if traced:
            found.trace_ids[upload.version_id] = described["trace-id"]

    one.services.at(at, act)


def _versions(kind: str, *marks: str, span: float = 6.0) -> Callable[[Client], None]:
    """Uploads of one key. Equal marks are equal contents."""

    def act(one: Client) -> None:
        bodies = {mark: one.body(mark.encode()) for mark in sorted(set(marks))}
        codes = ["ModelError"] if any("refused" in mark for mark in marks) else []
        key = f"{one.name}-k.csv" if kind == "other bucket" else f"invoke/{one.name}-k.csv"
        bucket = "lake" if kind == "other bucket" else "input"
        at = one.begin
        for mark in marks:
            _upload(one, at, key, bodies[mark], kind, *codes, bucket=bucket, traced=one.random.random() < 0.3)
            at += span * one.random.random() ** 2
        # The event of an old upload may come once more at any time.
        if one.random.random() < 0.1:
            one.services.at(one.later() + span, lambda: _send_events(one, [one.registry.objects[bucket, key]]))

    return act


def _send_events(one: Client, objects: list[Object]) -> None:
    """Send the events of the first upload of objects as one message, as a backfill does."""
    events = [json.loads(found.uploads[0].event) for found in objects if found.uploads]
    records = [record for event in events for record in event.get("Records", [])]
    if records:
        one.services.send(json.dumps({"Records": records}), sender_id=SENDER, name=f"{one.name}- records")


def _records(one: Client) -> None:
    """Objects that one event with several records reports; S3 reports them, too."""
    objects: list[tuple[str, bytes]] = []
    for number, mark in enumerate((b"", b"-refused", b"")):
        objects.append((f"invoke/{one.name}-r{number}.csv", one.body(mark)))
    for key, body in objects:
        _upload(one, one.begin, key, body, "several records", *(["ModelError"] if b"-refused" in body else []))
    at = one.later(20) + 0.1
    one.services.at(at, lambda: _send_events(one, [one.registry.objects["input", key] for key, _ in objects]))


def _gone(one: Client) -> None:
    key = f"invoke/{one.name}-k.csv"
    _upload(one, one.begin, key, one.body(), "deleted", "NoSuchKey")

    def delete() -> None:
        one.registry.objects["input", key].is_deleted = True
        one.services.log.write(one.name, "delete", f"input/{key}")
        one.services.bucket("input").delete(key, None, None)

    one.services.at(one.begin + 4 * one.random.random(), delete)


def _named(kind: str, key: str, *codes: str) -> Callable[[Client], None]:
    def act(one: Client) -> None:
        _upload(one, one.begin, key.format(one.name), one.body(), kind, *codes)

    return act


def _invalid_metadata(one: Client) -> None:
    key = f"invoke/{one.name}-k.csv"
    wrong = {"endpoint-name": "other"} if one.random.random() < 0.5 else {"request-ttl-seconds": "1"}
    _upload(one, one.begin, key, one.body(), "invalid metadata", "InvalidMessage", metadata=wrong)


def _dataset(one: Client) -> None:
    """A dataset of one to three parts, and at times another version of it."""
    name = "crasher" if one.random.random() < 0.1 else "k"
    key = f"transform/{one.name}-{name}.csv" + one.random.choice(("", "", ".gz"))
    at = one.begin
    for version in range(one.random.choice((1, 1, 2))):
        width = one.random.choice((300, 600))
        lines = [
            b"line %s- %d %d %s" % (one.name.encode(), version, number, b"%x" % one.random.getrandbits(width * 4))
            for number in range(one.random.randrange(1, 170_000 // width))
        ]
        for number in one.random.sample(range(len(lines)), min(len(lines) - 1, one.random.choice((0, 0, 1, 2)))):
            lines[number] += REFUSED
        _upload_dataset(one, at, key, lines)
        at += one.random.choice((0.5, 5, 60)) * one.random.random()


def _upload_dataset(one: Client, at: float, key: str, lines: list[bytes]) -> None:
    body = b"".join(line + b"\n" for line in lines)
    stored = gzip.compress(body, 1, mtime=0) if key.endswith(".gz") else body

    def act() -> None:
        found = _object(one, key, "dataset", "ModelError")
        upload: Upload = one.services.upload(key, stored, {"content-type": "text/csv"})
        found.uploads.append(upload)
        found.lines[upload.version_id] = lines

    one.services.at(at, act)


# How frequent each kind is, and what it does.
UPLOADS: dict[str, tuple[float, Callable[[Client], None]]] = {
    "object": (20, _versions("object", "")),
    "two versions": (4, _versions("two versions", "-a", "-b")),
    "A, B, A": (4, _versions("A, B, A", "-a", "-b", "-a", span=3)),
    "A, slow B, A": (3, _versions("A, slow B, A", "-a", "-b-slow", "-a", span=20)),
    "slow A, B": (3, _versions("slow A, B", "-a-slow", "-b", span=20)),
    "equal versions": (2, _versions("equal versions", "-a", "-a")),
    "the newer refused": (2, _versions("the newer refused", "-a", "-refused")),
    "the older refused": (2, _versions("the older refused", "-refused", "-a")),
    "refused versions": (1, _versions("refused versions", "-refused", "-refused-b")),
    "five versions": (1, _versions("five versions", "-a", "-b", "-refused", "-a", "-b", span=2)),
    "other bucket": (2, _versions("other bucket", "")),
    "several records": (1, _records),
    "deleted": (1, _gone),
    "forbidden": (0.5, _named("forbidden", "invoke/{}-denied.csv")),
    "folder of an endpoint": (2, _named("folder of an endpoint", "invoke/digits/{}-a b+ü%.csv")),
    "crashing object": (0.1, _named("crashing object", "invoke/{}-crasher.csv")),
    "invalid metadata": (1, _invalid_metadata),
    "dataset": (1.2, _dataset),
}
