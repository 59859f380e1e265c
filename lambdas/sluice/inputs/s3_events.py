"""S3 object-created events, in the S3 notification form and in the EventBridge form."""

from typing import Any, Literal
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.failures import invalid
from sluice.inputs.message import explain
from sluice.inputs.requests import DroppedObject, Ignorable
from sluice.inputs.strict_json import load_json

# S3 sends one record in each notification, although `Records` is an array (S3 User Guide, "Event message structure").
MAX_RECORDS = 10


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Bucket(_Wire):
    name: str = Field(min_length=1)


class _NotifiedObject(_Wire):
    key: str = Field(min_length=1)
    size: int | None = None
    e_tag: str | None = Field(None, alias="eTag")
    version_id: str | None = Field(None, alias="versionId")
    sequencer: str | None = None


class _S3(_Wire):
    bucket: _Bucket
    object: _NotifiedObject


class S3Record(_Wire):
    """A record of an S3 event notification about a created object, `eventVersion` 2.x."""

    event_version: str = Field(alias="eventVersion", pattern=r"^2\.")
    event_source: Literal["aws:s3"] = Field(alias="eventSource")
    event_name: str = Field(alias="eventName", pattern=r"^(s3:)?ObjectCreated:")
    aws_region: str | None = Field(None, alias="awsRegion")
    event_time: str | None = Field(None, alias="eventTime")
    s3: _S3

    @property
    def key(self) -> str:
        """The object's key. In S3 notifications it is URL-encoded, with a space as '+'."""
        return unquote_plus(self.s3.object.key)

    @property
    def version_id(self) -> str | None:
        """The object's version; None in a bucket without versioning."""
        return _version_id(self.s3.object)


class _Notification(_Wire):
    records: list[S3Record] = Field(alias="Records", min_length=1)


class _EventBridgeObject(_Wire):
    key: str = Field(min_length=1)
    size: int | None = None
    etag: str | None = None
    version_id: str | None = Field(None, alias="version-id")
    sequencer: str | None = None


class _Detail(_Wire):
    bucket: _Bucket
    object: _EventBridgeObject


class _EventBridgeEvent(_Wire):
    detail_type: Literal["Object Created"] = Field(alias="detail-type")
    detail: _Detail


def is_test_event(raw: dict[str, Any]) -> bool:
    """Whether this is the event that S3 sends when a notification is configured."""
    return raw.get("Event") == "s3:TestEvent"


def created_records(body: str) -> list[S3Record]:
    """The created objects that an SQS message body, an S3 notification itself, reports; none for `s3:TestEvent`.

    Raises `Failure` (invalid) when it is anything else.
    """
    raw = load_json(body, "message body")
    return [] if isinstance(raw, dict) and is_test_event(raw) else _records(raw)


def from_notification(raw: dict[str, Any]) -> list[DroppedObject | Ignorable]:
    """The objects of an S3 notification. Raises `Failure` (invalid)."""
    return [
        _dropped(record.s3.bucket.name, record.key, record.s3.object, record.s3.object.e_tag)
        for record in _records(raw)
    ]


def from_event_bridge(raw: dict[str, Any]) -> DroppedObject | Ignorable:
    """The object of an EventBridge event. Raises `Failure` (invalid)."""
    try:
        detail = _EventBridgeEvent.model_validate(raw).detail
    except ValidationError as error:
        raise explain(error) from None
    return _dropped(detail.bucket.name, detail.object.key, detail.object, detail.object.etag)


def _records(raw: Any) -> list[S3Record]:
    # Before any validation: a record costs a few bytes to send, and several requests to process.
    if isinstance(raw, dict) and isinstance(records := raw.get("Records"), list) and len(records) > MAX_RECORDS:
        raise invalid("Records", f"has over {MAX_RECORDS} records; S3 sends one in each notification")
    try:
        return _Notification.model_validate(raw).records
    except ValidationError as error:
        raise explain(error) from None


def _dropped(
    bucket: str, key: str, wire: _NotifiedObject | _EventBridgeObject, etag: str | None
) -> DroppedObject | Ignorable:
    if key.endswith("/") and not wire.size:
        return Ignorable("folder marker")
    version_id = _version_id(wire)
    if not (version_id or wire.sequencer or etag):
        raise invalid("object", "the S3 event has neither versionId, sequencer nor eTag to tell uploads apart")
    return DroppedObject(
        bucket=bucket,
        key=key,
        size=wire.size,
        version_id=version_id,
        sequencer=wire.sequencer or None,
        etag=etag.strip('"') if etag else None,
    )


def _version_id(wire: _NotifiedObject | _EventBridgeObject) -> str | None:
    # In a bucket whose versioning is suspended or was never enabled, S3 calls every version "null".
    return None if wire.version_id in {None, "", "null"} else wire.version_id
