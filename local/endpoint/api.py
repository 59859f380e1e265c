"""InvokeEndpoint's wire protocol, taken from botocore's service model: headers, limits, errors."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.model import Shape
from starlette.responses import JSONResponse, Response

_OPERATION = botocore.session.Session().get_service_model("sagemaker-runtime").operation_model("InvokeEndpoint")
_INPUT: dict[str, Shape] = _OPERATION.input_shape.members  # type: ignore[union-attr]
_OUTPUT: dict[str, Shape] = _OPERATION.output_shape.members  # type: ignore[union-attr]

_COMMON_ERRORS = {  # common to all AWS APIs, and therefore not in the model
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "MissingAuthenticationTokenException": 403,
    "ThrottlingException": 400,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}
ERRORS: dict[str, int] = {
    **{shape.name: shape.metadata["error"]["httpStatusCode"] for shape in _OPERATION.error_shapes},
    **_COMMON_ERRORS,
}
MAX_BODY_BYTES: int = _INPUT["Body"].metadata["max"]


def _headers(members: Mapping[str, Shape]) -> dict[str, str]:
    """Header names by parameter."""
    return {
        name: member.serialization["name"]
        for name, member in members.items()
        if member.serialization.get("location") == "header"
    }


REQUEST_HEADERS = _headers(_INPUT)
RESPONSE_HEADERS = _headers(_OUTPUT)


def _compiled(java: str) -> re.Pattern[str]:
    """Compile a pattern of the model, which has Java syntax. Raises `re.error` if Python does not support it."""
    python = java.replace(r"\p{ASCII}", r"[\x00-\x7f]").replace(r"[\p{Print}]", r"[\x20-\x7e]").replace(r"\z", r"\Z")
    return re.compile(python, re.DOTALL)


_PATTERNS = {
    name: _compiled(shape.metadata["pattern"]) for name, shape in _INPUT.items() if "pattern" in shape.metadata
}


class ServiceFault(Exception):
    """An error of the runtime: its code, its message, and the additional fields of a ModelError."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.fields = {"Message": message, **fields}

    def response(self) -> Response:
        """The error as an HTTP response (rest-json: the code is in a header)."""
        headers = {"x-amzn-errortype": self.code, **request_id()}
        return JSONResponse(self.fields, status_code=ERRORS[self.code], headers=headers)


def request_id() -> dict[str, str]:
    """The request ID header of every AWS response."""
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def validated(endpoint_name: str, headers: Mapping[str, str], body: bytes, max_body_bytes: int) -> dict[str, str]:
    """The parameters in `headers`, by name.

    Raises `ServiceFault` if the request is unsigned or violates a limit of the model. A signature is required but not
    verified, because the keys are unknown here.
    """
    if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
        raise ServiceFault("MissingAuthenticationTokenException", "Missing Authentication Token")
    given = {name: headers[header] for name, header in REQUEST_HEADERS.items() if header in headers}
    problems = [
        problem
        for name, value in {"EndpointName": endpoint_name, **given}.items()
        for problem in _problems(name, value, _INPUT[name])
    ]
    if len(body) > max_body_bytes:
        rule = f"Member must have length less than or equal to {max_body_bytes}"
        problems.append(f"Value at 'body' failed to satisfy constraint: {rule}")
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise ServiceFault("ValidationError", f"{len(problems)} validation {noun} detected: {'; '.join(problems)}")
    return given


def _problems(name: str, value: str, shape: Shape) -> list[str]:
    longest, shortest, pattern = (shape.metadata.get(rule) for rule in ("max", "min", "pattern"))
    broken = {
        f"Member must have length less than or equal to {longest}": longest is not None and len(value) > longest,
        f"Member must have length greater than or equal to {shortest}": shortest is not None and len(value) < shortest,
        f"Member must satisfy regular expression pattern: {pattern}": pattern is not None
        and not _PATTERNS[name].fullmatch(value),
    }
    member = name[0].lower() + name[1:]
    return [
        f"Value at '{member}' failed to satisfy constraint: {rule}" for rule, is_broken in broken.items() if is_broken
    ]
