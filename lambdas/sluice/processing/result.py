"""The contents of outcomes: a result's metadata, the `.err` document, the attributes of a dead-letter message."""

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.delivery import Delivery
from sluice.inputs.identity import Identity
from sluice.inputs.invocation import Invocation
from sluice.inputs.requests import DroppedObject, Request
from sluice.ports import Attribute, Inference, ObjectHead
from sluice.processing.attempt import Attempt

# Names in the metadata of a result.
IDENTITY = "sluice-identity"
SEQUENCER = "source-sequencer"
MESSAGE_ID = "message-id"
SOURCE_VERSION = "source-version"
TRACE_ID = "trace-id"
INFERENCE_ID = "inference-id"
ENDPOINT_NAME = "endpoint-name"
RECEIVED_AT = "received-at"
SOURCE_KEY = "source-key"
RUN = "run"
ACCEPT = "accept"
CONTENT_TYPE = "request-content-type"

MAX_MESSAGE_BYTES = 1024 * 1024  # SQS: body and attributes together
_MAX_METADATA_BYTES = 2048  # S3: user-defined metadata, names and values together
MAX_TEXT = 1024  # bytes of an error's text in an attribute; the .err has the whole text

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HALF_ESCAPE = re.compile(r"%[0-9A-F]?$")
# The characters that S3 metadata carries as they are; '%' and all others are percent-encoded.
_AS_IT_IS = re.compile(r"[!-$&-~]*(?: [!-$&-~]+)*")  # plain characters, with single spaces between them
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%") + " "


def metadata(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """`pairs` as S3 user metadata: percent-encoded ASCII, truncated or left out from the end once 2 KB are full.

    A value that was truncated ends in `...`. Put what must not be lost first.
    """
    encoded: dict[str, str] = {}
    left = _MAX_METADATA_BYTES
    for name, value in pairs:
        text = (value or "").strip()
        if not _AS_IT_IS.fullmatch(text):
            # The signature and HTTP would reduce two spaces to one.
            text = quote(text, safe=_PLAIN).replace("  ", "%20%20")
        room = left - len(name)
        if len(text) > room:
            text = _HALF_ESCAPE.sub("", text[: max(0, room - 3)]) + "..."
        if text and len(text) <= room:
            encoded[name] = text
            left = room - len(text)
    return encoded


def timestamp(when: datetime) -> str:
    """`when`, a UTC time, in ISO 8601 with milliseconds and `Z`."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def error_document(
    identity: Identity,
    failure: Failure,
    delivery: Delivery,
    *,
    endpoint_name: str | None,
    source: str | None,
    failed_at: datetime,
) -> bytes:
    """The `.err`: the complete reason, as JSON. The request's body is in the dead-letter message."""
    document = {
        **{name: attribute.value for name, attribute in _reason(identity, failure, delivery, endpoint_name, failed_at)},
        "ErrorMessage": failure.message,
        "FailureClass": failure.failure_class,
        "OriginalStatusCode": failure.original_status_code,
        "OriginalMessage": failure.original_message,
        "Attempts": delivery.receive_count,
        "MessageId": delivery.message_id,
        "ReceivedAt": timestamp(delivery.sent_at),
        "Source": source,
        "MessageAttributes": {
            name: value.get("stringValue") or value.get("binaryValue") for name, value in delivery.attributes.items()
        },
    }
    return json.dumps({name: value for name, value in document.items() if value is not None}, indent=2).encode()


def failure_from(document: bytes) -> Failure:
    """The failure that an `.err` describes."""
    fields = json.loads(document)
    return Failure(
        FailureClass[fields["FailureClass"].upper()],
        fields["ErrorCode"],
        fields["ErrorMessage"],
        original_status_code=fields.get("OriginalStatusCode"),
        original_message=fields.get("OriginalMessage"),
        log_stream_arn=fields.get("LogStreamArn"),
    )


def dead_letter_attributes(
    identity: Identity,
    failure: Failure,
    delivery: Delivery,
    *,
    endpoint_name: str | None,
    failed_at: datetime,
) -> dict[str, Attribute]:
    """The reason as SQS message attributes: at most ten, in no more bytes than the body leaves of 1 MiB."""
    attributes: dict[str, Attribute] = {}
    left = MAX_MESSAGE_BYTES - len(delivery.body.encode())
    for name, attribute in _reason(identity, failure, delivery, endpoint_name, failed_at):
        room = left - len(name) - len(attribute.data_type)
        value = truncate(attribute.value, min(room, MAX_TEXT))
        if not value or (attribute.data_type == "Number" and value != attribute.value):
            continue
        attributes[name] = Attribute(value, attribute.data_type)
        left = room - len(value.encode())
    return attributes


def _reason(
    identity: Identity, failure: Failure, delivery: Delivery, endpoint_name: str | None, failed_at: datetime
) -> Iterable[tuple[str, Attribute]]:
    """The ten attributes. What a redrive and a reader need most comes first, because the last ones are truncated."""
    values: tuple[tuple[str, str | int | None], ...] = (
        ("ErrorCode", failure.code),
        ("InferenceId", identity.inference_id or identity.id),
        ("TraceId", identity.trace_id),
        ("EndpointName", endpoint_name),
        ("Attempts", delivery.receive_count),
        ("FailedAt", timestamp(failed_at)),
        ("OriginalStatusCode", failure.original_status_code),
        ("ErrorMessage", failure.message),
        ("OriginalMessage", failure.original_message),
        ("LogStreamArn", failure.log_stream_arn),
    )
    for name, value in values:
        if value is not None and value != "":
            # Cut first, with one character over the limit, so that `truncate` marks the cut.
            text = sanitize(str(value)[: MAX_TEXT + 1])
            yield name, Attribute(text, "Number" if isinstance(value, int) else "String")


def sanitize(text: str) -> str:
    """`text` with the characters replaced that SQS refuses (SendMessage: those of XML, no control characters)."""
    return _NOT_IN_XML.sub("�", text)


def truncate(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8. `…` marks a truncated text. Empty when nothing fits."""
    encoded = text[: limit + 1].encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - len("…".encode())].decode(errors="ignore") + "…" if limit > 16 else ""


def owner_metadata(attempt: Attempt[Request]) -> dict[str, str]:
    """The metadata of an `.err`: the request that owns it, its object's version, and the message that failed."""
    upload = attempt.request.upload
    return metadata(
        [
            (IDENTITY, attempt.identity.owner),
            (SEQUENCER, upload.sequencer if upload else None),
            (MESSAGE_ID, attempt.delivery.message_id),
            (SOURCE_VERSION, (upload.version_id or upload.etag) if upload else None),
        ]
    )


def owner_of(stored: ObjectHead) -> str | None:
    """The `Identity.key` of the request that a result or an `.err` is of; None for one without an owner."""
    owner = stored.metadata.get(IDENTITY)
    return None if owner is None else unquote(owner)


def inference_metadata(
    attempt: Attempt[Request], invocation: Invocation, inference: Inference, latency: timedelta
) -> dict[str, str]:
    """The metadata of a result. What decides over duplicates comes first, then what people look for, then the rest."""
    dropped = attempt.request if isinstance(attempt.request, DroppedObject) else None
    return metadata(
        [
            (IDENTITY, attempt.identity.key),
            (SEQUENCER, dropped.sequencer if dropped else None),
            (TRACE_ID, invocation.trace_id),
            (INFERENCE_ID, invocation.inference_id),
            (ENDPOINT_NAME, invocation.endpoint_name),
            ("model-latency-ms", str(round(latency.total_seconds() * 1000))),
            (RECEIVED_AT, timestamp(attempt.delivery.sent_at)),
            ("invoked-production-variant", inference.invoked_production_variant),
            ("custom-attributes", inference.custom_attributes),
            ("new-session-id", inference.new_session_id),
            ("closed-session-id", inference.closed_session_id),
            (SOURCE_VERSION, (dropped.version_id or dropped.etag) if dropped else None),
            (SOURCE_KEY, attempt.request.source),
            (CONTENT_TYPE, invocation.parameters["ContentType"]),
            (ACCEPT, invocation.parameters.get("Accept")),
        ]
    )
