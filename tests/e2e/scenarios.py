"""What each function is for, in sentences that hold with its role; `test_permissions` breaks them one by one."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import Assembly, DroppedObject
from sluice.keys import OUT, part_name, parts_folder
from sluice.processing.result import IDENTITY
from tests.e2e.bench import LISTED, Bench, Broke, Unit, fresh
from tests.e2e.conftest import EXAMPLES
from tests.e2e.test_pipeline import WINE

_SOON = 4.0  # seconds: over the wait that the settings make, far under the queue's visibility timeout
_OVER_ONE_UPLOAD = 9 * 1024 * 1024


@dataclass(frozen=True)
class Scenario:
    """`name` is what holds; `run` raises `Broke` when it does not."""

    name: str
    run: Callable[[Bench, Unit], None]


SCENARIOS: dict[str, list[Scenario]] = {}


def scenario(name: str, *units: str) -> Callable[[Callable[[Bench, Unit], None]], Callable[[Bench, Unit], None]]:
    """Register what holds for some functions, by their handlers' modules."""

    def register(run: Callable[[Bench, Unit], None]) -> Callable[[Bench, Unit], None]:
        for unit in units:
            SCENARIOS.setdefault(unit, []).append(Scenario(name, run))
        return run

    return register


def must(holds: object, what: str) -> None:
    if not holds:
        raise Broke(what)


@scenario("a request is answered", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    must(bench.deliver(unit, {**WINE, "InferenceId": name}), "it comes back")
    must(bench.stored(f"messages/{name}.out"), "no answer")


@scenario("an input in the input bucket is read, and answered by the other endpoint", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    bucket = bench.pipeline.engine.input_bucket
    bench.pipeline.drop(f"elsewhere/{name}.png", (EXAMPLES / "digits/7.png").read_bytes())
    location = f"s3://{bucket}/elsewhere/{name}.png"
    must(bench.deliver(unit, {"EndpointName": "digits", "InferenceId": name, "InputLocation": location}), "comes back")
    must(bench.stored(f"messages/{name}.out"), "no answer")


@scenario("an input in a listed bucket is read", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    bench.dropped(LISTED, name, (EXAMPLES / "wine/three.csv").read_bytes())
    message = {"EndpointName": "wine", "InferenceId": name, "InputLocation": f"s3://{LISTED}/{name}"}
    must(bench.deliver(unit, message), "it comes back")
    must(bench.stored(f"messages/{name}.out"), "no answer")


@scenario("an input that is missing from the input bucket is dead-lettered at once", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    _missing(bench, unit, bench.pipeline.engine.input_bucket)


@scenario("an input that is missing from a listed bucket is dead-lettered at once", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    _missing(bench, unit, LISTED)


def _missing(bench: Bench, unit: Unit, bucket: str) -> None:
    name = fresh()
    must(bench.deliver(unit, {"InferenceId": name, "InputLocation": f"s3://{bucket}/{name}"}), "it comes back")
    must(bench.holds(bench.pipeline.engine.dead_letter_queue_url, name), "no dead letter")


@scenario("a request that is sent again and succeeds loses its .err", "invoke")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    bench.store(f"messages/{name}.err", b"{}")
    must(bench.deliver(unit, {**WINE, "InferenceId": name}), "it comes back")
    must(bench.stored(f"messages/{name}.err") is None, "the .err is still there")


@scenario("a message that is wrong is dead-lettered, with its .err", "invoke", "split", "assemble", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    body = f'{{"{fresh()}": '
    must(bench.deliver(unit, body), "it comes back")
    must(bench.holds(bench.pipeline.engine.dead_letter_queue_url, body), "no dead letter")


@scenario("what can't be stored now comes back soon", "invoke", "split", "assemble", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    body = f'{{"{fresh()}": '
    with bench.forbidden(unit, "s3:PutObject"):
        must(not bench.deliver(unit, body), "it was acknowledged")
    must(bench.holds(unit.queue_url, body, _SOON), "it does not come back before the visibility timeout")


@scenario("a file is split into parts", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, b"1\n2\n")
    must(bench.deliver(unit, event), "it comes back")
    must(bench.holds(bench.settings.request_queue_url, name), "no part")


@scenario("a gzip is unpacked and split into parts", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, gzip.compress(b"1\n2\n"), ".gz")
    must(bench.deliver(unit, event), "it comes back")
    must(bench.holds(bench.settings.request_queue_url, name), "no part")


@scenario("a file without records goes straight to be assembled", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, b"")
    must(bench.deliver(unit, event), "it comes back")
    must(bench.holds(bench.settings.assembly_queue_url, name), "no assembly")


@scenario("a broken gzip leaves no upload behind", "invoke", "split")
def _(bench: Bench, unit: Unit) -> None:
    _, event = _file(bench, gzip.compress(b"1" * _OVER_ONE_UPLOAD)[:-8], ".gz")
    bench.deliver(unit, event)
    must(
        not bench.uploads(parts_folder(bench.identity(event).name, bench.identity(event).key)),
        "the upload is still there",
    )


@scenario("a file that has gone is dead-lettered at once", "split")
def _(bench: Bench, unit: Unit) -> None:
    name, event = _file(bench, b"1\n")
    bench.clients.s3.delete_object(Bucket=bench.settings.input_bucket, Key=event["detail"]["object"]["key"])
    must(bench.deliver(unit, event), "it comes back")
    must(bench.holds(bench.pipeline.engine.dead_letter_queue_url, name), "no dead letter")


def _file(bench: Bench, body: bytes, suffix: str = "") -> tuple[str, dict[str, Any]]:
    name = fresh()
    return name, bench.dropped(bench.settings.input_bucket, f"transform/wine/{name}.csv{suffix}", body)


def _assembly(bench: Bench, *parts: bytes, **how: Any) -> tuple[DroppedObject, str, str]:
    """The file, its message and its result's name; its parts are stored, the last of them as `how` says."""
    _, event = _file(bench, b"".join(parts))
    file: Any = next(iter(parse(json.dumps(event))))
    identity = bench.identity(event)
    at = 0
    for number, part in enumerate(parts, 1):
        key = part_name(parts_folder(identity.name, identity.key), at, at + len(part)) + OUT
        facts = {"records": "1", "failed": "0", "calls": "1"}
        facts |= {"started": "2026-01-01T00:00:00.000+00:00", "finished": "2026-01-01T00:00:01.000+00:00"}
        last: dict[str, Any] = how if number == len(parts) else {}
        bench.store(key, part, Metadata=facts, ContentType="text/csv", **last)
        at += len(part)
    return file, body_of(Assembly(file)), identity.name


@scenario("the parts of a file are made one", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    _, message, name = _assembly(bench, b"1\n", b"2\n")
    must(bench.deliver(unit, message), "it comes back")
    must(bench.stored(f"{name}.out") == b"1\n2\n", "not assembled")


@scenario("a file that is assembled after all loses its .err", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    _, message, name = _assembly(bench, b"1\n")
    bench.store(f"{name}.err", b"{}")
    must(bench.deliver(unit, message), "it comes back")
    must(bench.stored(f"{name}.err") is None, "the .err is still there")


@scenario("a file that can't be assembled leaves no upload behind", "assemble")
def _(bench: Bench, unit: Unit) -> None:
    _, message, name = _assembly(bench, b"1" * _OVER_ONE_UPLOAD, b"2\n", StorageClass="GLACIER")
    must(not bench.deliver(unit, message), "what is archived was read")
    must(not bench.uploads(name), "the upload is still there")


@scenario("a request that crashed the function is dead-lettered with its reason", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    _buried(bench, unit, {**WINE, "InferenceId": name}, f"messages/{name}.err", name)


@scenario("a file in the input bucket that crashed the function is looked for, and dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, bench.settings.input_bucket, "")


@scenario("a file in a listed bucket that crashed the function is looked for, and dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, LISTED, f"buckets/{LISTED}/")


@scenario("a file that crashed the function and has gone from the input bucket is dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, bench.settings.input_bucket, "", gone=True)


@scenario("a file that crashed the function and has gone from a listed bucket is dead-lettered", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _crashed_drop(bench, unit, LISTED, f"buckets/{LISTED}/", gone=True)


def _crashed_drop(bench: Bench, unit: Unit, bucket: str, folder: str, *, gone: bool = False) -> None:
    name = fresh()
    event = bench.dropped(bucket, f"invoke/{name}")
    if gone:
        bench.clients.s3.delete_object(Bucket=bucket, Key=f"invoke/{name}")
    _buried(bench, unit, event, f"{folder}invoke/{name}.err", name)


def _buried(bench: Bench, unit: Unit, message: object, error: str, name: str) -> None:
    must(bench.deliver(unit, message), "it comes back")
    must(b"Crashed" in (bench.stored(error) or b""), "no .err")
    must(bench.holds(bench.pipeline.engine.dead_letter_queue_url, name), "no dead letter")


@scenario("a file that was assembled before the function crashed loses its .err", "crashed")
def _(bench: Bench, unit: Unit) -> None:
    _, event = _file(bench, b"1\n")
    identity = bench.identity(event)
    file: Any = next(iter(parse(json.dumps(event))))
    bench.store(f"{identity.name}.out", b"2\n", Metadata={IDENTITY: identity.key})
    bench.store(f"{identity.name}.err", b"{}")
    must(bench.deliver(unit, body_of(Assembly(file))), "it comes back")
    must(bench.stored(f"{identity.name}.err") is None, "the .err is still there")


@scenario("the success topic is told of a result", "notify")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    must(bench.deliver(bench.units["invoke"], {**WINE, "InferenceId": name}), "no result")
    must(bench.deliver(unit, _stored_event(bench, f"messages/{name}.out")), "it comes back")


@scenario("the error topic is told of a failure", "notify")
def _(bench: Bench, unit: Unit) -> None:
    name = fresh()
    must(bench.deliver(bench.units["crashed"], {**WINE, "InferenceId": name}), "no failure")
    must(bench.deliver(unit, _stored_event(bench, f"messages/{name}.err")), "it comes back")


@scenario("a result that has gone is told of to nobody, and not asked for again", "notify")
def _(bench: Bench, unit: Unit) -> None:
    key = f"messages/{fresh()}.out"
    bench.store(key, b"1")
    event = _stored_event(bench, key)
    version = event["Records"][0]["s3"]["object"]["versionId"]
    bench.clients.s3.delete_object(Bucket=bench.results, Key=key, VersionId=version)
    must(bench.deliver(unit, event), "it comes back")


def _stored_event(bench: Bench, key: str) -> dict[str, Any]:
    """What S3 says of a stored result."""
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
