"""From a valid message, or a dropped object with its metadata, to the parameters of one InvokeEndpoint call."""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sluice.error_codes import ErrorCode
from sluice.failures import Failure, invalid
from sluice.inputs.identity import Identity, folder_endpoint
from sluice.inputs.message import FORWARDED, PARAMETERS, Message, validate
from sluice.inputs.requests import DroppedObject, Request, SentMessage
from sluice.settings import Settings

# The type that S3 gives an object when none was stated.
_UNSTATED_TYPES = {None, "", "binary/octet-stream"}

_SUFFIXES = mimetypes.MimeTypes(filenames=())
for _suffix, _type in {
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".jl": "application/jsonlines",
    ".npy": "application/x-npy",
    ".parquet": "application/x-parquet",
    ".recordio": "application/x-recordio-protobuf",
    ".csv": "text/csv",
    ".libsvm": "text/libsvm",
}.items():
    _SUFFIXES.add_type(_type, _suffix)

# An object's own key and content decide where the result is stored and what the body is.
_NOT_BY_METADATA = {"Body", "BodyBase64", "InputLocation", "Filename", "S3OutputPathExtension"}


def _kebab(parameter: str) -> str:
    """`CustomAttributes` → `custom-attributes`, `RequestTTLSeconds` → `request-ttl-seconds`."""
    return PARAMETERS[parameter].replace("_", "-")


# The parameters that a dropped object's user metadata sets, by the metadata's names.
BY_METADATA = {_kebab(parameter): parameter for parameter in PARAMETERS if parameter not in _NOT_BY_METADATA}

# The other three have defaults that depend on the request.
_OPTIONAL = {
    parameter: field
    for parameter, field in FORWARDED.items()
    if parameter not in {"ContentType", "CustomAttributes", "InferenceId"}
}


@dataclass(frozen=True, slots=True)
class Invocation:
    """One InvokeEndpoint call. `parameters` are its keyword arguments besides EndpointName and Body."""

    endpoint_name: str
    body: bytes
    parameters: Mapping[str, str]
    trace_id: str

    @property
    def inference_id(self) -> str:
        """The InferenceId that is sent."""
        return self.parameters["InferenceId"]


def message_for(dropped: DroppedObject, metadata: Mapping[str, str], settings: Settings) -> Message:
    """The message equivalent to a dropped object: its user metadata sets parameters, its first folder the endpoint.

    Raises `Failure` (invalid) naming the metadata that breaks a rule. Metadata with any other name is ignored.
    """
    return message_from_metadata(metadata, folder_endpoint(dropped, settings))


def message_from_metadata(metadata: Mapping[str, str], endpoint_name: str | None) -> Message:
    """As `message_for`, with the endpoint that the folder names, or None. Raises `Failure` (invalid) as that does."""
    given = {name.lower(): value for name, value in metadata.items() if name.lower() in BY_METADATA}
    raw: dict[str, Any] = {BY_METADATA[name]: value for name, value in given.items()}
    if "RequestTTLSeconds" in raw and raw["RequestTTLSeconds"].isdecimal():
        raw["RequestTTLSeconds"] = int(raw["RequestTTLSeconds"])
    if endpoint_name is not None:
        raw.setdefault("EndpointName", endpoint_name)
    # The location comes from the event, so the rules for a message's InputLocation do not apply.
    return validate({**raw, "InputLocation": "s3://any/object"}, {BY_METADATA[name]: name for name in given})


def type_of_name(name: str) -> str | None:
    """The content type that the suffix of a file name implies."""
    return _SUFFIXES.guess_type(name.rpartition("/")[2].lower())[0]


def endpoint_of(message: Message, settings: Settings) -> str:
    """The endpoint to call. Raises `Failure` (invalid) when the deployment does not list it."""
    name = message.endpoint_name or settings.default_endpoint_name
    if name not in settings.endpoint_names:
        raise invalid("EndpointName", f"is not one of this deployment's: {', '.join(settings.endpoint_names)}")
    return name


def location_of(message: Message, settings: Settings) -> tuple[str, str]:
    """Bucket and key of InputLocation. Raises `Failure` (invalid) when the bucket is not on the deployment's list."""
    bucket, _, key = (message.input_location or "").removeprefix("s3://").partition("/")
    if not settings.may_read(bucket):
        raise invalid("InputLocation", "the bucket is not on this deployment's list; see input_location_buckets")
    return bucket, key


def check_ttl(message: Message, age: timedelta) -> None:
    """Raises `Failure` (expired) when RequestTTLSeconds is less than the `age` of the SQS message."""
    ttl = message.request_ttl_seconds
    if ttl is not None and age > timedelta(seconds=ttl):
        raise Failure.of(
            ErrorCode.EXPIRED,
            f"RequestTTLSeconds: {ttl} s have passed since the message was sent; it is not invoked any more",
        )


def inline_body(message: Message, settings: Settings) -> bytes:
    """The bytes of Body or BodyBase64. Raises `Failure` (invalid) when they can't be decoded, or are too many."""
    body = message.inline_body()
    if len(body) > settings.max_body_bytes:
        raise oversize("BodyBase64" if message.body_base64 is not None else "Body", len(body), settings)
    return body


def permanent_failure(request: Request, identity: Identity, settings: Settings, age: timedelta) -> Failure | None:
    """The failure that a call for `request` would end with, as far as that is known without any AWS request.

    No retry can help it. `age` is that of the SQS message.
    """
    if not isinstance(request, SentMessage):
        return None
    try:
        message = request.valid()
        endpoint_of(message, settings)
        check_ttl(message, age)
        body, key = b"", None
        if message.input_location is None:
            body = inline_body(message, settings)
        else:
            _, key = location_of(message, settings)
        build(message, identity, body, settings, key=key)
    except Failure as failure:
        return failure
    return None


def oversize(field: str, size: int, settings: Settings) -> Failure:
    """The failure of a body of `size` bytes that is over the deployment's limit."""
    return invalid(field, f"{size} bytes are over the deployment's max_body_bytes, {settings.max_body_bytes}")


def build(
    message: Message,
    identity: Identity,
    body: bytes,
    settings: Settings,
    *,
    key: str | None = None,
    object_content_type: str | None = None,
) -> Invocation:
    """The call for `message`. `key` and `object_content_type` are those of the S3 object that holds the body.

    Raises `Failure` (invalid) when the endpoint is not listed or the custom attributes come out too long.
    """
    trace_id = message.trace_id or identity.trace_id
    parameters = {
        "ContentType": content_type_of(message, settings, key, object_content_type),
        "CustomAttributes": _custom_attributes(message, trace_id, settings),
        "InferenceId": message.inference_id or identity.inference_id or trace_id,
    }
    for parameter, field in _OPTIONAL.items():
        value = getattr(message, field)
        if value is not None:
            parameters[parameter] = value
    return Invocation(endpoint_of(message, settings), body, parameters, trace_id)


def content_type_of(message: Message, settings: Settings, key: str | None, own: str | None) -> str:
    """The ContentType of a call. `own` is that of the S3 object with this `key`, if an object holds the body."""
    if message.content_type:
        return message.content_type
    if key is not None:
        if own not in _UNSTATED_TYPES and own is not None:
            return own
        return type_of_name(key) or settings.default_content_type
    if "body" in message.model_fields_set and not isinstance(message.body, str):
        return "application/json"
    return settings.default_content_type


def _custom_attributes(message: Message, trace_id: str, settings: Settings) -> str:
    """The caller's value verbatim, else the trace ID as on the API page; with a template, the formatted template."""
    template = settings.custom_attributes_template
    if template is None:
        return message.custom_attributes or trace_id
    value = template.format(custom_attributes=message.custom_attributes or "", trace_id=trace_id)
    if not message.custom_attributes:
        value = value.strip(",;& ")  # the separator of a value that is missing
    if len(value) > 1024:
        raise invalid("CustomAttributes", "is over 1024 characters once custom_attributes_template is applied")
    return value
