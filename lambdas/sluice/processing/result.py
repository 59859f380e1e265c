"""What is stored: the metadata of a result, the `.err` document, the attributes of a dead-letter message."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import quote

from sluice.failures import Failure
from sluice.inputs.delivery import Delivery
from sluice.inputs.identity import Identity
from sluice.ports import Attribute

OUT = ".out"
ERR = ".err"

IDENTITY = "sluice-identity"
SEQUENCER = "source-sequencer"
TRACE_ID = "trace-id"
INFERENCE_ID = "inference-id"
ENDPOINT_NAME = "endpoint-name"
RECEIVED_AT = "received-at"
SOURCE_KEY = "source-key"
ACCEPT = "accept"
CONTENT_TYPE = "request-content-type"

MAX_MESSAGE_BYTES = 1024 * 1024  # SQS: body and attributes together.
_MAX_METADATA_BYTES = 2048  # S3: user-defined metadata, names and values together.
MAX_TEXT = 1024  # What of an error's text goes into an attribute; the whole stands in the .err.

_HALF_ESCAPE = re.compile(r"%[0-9A-F]?$")
# What S3 metadata can carry as it is; '%' and all else is percent-encoded.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%") + " "


def metadata(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """`pairs` as S3 user metadata: percent-encoded ASCII, cut or left out from the end where 2 KB are full.

    A value that was cut ends in `...`. Put what must not be lost first.
    """
    encoded: dict[str, str] = {}
    left = _MAX_METADATA_BYTES
    for name, value in pairs:
        # Two spaces would become one on the way through the signature and HTTP.
        text = quote((value or "").strip(), safe=_PLAIN).replace("  ", "%20%20")
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
    """The `.err`: the whole reason, as JSON. The request's body is in the dead-letter message."""
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


def dead_letter_attributes(
    identity: Identity,
    failure: Failure,
    delivery: Delivery,
    *,
    endpoint_name: str | None,
    failed_at: datetime,
) -> dict[str, Attribute]:
    """The reason as SQS message attributes: at most ten, and no more bytes than the body leaves of 1 MiB."""
    attributes: dict[str, Attribute] = {}
    left = MAX_MESSAGE_BYTES - len(delivery.body.encode())
    for name, attribute in _reason(identity, failure, delivery, endpoint_name, failed_at):
        room = left - len(name) - len(attribute.data_type)
        value = cut(attribute.value, min(room, MAX_TEXT))
        if not value or (attribute.data_type == "Number" and value != attribute.value):
            continue
        attributes[name] = Attribute(value, attribute.data_type)
        left = room - len(value.encode())
    return attributes


def _reason(
    identity: Identity, failure: Failure, delivery: Delivery, endpoint_name: str | None, failed_at: datetime
) -> Iterable[tuple[str, Attribute]]:
    """The ten, what a redrive and a reader need most first: it is the last that are cut."""
    values: tuple[tuple[str, str | int | None], ...] = (
        ("ErrorCode", failure.code),
        ("InferenceId", identity.inference_id or identity.key),
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
            yield name, Attribute(allowed(str(value)), "Number" if isinstance(value, int) else "String")


def allowed(text: str) -> str:
    """`text` with the characters replaced that SQS refuses (SendMessage: XML's, without control characters)."""
    return "".join(char if char in "\t\n\r" or _in_xml(ord(char)) else "�" for char in text)


def _in_xml(code: int) -> bool:
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8; `…` at the end says that some is gone. Empty where nothing fits."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - len("…".encode())].decode(errors="ignore") + "…" if limit > 16 else ""


def result_metadata(
    identity: Identity,
    *,
    trace_id: str,
    inference_id: str,
    endpoint_name: str,
    source: Mapping[str, str | None],
    answered: Mapping[str, str | None],
    asked: Mapping[str, str | None],
    model_latency_ms: int,
    received_at: datetime,
) -> dict[str, str]:
    """The metadata of a result. First what decides over duplicates, then what people look for, then the rest."""
    return metadata(
        [
            (IDENTITY, identity.key),
            (SEQUENCER, source.get(SEQUENCER)),
            (TRACE_ID, trace_id),
            (INFERENCE_ID, inference_id),
            (ENDPOINT_NAME, endpoint_name),
            ("model-latency-ms", str(model_latency_ms)),
            (RECEIVED_AT, timestamp(received_at)),
            *answered.items(),
            *((name, value) for name, value in source.items() if name != SEQUENCER),
            *asked.items(),
        ]
    )
