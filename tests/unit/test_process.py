"""The outcome of a valid delivery: the call, and the stored result."""

from typing import Any

import pytest

from sluice.ports import Inference
from sluice.processing.outcome import Status
from tests.support.events import event_bridge_event, s3_event, sns_envelope
from tests.support.fakes import Call, World, with_settings

ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def world() -> World:
    return World()


def test_a_message_is_answered(world: World) -> None:
    world.endpoint.answer = lambda call: Inference(
        b"\x00\xff", "application/octet-stream", "AllTraffic", f"Trace ID: {call.parameters['CustomAttributes']}"
    )
    outcome = world.deliver({"EndpointName": "digits", "Body": "1,2", "Accept": "text/csv", "TargetModel": "m.tar"})
    assert outcome.status is Status.SUCCEEDED
    assert outcome.acknowledged
    assert world.endpoint.calls == [
        Call(
            "digits",
            b"1,2",
            {
                "ContentType": "text/csv",
                "Accept": "text/csv",
                "CustomAttributes": ID,
                "InferenceId": ID,
                "TargetModel": "m.tar",
            },
        )
    ]
    stored = world.results.objects[f"messages/{ID}.out"]
    assert stored.body == b"\x00\xff"
    assert stored.content_type == "application/octet-stream"
    assert stored.metadata["trace-id"] == ID
    assert stored.metadata["inference-id"] == ID
    assert stored.metadata["endpoint-name"] == "digits"
    assert stored.metadata["invoked-production-variant"] == "AllTraffic"
    assert stored.metadata["custom-attributes"] == f"Trace ID: {ID}"
    assert stored.metadata["model-latency-ms"].isdigit()
    assert not world.queue.sent


def test_every_forwarded_parameter_is_sent_under_its_own_name(world: World) -> None:
    given = {
        "Accept": "a/b",
        "ContentType": "c/d",
        "CustomAttributes": "e=f, g",
        "InferenceId": "i",
        "TargetModel": "m",
        "TargetVariant": "v",
        "TargetContainerHostname": "h",
        "InferenceComponentName": "ic",
        "EnableExplanations": "`true`",
        "SessionId": "NEW_SESSION",
        "PrefixAwareId": "p",
    }
    world.deliver({"Body": "x", "TraceId": "t", **given})
    assert world.endpoint.calls[0].parameters == given


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        ({"Body": {"a": 1}}, "application/json"),
        ({"Body": None}, "application/json"),
        ({"Body": "1,2"}, "text/csv"),
        ({"BodyBase64": "QQ=="}, "text/csv"),
        ({"Body": {"a": 1}, "ContentType": "application/x-own"}, "application/x-own"),
    ],
)
def test_content_type_of_a_message(world: World, raw: dict[str, Any], content_type: str) -> None:
    world.deliver(raw)
    assert world.endpoint.calls[0].parameters["ContentType"] == content_type


@pytest.mark.parametrize(
    ("key", "own", "content_type"),
    [
        ("invoke/a.png", "image/x-own", "image/x-own"),
        ("invoke/a.png", "binary/octet-stream", "image/png"),
        ("invoke/a.jsonl", "binary/octet-stream", "application/jsonlines"),
        ("invoke/a.json", "application/octet-stream", "application/octet-stream"),
        ("invoke/a.JL", "binary/octet-stream", "application/jsonlines"),
        ("invoke/a.npy", "binary/octet-stream", "application/x-npy"),
        ("invoke/a", "binary/octet-stream", "text/csv"),
        ("invoke/v1.png/a", "binary/octet-stream", "text/csv"),
    ],
)
def test_content_type_of_an_object_is_its_own_or_else_that_of_its_suffix(
    world: World, key: str, own: str, content_type: str
) -> None:
    world.deliver(world.inputs.drop(key, content_type=own))
    assert world.endpoint.calls[0].parameters["ContentType"] == content_type


def test_input_location(world: World) -> None:
    world.inputs.drop("rows/a.csv", b"7,8", bucket="lake", content_type="text/x-rows", metadata={"accept": "no"})
    outcome = world.deliver({"InputLocation": "s3://lake/rows/a.csv", "InferenceId": "i"})
    assert outcome.status is Status.SUCCEEDED
    assert world.endpoint.calls[0].body == b"7,8"
    assert world.endpoint.calls[0].parameters["ContentType"] == "text/x-rows"
    assert "Accept" not in world.endpoint.calls[0].parameters, "only a dropped object's metadata sets parameters"
    assert "messages/i.out" in world.results.objects


@pytest.mark.parametrize("envelope", [lambda event: event, sns_envelope])
def test_a_dropped_object_is_answered(world: World, envelope: Any) -> None:
    event = world.inputs.drop(
        "invoke/digits/é 7.png",
        b"PNG",
        metadata={
            "accept": "application/json",
            "custom-attributes": "tenant=blue",
            "trace-id": "my-trace",
            "target-variant": "blue",
            "request-ttl-seconds": "60",
            "somebody-elses": "é",
            "filename": "upload/tool/path.png",
        },
    )
    outcome = world.deliver(envelope(event))
    assert outcome.status is Status.SUCCEEDED
    (call,) = world.endpoint.calls
    assert call == Call(
        "digits",
        b"PNG",
        {
            "ContentType": "image/png",
            "Accept": "application/json",
            "CustomAttributes": "tenant=blue",
            "InferenceId": "my-trace",
            "TargetVariant": "blue",
        },
    )
    stored = world.results.objects["invoke/digits/é 7.png.out"]
    assert stored.metadata["trace-id"] == "my-trace"
    assert stored.metadata["source-key"] == "s3://input/invoke/digits/%C3%A9 7.png"
    assert stored.metadata["source-version"] == "v1"


@pytest.mark.parametrize(
    ("key", "metadata", "endpoint"),
    [
        ("invoke/digits/a", {}, "digits"),
        ("invoke/other/a", {}, "wine"),
        ("invoke/digits", {}, "digits"),
        ("invoke/a", {}, "wine"),
        ("invoke/digits/a", {"endpoint-name": "wine"}, "wine"),
    ],
)
def test_the_first_folder_or_the_metadata_chooses_the_endpoint(
    world: World, key: str, metadata: dict[str, str], endpoint: str
) -> None:
    world.deliver(world.inputs.drop(key, metadata=metadata))
    assert world.endpoint.calls[0].endpoint_name == endpoint


@pytest.mark.parametrize(
    ("template", "given", "sent"),
    [
        (None, None, "t"),
        (None, "mine", "mine"),
        ("{custom_attributes},trace_id={trace_id}", "a=b", "a=b,trace_id=t"),
        ("{custom_attributes},trace_id={trace_id}", None, "trace_id=t"),
        ("trace={trace_id}; {custom_attributes}", None, "trace=t"),
    ],
)
def test_custom_attributes(template: str | None, given: str | None, sent: str) -> None:
    world = World(with_settings(custom_attributes_template=template))
    world.deliver({"Body": "x", "TraceId": "t", **({"CustomAttributes": given} if given else {})})
    assert world.endpoint.calls[0].parameters["CustomAttributes"] == sent


def test_custom_attributes_too_long_for_the_template() -> None:
    world = World(with_settings(custom_attributes_template="{custom_attributes},{trace_id}"))
    outcome = world.deliver({"Body": "x", "CustomAttributes": "a" * 1000})
    assert outcome.failure is not None
    assert "CustomAttributes: is over 1024 characters" in outcome.failure.message


@pytest.mark.parametrize(
    "body",
    [
        {"Event": "s3:TestEvent", "Bucket": "input"},
        s3_event("invoke/folder/", size=0, etag="e"),
        event_bridge_event("invoke/folder/", size=0, etag="e"),
    ],
)
def test_ignorable_events_are_acknowledged(world: World, body: object) -> None:
    assert world.deliver(body).status is Status.IGNORED
    assert not world.endpoint.calls
    assert not world.results.objects
    assert not world.queue.sent
