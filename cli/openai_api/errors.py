"""Errors in the form of OpenAI's API."""

from typing import Any

# The openai clients retry 408, 409, 429 and 5xx, so that what no retry can help is 400.


class ApiError(Exception):
    """An error that is returned to the client. `param` names the field, `code` is for programs."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def document(self) -> dict[str, Any]:
        """The body of the response."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def invalid(param: str, rule: str, *, code: str | None = None) -> ApiError:
    """The error of a request that breaks a rule."""
    return ApiError(400, f"{param}: {rule}", param=param, code=code)


def not_found(kind: str, identifier: str) -> ApiError:
    """The error of an ID that names nothing."""
    return ApiError(404, f"No such {kind} object: {identifier}", param="id")
