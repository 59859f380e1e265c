"""Who a request is: its trace ID, the identity that makes two deliveries the same request, the name of its result.

All three are the same at every delivery, and known before the message is validated, so that a failure has them too.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from sluice.failures import invalid
from sluice.inputs.delivery import Delivery
from sluice.inputs.message import Message
from sluice.inputs.requests import Assembly, DroppedObject, Request, SentMessage, TransformPart
from sluice.settings import Settings

INVOKE_PREFIX = "invoke/"
TRANSFORM_PREFIX = "transform/"
PARTS_PREFIX = "parts/"  # of its own, as a lifecycle rule goes by prefix
_MESSAGES = "messages"
OTHER_BUCKETS_PREFIX = "buckets/"
_MAX_NAME_BYTES = 1024 - len(".out")  # S3 object keys are at most 1024 bytes of UTF-8.
_PART_NAME_BYTES = 128  # "parts/", the version, where a part begins and ends, ".errors.<digest>.jsonl"
_KEY_SAFE = "!_.*'()-"  # What S3 recommends in keys; anything else in an InferenceId is percent-encoded.
_X_RAY_ROOT = re.compile(r"(?:^|;)\s*Root=([\x21-\x3a\x3c-\x7e]{1,64})")

_FIELDS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(field.rebuild_annotation())
    for name, field in Message.model_fields.items()
    if name in {"endpoint_name", "trace_id", "inference_id", "input_location", "s3_output_path_extension", "filename"}
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request is.

    `name` is the result's key without `.out` or `.err`. `key` is equal for two deliveries of the same request and for
    no others. `repeatable` says that a sender can make a second message with the same `key`; where it is false, only
    SQS can deliver it twice. `inference_id` is the caller's, if there is one. `endpoint_name` is the one asked for, as
    far as it can be told before the message is validated. `of_file` is the name of the file that a part belongs to: its
    failure is the file's.
    """

    name: str
    key: str
    trace_id: str
    repeatable: bool
    inference_id: str | None = None
    endpoint_name: str | None = None
    of_file: str | None = None

    @property
    def error_name(self) -> str:
        """The key of the `.err`, without that."""
        return self.of_file or self.name


def of_delivery(delivery: Delivery) -> Identity:
    """The identity of a message that can't even be read: its IDs in attributes, else what SQS says of it."""
    return of_message(SentMessage({}), delivery)


def of_message(message: SentMessage, delivery: Delivery) -> Identity:
    """The identity of a sent message: InferenceId in the body, else in the attributes, else the SQS message ID.

    A redrive gets a new message ID; the dead-letter queue's attributes carry the IDs over.
    """
    attributes = delivery.string_attributes
    inference_id = _valid("inference_id", message.raw.get("InferenceId")) or _valid(
        "inference_id", attributes.get("InferenceId")
    )
    key = inference_id or delivery.message_id
    return Identity(
        name=_message_name(message.raw, key),
        key=key,
        trace_id=_trace_id(message.raw.get("TraceId"), inference_id, delivery) or delivery.message_id,
        repeatable=inference_id is not None or "Filename" in message.raw,
        inference_id=inference_id,
        endpoint_name=_valid("endpoint_name", message.raw.get("EndpointName")),
    )


def of_object(dropped: DroppedObject, settings: Settings, delivery: Delivery) -> Identity:
    """The identity of a dropped object: one for each version of it, whatever delivers the event.

    Raises `Failure` (invalid) when the object lies where results can't be named after it.
    """
    if not settings.may_read(dropped.bucket):
        raise invalid("bucket", "the object's bucket is not one this deployment reads; see input_location_buckets")
    name = name_of_object(dropped.bucket, dropped.key, settings.input_bucket)
    key = key_of_version(dropped.bucket, dropped.key, dropped.version_id or dropped.sequencer or dropped.etag)
    return Identity(
        name=name,
        key=key,
        trace_id=_valid("trace_id", delivery.string_attributes.get("TraceId")) or key,
        repeatable=True,
        endpoint_name=folder_endpoint(dropped, settings),
    )


def of(request: Request, settings: Settings, delivery: Delivery) -> Identity:
    """The identity of any request. Raises `Failure` (invalid) as `of_object` does."""
    if isinstance(request, SentMessage):
        return of_message(request, delivery)
    if isinstance(request, TransformPart):
        return of_part(request, settings, delivery)
    return of_object(request.file if isinstance(request, Assembly) else request, settings, delivery)


def of_part(part: TransformPart, settings: Settings, delivery: Delivery) -> Identity:
    """The identity of a part of a file: the file's version, and where the part begins and ends.

    Raises `Failure` (invalid) as `of_object` does.
    """
    file = of_object(part.file, settings, delivery)
    return replace(
        file,
        name=f"{parts_folder(file)}{part.start:015d}-{part.end:015d}",
        key=f"{file.key}/{part.start}-{part.end}",
        of_file=file.name,
    )


def key_of_version(bucket: str, key: str, version: str | None) -> str:
    """The `Identity.key` of a version of an object: the same whatever delivers its event."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"s3://{bucket}/{key}?{version}"))


def parts_folder(file: Identity) -> str:
    """Where the parts of a version of a file lie while it is transformed."""
    return f"{PARTS_PREFIX}{file.name}/{file.key}/"


def folder_of(part: Identity) -> str:
    """The folder of a part and of the others of its file."""
    return part.name.rpartition("/")[0] + "/"


def file_of_part(name: str) -> str | None:
    """The name of the file that `name` is a part of; None when it is no part's name."""
    folder = name.rpartition("/")[0].rpartition("/")[0]
    return folder.removeprefix(PARTS_PREFIX) if folder.startswith(PARTS_PREFIX) else None


def is_file(dropped: DroppedObject, settings: Settings) -> bool:
    """Whether an object is to be transformed, record by record, rather than to be the body of one call."""
    return dropped.bucket == settings.input_bucket and dropped.key.startswith(TRANSFORM_PREFIX)


def folder_endpoint(dropped: DroppedObject, settings: Settings) -> str | None:
    """The endpoint that the first folder under `invoke/` or `transform/` names, if it is one of the deployment's."""
    folder = dropped.key.removeprefix(INVOKE_PREFIX).removeprefix(TRANSFORM_PREFIX).partition("/")[0]
    return folder if folder in settings.endpoint_names else None


def name_of(key: str) -> str:
    """The result's name for a message that says none: its InferenceId or message ID, as one part of a key."""
    return f"{_MESSAGES}/{_quoted(key)}"


def input_location(message: SentMessage) -> str | None:
    """The `InputLocation` of a sent message, if it is an S3 URI."""
    return _valid("input_location", message.raw.get("InputLocation"))


def source_of(name: str, input_bucket: str) -> str | None:
    """The S3 URI of the dropped object whose result has this name; None where it is a message's."""
    if name.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        return f"s3://{input_bucket}/{name}"
    if name.startswith(OTHER_BUCKETS_PREFIX):
        return f"s3://{name.removeprefix(OTHER_BUCKETS_PREFIX)}"
    return None


def name_of_object(bucket: str, key: str, input_bucket: str) -> str:
    """The result's name for a dropped object: its key, or for one of another bucket, that below the bucket's name.

    Raises `Failure` (invalid) when the object lies where results can't be named after it.
    """
    dropped_here = bucket == input_bucket
    if dropped_here and not key.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        raise invalid("key", f"objects for inference are dropped under {INVOKE_PREFIX} or {TRANSFORM_PREFIX}")
    name = key if dropped_here else f"{OTHER_BUCKETS_PREFIX}{bucket}/{key}"
    if any(part in {".", ".."} for part in key.split("/")) or key.startswith("/"):
        raise invalid("key", "must not have '.' or '..' as a part, nor begin with '/'")
    if any(ord(char) < 32 or ord(char) == 127 for char in key):
        raise invalid("key", "must not hold control characters")
    most = _MAX_NAME_BYTES - (_PART_NAME_BYTES if dropped_here and key.startswith(TRANSFORM_PREFIX) else 0)
    if len(name.encode()) > most:
        raise invalid("key", f"is too long: its results' would be over S3's 1024 bytes; {most} are left")
    return name


def is_newer(stored: str | None, arrived: str | None) -> bool:
    """Whether an S3 event's sequencer `stored` is later than `arrived`.

    Sequencers of one key are hexadecimal; the shorter is padded on the right with zeros, then they compare as text
    (S3 User Guide, event message structure). Unknown ones are not newer.
    """
    if not stored or not arrived:
        return False
    width = max(len(stored), len(arrived))
    return stored.upper().ljust(width, "0") > arrived.upper().ljust(width, "0")


def _trace_id(given: object, inference_id: str | None, delivery: Delivery) -> str | None:
    root = _X_RAY_ROOT.search(delivery.trace_header or "")
    return (
        _valid("trace_id", given)
        or _valid("trace_id", delivery.string_attributes.get("TraceId"))
        or inference_id
        or (root[1] if root else None)
    )


def _quoted(key: str) -> str:
    return quote(key, safe=_KEY_SAFE)


def _message_name(raw: Mapping[str, Any], key: str) -> str:
    folder = _valid("s3_output_path_extension", raw.get("S3OutputPathExtension")) or ""
    if any(part in {".", ".."} for part in folder.split("/")):
        folder = ""  # Such a message fails as invalid; its .err stands where all messages' do.
    filename = _valid("filename", raw.get("Filename"))
    last = filename.removesuffix(".out") if filename else _quoted(key)
    return "/".join([_MESSAGES, *filter(None, folder.split("/")), last])


def _valid(field: str, value: object) -> str | None:
    try:
        valid: str | None = _FIELDS[field].validate_python(value, strict=True)
    except ValidationError:
        return None
    return valid
