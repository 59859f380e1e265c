"""What can arrive on the request queue, and what it asks for.

Accepted as they are: the JSON message; an SNS envelope or an EventBridge event around one; S3 object-created events in
the S3 notification form and in the EventBridge form, themselves with or without an SNS envelope; `s3:TestEvent`.
"""

from typing import Any, Literal
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.failures import invalid
from sluice.inputs.internal_messages import internal_request
from sluice.inputs.message import explain, load_json
from sluice.inputs.requests import DroppedObject, Ignorable, Input, SentMessage

_ENVELOPES = 3  # EventBridge → SNS → SQS is the deepest that AWS itself builds; one more for good measure.


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
    """A record of an S3 event notification of a created object, `eventVersion` 2.x."""

    event_version: str = Field(alias="eventVersion", pattern=r"^2\.")
    event_source: Literal["aws:s3"] = Field(alias="eventSource")
    event_name: str = Field(alias="eventName", pattern=r"^(s3:)?ObjectCreated:")
    aws_region: str | None = Field(None, alias="awsRegion")
    event_time: str | None = Field(None, alias="eventTime")
    s3: _S3

    @property
    def key(self) -> str:
        """The object's key: in S3 notifications it is URL-encoded, a space as '+'."""
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


def read(body: str) -> list[Input]:
    """What an SQS message body asks for: one arrival, or one for each record of an S3 notification.

    Raises `Failure` (invalid) when it is none of the forms accepted.
    """
    raw, field = load_json(body, "message body"), "message body"
    for _ in range(_ENVELOPES):
        if not isinstance(raw, dict):
            raise invalid(field, "must be a JSON object whose keys are InvokeEndpoint parameters")
        if raw.get("Type") == "Notification" and "TopicArn" in raw:
            field = "Message"
            raw = load_json(str(raw.get("Message", "")), "Message (of the SNS envelope)")
        elif "detail-type" in raw and "detail" in raw:
            if raw.get("source") == "aws.s3":
                return [_event_bridge(raw)]
            raw, field = raw["detail"], "detail"
        else:
            return _innermost(raw)
    raise invalid(field, f"is wrapped in more than {_ENVELOPES} SNS or EventBridge envelopes")


def created(body: str) -> list[S3Record]:
    """The objects that an SQS message body, an S3 notification itself, tells of; none for `s3:TestEvent`.

    Raises `Failure` (invalid) when it is anything else.
    """
    raw = load_json(body, "message body")
    return [] if isinstance(raw, dict) and _is_test(raw) else _records(raw)


def _is_test(raw: dict[str, Any]) -> bool:
    return raw.get("Event") == "s3:TestEvent"


def _records(raw: Any) -> list[S3Record]:
    try:
        return _Notification.model_validate(raw).records
    except ValidationError as error:
        raise explain(error) from None


def _innermost(raw: dict[str, Any]) -> list[Input]:
    if _is_test(raw):
        return [Ignorable("s3:TestEvent")]
    if (ours := internal_request(raw)) is not None:
        return [ours]
    if "Records" not in raw:
        return [SentMessage(raw)]
    return [
        _dropped(record.s3.bucket.name, record.key, record.s3.object, record.s3.object.e_tag)
        for record in _records(raw)
    ]


def _event_bridge(raw: dict[str, Any]) -> Input:
    try:
        detail = _EventBridgeEvent.model_validate(raw).detail
    except ValidationError as error:
        raise explain(error) from None
    return _dropped(detail.bucket.name, detail.object.key, detail.object, detail.object.etag)


def _dropped(bucket: str, key: str, wire: _NotifiedObject | _EventBridgeObject, etag: str | None) -> Input:
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
    # A bucket whose versioning was never on, or is suspended, calls every version "null".
    return None if wire.version_id in {None, "", "null"} else wire.version_id
