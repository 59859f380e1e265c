"""The message: the InvokeEndpoint parameters as JSON, with what a queue adds to them.

Lengths and patterns are those of botocore's `sagemaker-runtime` model (bc). They are narrower for a value that becomes
an HTTP header or an S3 key: header values are visible ASCII, so that no header can be injected or changed on the way.
"""

import base64
import binascii
import difflib
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_pascal
from pydantic.json_schema import SkipJsonSchema

from sluice.error_codes import ErrorCode
from sluice.failures import Failure, invalid
from sluice.inputs.strict_json import compact

_ALIASES = {"request_ttl_seconds": "RequestTTLSeconds"}

# \p{ASCII}* (bc), without what an HTTP header cannot hold: control characters, and spaces at the ends.
_HEADER = r"^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$"
_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$"
_PRINTABLE = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
_VISIBLE = r"^[\x21-\x7e]*$"
_SESSION = rf"^NEW_SESSION$|{_NAME}"
MAX_LOCATION = 1024
S3_URI = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$"
_FOLDER = r"^[a-zA-Z0-9!_.*'()/-]+$"
_FILENAME = r"^[a-zA-Z0-9][a-zA-Z0-9_-]*(\.[a-zA-Z0-9_-]*)?$"

_RULES = {
    _HEADER: "must be visible ASCII (letters, digits, signs, spaces inside), because it is sent as an HTTP header",
    _NAME: "must be letters and digits, with hyphens inside",
    _PRINTABLE: "must be visible ASCII (letters, digits, signs, spaces inside)",
    _VISIBLE: "must be visible ASCII without spaces",
    _SESSION: "must be NEW_SESSION or letters and digits, with hyphens inside",
    S3_URI: "must be s3://bucket/key",
    _FOLDER: "must be letters, digits, / and !_.*'()-",
    _FILENAME: "must be letters, digits, - and _, with at most one dot, and begin with a letter or digit",
}

# pydantic's own rules, by its error types.
_RULES_OF_TYPES = {
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "missing": "must be given",
    "dict_type": "must be a JSON object",
    "list_type": "must be a JSON array",
    "recursion_loop": "is nested too deeply",
    "recursion_depth_exceeded": "is nested too deeply",
}

Header = Annotated[str, StringConstraints(max_length=1024, pattern=_HEADER)]
Name = Annotated[str, StringConstraints(max_length=63, pattern=_NAME)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_PRINTABLE)]

Absent = SkipJsonSchema[None]  # a missing key; null itself is refused, except as a Body

MAX_KEYS = 64  # of a message: three times as many as there are parameters
_MAX_RULES = 5  # broken rules that one reason names
_NEAR = 64  # characters of an unknown key, beyond which it is no misspelt parameter
_FREE_FORM = frozenset(
    {"dict", "list"}
)  # pydantic's names of the branches of a JsonValue; below are a sender's own keys

_BODIES = ("Body", "BodyBase64", "InputLocation")


class Message(BaseModel):
    """One request on the queue: a JSON object with exactly one of Body, BodyBase64 and InputLocation."""

    model_config = ConfigDict(
        title="Sluice message",
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=lambda name: _ALIASES.get(name, to_pascal(name)),
        json_schema_extra={"oneOf": [{"required": [body]} for body in _BODIES]},
    )

    endpoint_name: Name | Absent = Field(None, description="One of the deployment's endpoints. Default: its default.")
    body: JsonValue = Field(
        None,
        description="A string is sent verbatim as UTF-8; any other JSON value is sent as compact JSON.",
    )
    body_base64: str | Absent = Field(None, description="Binary, in standard base64 with padding.")
    input_location: Annotated[str, StringConstraints(max_length=MAX_LOCATION, pattern=S3_URI)] | Absent = Field(
        None,
        description="s3://bucket/key of the body; the bucket must be on the deployment's list.",
    )
    content_type: Header | Absent = Field(
        None,
        description="Default: application/json for a JSON Body, the object's own for S3, else the deployment's.",
    )
    accept: Header | Absent = None
    custom_attributes: Header | Absent = Field(None, description="Forwarded verbatim. Default: the trace ID.")
    trace_id: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_VISIBLE)] | Absent = Field(
        None,
        description="Part of every log line and of the result. Default: the InferenceId, else the X-Ray root, else "
        "the SQS message ID.",
    )
    inference_id: Id | Absent = Field(
        None, description="Names the result, and makes a repeated message the same request."
    )
    target_model: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=_PRINTABLE)] | Absent = None
    target_variant: Name | Absent = None
    target_container_hostname: Name | Absent = None
    inference_component_name: Name | Absent = None
    enable_explanations: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_PRINTABLE)] | Absent = (
        None
    )
    session_id: Annotated[str, StringConstraints(max_length=256, pattern=_SESSION)] | Absent = None
    prefix_aware_id: Id | Absent = None
    s3_output_path_extension: (
        Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_FOLDER)] | Absent
    ) = Field(None, description="Folder of the result below messages/.")
    filename: Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=_FILENAME)] | Absent = Field(
        None,
        description="File name of the result; the suffix of results is added where it is missing.",
    )
    request_ttl_seconds: Annotated[int, Field(ge=60, le=21600)] | Absent = Field(
        None, description="Seconds after which the request is no longer invoked, but fails as Expired."
    )

    @model_validator(mode="before")
    @classmethod
    def _check_nulls(cls, raw: Any) -> Any:
        for name, value in raw.items():
            if value is None and name in PARAMETERS and name != "Body":
                msg = f"{name}: must not be null; leave the key out"
                raise ValueError(msg)
        return raw

    @model_validator(mode="after")
    def _check_bodies_and_folder(self) -> Self:
        given = [name for name, field in _BODY_FIELDS.items() if field in self.model_fields_set]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            msg = f"Body, BodyBase64, InputLocation: exactly one of the three must be given; found {found}"
            raise ValueError(msg)
        if self.s3_output_path_extension and any(
            part in {"", ".", ".."} for part in self.s3_output_path_extension.rstrip("/").split("/")
        ):
            msg = "S3OutputPathExtension: must be a relative path without empty, '.' or '..' parts"
            raise ValueError(msg)
        return self

    def inline_body(self) -> bytes:
        """The bytes of Body or BodyBase64.

        Raises `Failure` (invalid) when they can't be decoded.
        """
        if self.body_base64 is not None:
            try:
                return base64.b64decode(self.body_base64, validate=True)
            except (binascii.Error, ValueError):
                raise invalid(
                    "BodyBase64",
                    "is not valid base64; send the standard alphabet with padding, no line breaks",
                ) from None
        text = self.body if isinstance(self.body, str) else compact(self.body)
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise invalid("Body", "holds a lone surrogate, which has no UTF-8; send binary as BodyBase64") from None


_BODY_FIELDS = {"Body": "body", "BodyBase64": "body_base64", "InputLocation": "input_location"}
PARAMETERS: dict[str, str] = {str(field.alias): name for name, field in Message.model_fields.items()}
"""The message's keys, and the model's field of each."""

_NOT_FORWARDED = {*_BODIES, "EndpointName", "TraceId", "S3OutputPathExtension", "Filename", "RequestTTLSeconds"}
FORWARDED = {parameter: field for parameter, field in PARAMETERS.items() if parameter not in _NOT_FORWARDED}
"""The parameters of InvokeEndpoint besides the name of the endpoint and the body. All are HTTP headers (bc)."""


def check_keys(raw: dict[str, Any], known: Collection[str]) -> None:
    """Raises `Failure` (invalid) when `raw` has more keys than are validated one by one. `known` are the valid ones."""
    if len(raw) > MAX_KEYS:
        raise invalid("message", f"has over {MAX_KEYS} keys; known are {', '.join(known)}")


def validate(raw: dict[str, Any], names: Mapping[str, str] = MappingProxyType({})) -> Message:
    """`raw` as a `Message`. `names` has the names that the sender used for parameters, where they differ.

    Raises `Failure` (invalid) naming each parameter and its rule. Neither values nor unknown keys are repeated, because
    they may be private.
    """
    check_keys(raw, PARAMETERS)
    try:
        return Message.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        raise explain(error, PARAMETERS, names) from None


def explain(
    error: ValidationError, known: Collection[str] = (), names: Mapping[str, str] = MappingProxyType({})
) -> Failure:
    """The failure for pydantic's `error`: each field with its rule, and for unknown keys the nearest of `known`.

    `names` has the names that the sender used for fields, where they differ. The path of a field ends where the keys
    within it are a sender's own, such as in a `Body`.
    """
    parts: list[str] = []
    unknown: list[str] = []
    for detail in error.errors(include_url=False, include_input=False):
        if detail["type"] == "none_required":  # the other branch of an optional value
            continue
        if detail["type"] == "extra_forbidden":
            unknown.append(str(detail["loc"][-1]))
            continue
        where = ".".join(_path(detail["loc"], names))
        rule = _rule(detail["type"], detail.get("ctx", {}), detail["msg"])
        parts.append(f"{where}: {rule}" if where else rule)
    if unknown:
        parts.append(_unknown(unknown, known))
    if len(parts) > _MAX_RULES:
        parts[_MAX_RULES:] = [f"and {len(parts) - _MAX_RULES} more"]
    return Failure.of(ErrorCode.INVALID_MESSAGE, "; ".join(parts))


def _path(location: tuple[int | str, ...], names: Mapping[str, str]) -> Iterator[str]:
    for part in location:
        if part in _FREE_FORM:
            return
        if not str(part).startswith("constrained-"):
            yield names.get(str(part), str(part))


def _rule(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _RULES_OF_TYPES:
        return _RULES_OF_TYPES[kind].format_map(context)
    return _RULES.get(context.get("pattern", ""), message).removeprefix("Value error, ")


def _unknown(names: list[str], known: Collection[str]) -> str:
    """The rule that unknown keys break. They are not named: they may be those of a body sent as the message."""
    near = {close for name in names if len(name) <= _NEAR for close in difflib.get_close_matches(name, known, n=1)}
    hint = f"did you mean {', '.join(sorted(near))}?" if near else f"known are {', '.join(known)}"
    count = "a key is not a parameter" if len(names) == 1 else f"{len(names)} keys are not parameters"
    return f"message: {count}; {hint}"
