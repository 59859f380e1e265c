"""An S3 event names the version of an object in a versioned bucket; one that does not is nobody's upload."""

import json
from typing import Any

import pytest

from sluice.failures import Failure
from sluice.inputs.requests import DroppedObject
from sluice.ports import ObjectHead
from sluice.processing.outcome import Status
from tests.support.events import event_bridge_event
from tests.support.transform import Transforms

KEY = "transform/a.csv"


def dropped(version_id: str | None) -> DroppedObject:
    return DroppedObject("input", KEY, 5, version_id, "0A", "e")


@pytest.mark.parametrize(("event", "stored"), [("v1", "v1"), ("v1", "v2"), ("v1", None), (None, None)])
def test_an_event_that_names_a_version_or_need_not(event: str | None, stored: str | None) -> None:
    dropped(event).check_names_version(ObjectHead(5, "e", stored))


def test_an_event_without_the_version_of_a_versioned_object_is_refused() -> None:
    with pytest.raises(Failure, match="names no version of an object in a versioned bucket") as raised:
        dropped(None).check_names_version(ObjectHead(5, "e", "v1"))
    assert not raised.value.failure_class.retryable


def forged(event: dict[str, Any], form: str, sequencer: str) -> dict[str, Any]:
    """The event without its version and with another sequencer, in one of S3's two forms."""
    described = event["Records"][0]["s3"]["object"]
    if form == "EventBridge":
        return event_bridge_event(KEY, size=described["size"], etag=described["eTag"], sequencer=sequencer)
    described["sequencer"] = sequencer
    del described["versionId"]
    return event


@pytest.mark.parametrize("form", ["notification", "EventBridge"])
@pytest.mark.parametrize("sequencer", ["", "0", "F" * 32])
def test_a_forged_event_sends_no_parts(form: str, sequencer: str) -> None:
    world = Transforms()
    event = world.drop(KEY, b"1\n2\n")
    world.run()
    calls, answered = len(world.endpoint.calls), world.out(KEY)
    world.splits.bodies.append(json.dumps(forged(event, form, sequencer)))
    (outcome,) = world.run()
    # An event with an older sequencer than the answer's is superseded, as S3's own events that come late.
    assert outcome.status is (Status.SUPERSEDED if sequencer == "0" else Status.DEAD_LETTERED)
    assert (len(world.endpoint.calls), world.out(KEY)) == (calls, answered)
