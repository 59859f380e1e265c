"""The identity of a request: its trace ID, what makes two deliveries the same request, the name of its result.

All three are the same at every delivery, and known before the message is validated, so that a failure has them, too.
"""

import re
import uuid
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sluice import keys
from sluice.failures import invalid
from sluice.inputs.delivery import IdentifiedMessage
from sluice.inputs.message import Message
from sluice.inputs.requests import Assembly, DroppedObject, Request, SentMessage, TransformPart, TransformRetry
from sluice.settings import Settings

_X_RAY_ROOT = re.compile(r"(?:^|;)\s*Root=([\x21-\x3a\x3c-\x7e]{1,64})")

_WITH_FILENAME = " → "

_FIELDS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(field.rebuild_annotation())
    for name, field in Message.model_fields.items()
    if name in {"endpoint_name", "trace_id", "inference_id", "s3_output_path_extension", "filename"}
}


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a request.

    `name` is the result's key without its suffix, `error_name` that of the `.err`. `key` is equal for two deliveries of
    the same request and for no others. `owner` is the key of the request that the outcome belongs to: a part's is its
    dataset's. `id` is what a reader knows the request by: the InferenceId, else the SQS message ID, else the key.
    `inference_id` is the caller's, if there is one. `endpoint_name` is the requested one, as far as it is known before
    the message is validated.

    Two requests have the same `error_name` only if they are parts of one dataset or uploads of one key.
    """

    name: str
    error_name: str
    key: str
    owner: str
    id: str
    trace_id: str
    inference_id: str | None = None
    endpoint_name: str | None = None

    @property
    def error_names(self) -> list[str]:
        """The names that the `.err` may have. An S3 event that its object does not confirm has a spare one."""
        if self.error_name.startswith(keys.MESSAGES_PREFIX):
            return [self.error_name]
        return [self.error_name, spare_error_name(self.owner)]


def spare_error_name(owner: str) -> str:
    """The name of the `.err` of an S3 event that its object does not confirm, and of nothing else."""
    return keys.message_name("", filename=owner)


def owner_of_message(request_id: str, name: str) -> str:
    """The owner of the outcome of a message: its InferenceId or SQS message ID, and its Filename if it has one.

    `name` is that of its result. An InferenceId is ASCII, so that no other one gives the same owner.
    """
    return (
        f"{request_id}{_WITH_FILENAME}{name.rpartition('/')[2]}" if name.startswith(keys.FILES_PREFIX) else request_id
    )


def id_of_owner(owner: str) -> str:
    """The `Identity.id` of a message, from the owner of its outcome."""
    return owner.partition(_WITH_FILENAME)[0]


def of_delivery(delivery: IdentifiedMessage) -> Identity:
    """The identity of a message that cannot be parsed: from its attributes, else from what SQS states of it."""
    return of_message(SentMessage({}), delivery)


def of(request: Request, settings: Settings, delivery: IdentifiedMessage) -> Identity:
    """The identity of any request. Raises `Failure` (invalid) as `of_object` does."""
    match request:
        case SentMessage():
            return of_message(request, delivery)
        case DroppedObject():
            return of_object(request, settings, delivery)
        case TransformPart():
            return of_part(request, settings, delivery)
        case Assembly() | TransformRetry():
            return of_object(request.file, settings, delivery)


def of_message(message: SentMessage, delivery: IdentifiedMessage) -> Identity:
    """The identity of a sent message: InferenceId in the body, else in the attributes, else the SQS message ID.

    A redrive gets a new message ID; the dead-letter queue's attributes carry the IDs over.
    """
    attributes = delivery.string_attributes
    inference_id = _valid("inference_id", message.raw.get("InferenceId")) or _valid(
        "inference_id", attributes.get("InferenceId")
    )
    request_id = inference_id or delivery.message_id
    folder = _valid("s3_output_path_extension", message.raw.get("S3OutputPathExtension")) or ""
    filename = _valid("filename", message.raw.get("Filename")) or ""
    error_name = keys.message_name(request_id, folder=folder, filename=filename)
    name = keys.file_name(filename, folder=folder) if filename else error_name
    owner = owner_of_message(request_id, name)
    return Identity(
        name=name,
        error_name=error_name,
        key=owner,
        owner=owner,
        id=request_id,
        trace_id=_trace_id(message.raw.get("TraceId"), inference_id, delivery) or delivery.message_id,
        inference_id=inference_id,
        endpoint_name=_valid("endpoint_name", message.raw.get("EndpointName")),
    )


def of_object(dropped: DroppedObject, settings: Settings, delivery: IdentifiedMessage) -> Identity:
    """The identity of a dropped object: one for each version of it, whatever its event came by.

    Raises `Failure` (invalid) when results cannot be named after the object.
    """
    if not settings.may_read(dropped.bucket):
        raise invalid("bucket", "the object's bucket is not one this deployment reads; see input_location_buckets")
    name = keys.object_name(dropped.bucket, dropped.key, settings.input_bucket)
    key = key_of_version(dropped.bucket, dropped.key, dropped.version_id or dropped.sequencer or dropped.etag)
    return Identity(
        name=name,
        error_name=name,
        key=key,
        owner=key,
        id=key,
        trace_id=_valid("trace_id", delivery.string_attributes.get("TraceId")) or key,
        endpoint_name=folder_endpoint(dropped, settings),
    )


def of_part(part: TransformPart, settings: Settings, delivery: IdentifiedMessage) -> Identity:
    """The identity of a part of a dataset: the dataset's version, and the bytes where the part begins and ends.

    Raises `Failure` (invalid) as `of_object` does.
    """
    dataset = of_object(part.file, settings, delivery)
    run = part.run.suffix if part.run else ""
    key = f"{dataset.key}/{part.start}-{part.end}{'.' * bool(run)}{run}"
    name = keys.part_name(keys.parts_folder(dataset.name, dataset.key), part.start, part.end, run)
    return replace(dataset, name=name, key=key, id=key)


def key_of_version(bucket: str, key: str, version: str | None) -> str:
    """The `Identity.key` of a version of an object: the same whatever its event came by."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"s3://{bucket}/{key}?{version}"))


def folder_endpoint(dropped: DroppedObject, settings: Settings) -> str | None:
    """The endpoint that the first folder under `invoke/` or `transform/` names, if it is one of the deployment's."""
    folder = keys.first_folder(dropped.key)
    return folder if folder in settings.endpoint_names else None


def is_newer(stored: str | None, arrived: str | None) -> bool:
    """Whether an S3 event's sequencer `stored` is later than `arrived`.

    The sequencers of one key are hexadecimal. The shorter one is padded on the right with zeros; then they compare as
    text (S3 User Guide, event message structure). An unknown sequencer is not newer.
    """
    if not stored or not arrived:
        return False
    width = max(len(stored), len(arrived))
    return stored.upper().ljust(width, "0") > arrived.upper().ljust(width, "0")


def _trace_id(given: object, inference_id: str | None, delivery: IdentifiedMessage) -> str | None:
    root = _X_RAY_ROOT.search(delivery.trace_header or "")
    return (
        _valid("trace_id", given)
        or _valid("trace_id", delivery.string_attributes.get("TraceId"))
        or inference_id
        or (root[1] if root else None)
    )


def _valid(field: str, value: object) -> str | None:
    try:
        valid: str | None = _FIELDS[field].validate_python(value, strict=True)
    except ValidationError:
        return None
    return valid
