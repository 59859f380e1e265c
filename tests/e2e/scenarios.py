"""Scenarios that succeed with each function's role; `test_permissions` removes one permission at a time."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, DroppedObject, TransformPart
from sluice.keys import OUT, part_name, parts_folder
from sluice.processing.result import IDENTITY, SEQUENCER
from sluice.transform.work import MAX_LINES
from tests.e2e.bench import LISTED, Bench, Broke, Unit, fresh
from tests.e2e.conftest import EXAMPLES
from tests.e2e.test_pipeline import WINE

_SOON = 4.0  # seconds: longer than the retry delay of these settings, much shorter than the queue's visibility timeout
_OVER_ONE_UPLOAD = 9 * 1024 * 1024


@dataclass(frozen=True)
class Scenario:
    """`name` states what succeeds; `run` raises `Broke` if it fails."""

    name: str
    run: Callable[[Bench, Unit], None]


SCENARIOS: dict[str, list[Scenario]] = {}


def scenario(name: str, *units: str) -> Callable[[Callable[[Bench, Unit], None]], Callable[[Bench, Unit], None]]:
    """Register a scenario for functions, named by their handlers' modules."""

    def register(run: Callable[[Bench, Unit], None]) -> Callable[[Bench, Unit], None]:
        for unit in units:
            SCENARIOS.setdefault(unit, []).append(Scenario(name, run))
        return run

    return register


def check(holds: object, what: str) -> None:
    if not holds:
        raise Broke(what)


@scenario("a request gets its result", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    check(bench.deliver(unit, {**WINE, "InferenceId": name}), "returned to the queue")
    check(bench.stored(f"messages/{name}.out"), "no result")


@scenario("an input in the input bucket is read and sent to the other endpoint", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    bucket = bench.pipeline.engine.input_bucket
    bench.pipeline.drop(f"elsewhere/{name}.png", (EXAMPLES / "digits/7.png").read_bytes())
    location = f"s3://{bucket}/elsewhere/{name}.png"
    check(
        bench.deliver(unit, {"EndpointName": "digits", "InferenceId": name, "InputLocation": location}),
        "returned to the queue",
    )
    check(bench.stored(f"messages/{name}.out"), "no result")


@scenario("an input in a listed bucket is read", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    bench.dropped(LISTED, name, (EXAMPLES / "wine/three.csv").read_bytes())
    message = {"EndpointName": "wine", "InferenceId": name, "InputLocation": f"s3://{LISTED}/{name}"}
    check(bench.deliver(unit, message), "returned to the queue")
    check(bench.stored(f"messages/{name}.out"), "no result")


@scenario("a missing input in the input bucket is dead-lettered immediately", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    _missing(bench, unit, bench.pipeline.engine.input_bucket)


@scenario("a missing input in a listed bucket is dead-lettered immediately", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    _missing(bench, unit, LISTED)


def _missing(bench: Bench, unit: Unit, bucket: str) -> None:
    name = fresh()
    check(bench.deliver(unit, {"InferenceId": name, "InputLocation": f"s3://{bucket}/{name}"}), "returned to the queue")
    check(bench.holds(bench.pipeline.engine.dead_letter_queue_url, name), "no dead letter")


@scenario("the .err of a request that is sent again and succeeds is deleted", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    bench.store(f"messages/{name}.err", b"{}")
    check(bench.deliver(unit, {**WINE, "InferenceId": name}), "returned to the queue")
    check(bench.stored(f"messages/{name}.err") is None, "the .err is still there")


@scenario("an older answer that hides the answer to a newer upload is withdrawn", "invoke", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    older, name = _hidden(bench, f"invoke/{fresh()}.csv")
    check(bench.deliver(unit, older), "returned to the queue")
    check(bench.stored(f"{name}.out") == b"newer", "the older answer is still there")


@scenario("a file's older answer that hides the answer to a newer upload is withdrawn", "split", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    older, name = _hidden(bench, f"transform/{fresh()}.csv")
    file: Any = next(iter(parse(json.dumps(older))))
    check(bench.deliver(unit, older if unit.name == "split" else body_of(Assembly(file))), "returned to the queue")
    check(bench.stored(f"{name}.out") == b"newer", "the older answer is still there")


def _hidden(bench: Bench, key: str) -> tuple[dict[str, Any], str]:
    """The event of the older of two uploads, and the name of its result: the older answer was stored last."""
    older, newer = (bench.dropped(bench.settings.input_bucket, key) for _ in range(2))
    for event, body in ((newer, b"newer"), (older, b"older")):
        metadata = {IDENTITY: bench.identity(event).key, SEQUENCER: event["detail"]["object"]["sequencer"]}
        bench.store(f"{key}.out", body, Metadata=metadata)
    return older, key


@scenario("an invalid message is dead-lettered, with its .err", "invoke", "part", "split", "assemble", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    body = f'{{"{fresh()}": '
    check(bench.deliver(unit, body), "returned to the queue")
    check(bench.holds(bench.pipeline.engine.dead_letter_queue_url, body), "no dead letter")


@scenario("a message whose outcome can't be stored is retried soon", "invoke", "part", "split", "assemble", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    body = f'{{"{fresh()}": '
    with bench.forbidden(unit, "s3:PutObject"):
        check(not bench.deliver(unit, body), "it was acknowledged")
    check(bench.holds(unit.queue_url, body, _SOON), "it is not retried before the visibility timeout")


@scenario("a part is answered, and the last one of its file requests the assembly", "part")
def _(bench: Bench, unit: Unit) -> None:
    _answered(bench, unit, *_part(bench, (EXAMPLES / "wine/three.csv").read_bytes(), ContentType="text/csv"))


_CHAT = {"model": "chat", "messages": [{"role": "user", "content": "When is a message acknowledged?"}]}


@scenario("a chat is sent to the third endpoint", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    check(bench.deliver(unit, {"EndpointName": "chat", "InferenceId": name, "Body": _CHAT}), "returned to the queue")
    check(bench.stored(f"messages/{name}.out"), "no result")


@scenario("a part is sent to the third endpoint", "part")
def _(bench: Bench, unit: Unit) -> None:
    whole = {"Metadata": {"split-type": "None"}, "ContentType": "application/json"}
    _answered(bench, unit, *_part(bench, json.dumps(_CHAT).encode(), "chat", **whole))


@scenario("a part is sent to the other endpoint", "part")
def _(bench: Bench, unit: Unit) -> None:
    image = (EXAMPLES / "digits/7.png").read_bytes()
    whole = {"Metadata": {"split-type": "None"}, "ContentType": "image/png"}
    _answered(bench, unit, *_part(bench, image, "digits", **whole))


def _answered(bench: Bench, unit: Unit, part: str, name: str) -> None:
    check(bench.deliver(unit, part), "returned to the queue")
    check(bench.holds(bench.settings.assembly_queue_url, name), "no assembly")


@scenario("a part with many lines continues as another part after its last receive", "part")
def _(bench: Bench, unit: Unit) -> None:
    part, name = _part(bench, b"\n" * (MAX_LINES + 1))
    check(bench.deliver(unit, part, is_last_receive=True), "returned to the queue")
    check(bench.holds(bench.settings.part_queue_url, name), "no part")


@scenario("a part of a deleted file is dead-lettered immediately", "part")
def _(bench: Bench, unit: Unit) -> None:
    part, name = _part(bench, b"1\n")
    bench.clients.s3.delete_object(Bucket=bench.settings.input_bucket, Key=f"transform/wine/{name}.csv")
    check(bench.deliver(unit, part), "returned to the queue")
    check(bench.holds(bench.pipeline.engine.dead_letter_queue_url, name), "no dead letter")


@scenario("the .err of an answered request whose message came to a wrong queue is deleted", "part")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    bench.store(f"messages/{name}.out", b"1", Metadata={IDENTITY: name})
    bench.store(f"messages/{name}.err", b"{}")
    check(bench.deliver(unit, {**WINE, "InferenceId": name}), "returned to the queue")
    check(bench.stored(f"messages/{name}.err") is None, "the .err is still there")


def _part(bench: Bench, body: bytes, endpoint: str = "wine", **options: Any) -> tuple[str, str]:
    """The message of the only part of a new file, and the name of the file."""
    name = fresh()
    event = bench.dropped(bench.settings.input_bucket, f"transform/{endpoint}/{name}.csv", body, **options)
    file: Any = next(iter(parse(json.dumps(event))))
    return body_of(TransformPart(file, 0, len(body))), name


@scenario("a file is split into parts", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, b"1\n2\n")
    check(bench.deliver(unit, event), "returned to the queue")
    check(bench.holds(bench.settings.part_queue_url, name), "no part")


@scenario("a gzip file is unpacked and split into parts", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, gzip.compress(b"1\n2\n"), ".gz")
    check(bench.deliver(unit, event), "returned to the queue")
    check(bench.holds(bench.settings.part_queue_url, name), "no part")


@scenario("a file without records is sent directly to assembly", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, b"")
    check(bench.deliver(unit, event), "returned to the queue")
    check(bench.holds(bench.settings.assembly_queue_url, name), "no assembly")


@scenario("a corrupt gzip file leaves no multipart upload", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    _, event = _file(bench, gzip.compress(b"1" * _OVER_ONE_UPLOAD)[:-8], ".gz")
    bench.deliver(unit, event)
    check(
        not bench.uploads(parts_folder(bench.identity(event).name, bench.identity(event).key)),
        "the upload is still there",
    )


@scenario("a deleted file is dead-lettered immediately", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, b"1\n")
    bench.clients.s3.delete_object(Bucket=bench.settings.input_bucket, Key=event["detail"]["object"]["key"])
    check(bench.deliver(unit, event), "returned to the queue")
    check(bench.holds(bench.pipeline.engine.dead_letter_queue_url, name), "no dead letter")


def _file(bench: Bench, body: bytes, suffix: str = "") -> tuple[str, dict[str, Any]]:
    name = fresh()
    return name, bench.dropped(bench.settings.input_bucket, f"transform/wine/{name}.csv{suffix}", body)


def _assembly(bench: Bench, *parts: bytes, **options: Any) -> tuple[DroppedObject, str, str]:
    """Return the file, its message and its result's name. Store its parts, the last one with `options`."""
    _, event = _file(bench, b"".join(parts))
    file: Any = next(iter(parse(json.dumps(event))))
    identity = bench.identity(event)
    at = 0
    for number, part in enumerate(parts, 1):
        key = part_name(parts_folder(identity.name, identity.key), at, at + len(part)) + OUT
        metadata = {"records": "1", "failed": "0", "calls": "1"}
        metadata |= {"started": "2026-01-01T00:00:00.000+00:00", "finished": "2026-01-01T00:00:01.000+00:00"}
        last: dict[str, Any] = options if number == len(parts) else {}
        bench.store(key, part, Metadata=metadata, ContentType="text/csv", **last)
        at += len(part)
    return file, body_of(Assembly(file)), identity.name


@scenario("the parts of a file are assembled", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    _, message, name = _assembly(bench, b"1\n", b"2\n")
    check(bench.deliver(unit, message), "returned to the queue")
    check(bench.stored(f"{name}.out") == b"1\n2\n", "not assembled")


@scenario("the .err of a file that is assembled later is deleted", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    _, message, name = _assembly(bench, b"1\n")
    bench.store(f"{name}.err", b"{}")
    check(bench.deliver(unit, message), "returned to the queue")
    check(bench.stored(f"{name}.err") is None, "the .err is still there")


@scenario("a file that was deleted before it was assembled fails", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    file, message, name = _assembly(bench, b"1\n")
    bench.clients.s3.delete_object(Bucket=file.bucket, Key=file.key)
    check(bench.deliver(unit, message), "returned to the queue")
    check(b"ObjectDeleted" in (bench.stored(f"{name}.err") or b""), "it has not failed as deleted")
    check(bench.stored(f"{name}.out") is None, "it was assembled")


@scenario("a file that can't be assembled leaves no multipart upload", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    _, message, name = _assembly(bench, b"1" * _OVER_ONE_UPLOAD, b"2\n", StorageClass="GLACIER")
    check(not bench.deliver(unit, message), "an archived part was read")
    check(not bench.uploads(name), "the upload is still there")


@scenario("a request that crashed the function is dead-lettered with its reason", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    _dead_lettered(bench, unit, {**WINE, "InferenceId": name}, f"messages/{name}.err", name)


@scenario("a file in the input bucket that crashed the function is looked up and dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, bench.settings.input_bucket, "")


@scenario("a file in a listed bucket that crashed the function is looked up and dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, LISTED, f"buckets/{LISTED}/")


@scenario("a file that crashed the function and was deleted from the input bucket is dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, bench.settings.input_bucket, "", gone=True)


@scenario("a file that crashed the function and was deleted from a listed bucket is dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, LISTED, f"buckets/{LISTED}/", gone=True)


def _crashed_drop(bench: Bench, unit: Unit, bucket: str, folder: str, *, gone: bool = False) -> None:
    name = fresh()
    event = bench.dropped(bucket, f"invoke/{name}")
    if gone:
        bench.clients.s3.delete_object(Bucket=bucket, Key=f"invoke/{name}")
    _dead_lettered(bench, unit, event, f"{folder}invoke/{name}.err", name)


def _dead_lettered(bench: Bench, unit: Unit, message: object, error: str, name: str) -> None:
    check(bench.deliver(unit, message), "returned to the queue")
    check(b"Crashed" in (bench.stored(error) or b""), "no .err")
    check(bench.holds(bench.pipeline.engine.dead_letter_queue_url, name), "no dead letter")


@scenario("the .err of a file that has been assembled is deleted", "split", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _, event = _file(bench, b"1\n")
    identity = bench.identity(event)
    bench.store(f"{identity.name}.out", b"2\n", Metadata={IDENTITY: identity.key})
    bench.store(f"{identity.name}.err", b"{}")
    check(bench.deliver(unit, event), "returned to the queue")
    check(bench.stored(f"{identity.name}.err") is None, "the .err is still there")


@scenario("a part that was stored before the crash, the last of its file, requests the assembly", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    file, _, name = _assembly(bench, b"1\n")
    check(bench.deliver(unit, body_of(TransformPart(file, 0, 2))), "returned to the queue")
    check(bench.holds(bench.settings.assembly_queue_url, name), "no assembly")


@scenario("a result is published to the success topic", "notify")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    check(bench.deliver(bench.units["invoke"], {**WINE, "InferenceId": name}), "no result")
    check(bench.deliver(unit, _stored_event(bench, f"messages/{name}.out")), "returned to the queue")


@scenario("a failure is published to the error topic", "notify")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    check(bench.deliver(bench.units["crashed"], {**WINE, "InferenceId": name}), "no failure")
    check(bench.deliver(unit, _stored_event(bench, f"messages/{name}.err")), "returned to the queue")


@scenario("a deleted result is not published, and not requested again", "notify")
def _(bench: Bench, unit: Unit) -> None:
    key = f"messages/{fresh()}.out"
    bench.store(key, b"1")
    event = _stored_event(bench, key)
    version = event["Records"][0]["s3"]["object"]["versionId"]
    bench.clients.s3.delete_object(Bucket=bench.results, Key=key, VersionId=version)
    check(bench.deliver(unit, event), "returned to the queue")


def _stored_event(bench: Bench, key: str) -> dict[str, Any]:
    """The S3 event of a stored result."""
    version = bench.clients.s3.head_object(Bucket=bench.results, Key=key)["VersionId"]
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "awsRegion": "eu-central-2",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": bench.results}, "object": {"key": key, "versionId": version}},
    }
    return {"Records": [record]}
